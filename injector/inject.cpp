#include "injector/inject.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <thread>

#include "base/harmless_text.h"
#include "injector/agent_obstacle.h"
#include "injector/borrowed_thread.h"
#include "injector/got_patch.h"
#include "injector/safe_point.h"
#include "injector/seccomp_rules.h"
#include "injector/shared_memory.h"
#include "modules/unwinder.h"
#include "process/live_memory.h"
#include "process/memory_map.h"
#include "process/stopped_process.h"

namespace asyncdump {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::uint64_t most_hooks = 256;
constexpr std::size_t blocks_a_call = BorrowedThread::most_data / sizeof(asyncdump_block);
/// Longer than a thread usually stays in the allocator, shorter than a person waits.
constexpr auto between_attempts = 3ms;

template <class T>
std::span<const std::byte> bytes_of(const T& container) {
    return std::as_bytes(std::span(container));
}

/// The target as it is at one moment: mappings change when the agent is loaded.
struct View {
    MemoryMap map;
    ModuleSet modules;
};

Result<View> look_at(pid_t pid) {
    auto map = MemoryMap::read(pid);
    if (!map) return tl::unexpected<Error>(map.error());
    ModuleSet modules = ModuleSet::of_process(pid, *map, {});
    return View{std::move(*map), std::move(modules)};
}

tl::unexpected<Error> refused(std::string why) {
    return failure(ErrorCode::unsupported_target, std::move(why));
}

class Injection {
  public:
    Injection(const ProcessInfo& process, pid_t living_tid, const InjectOptions& options,
              const LiveMemory& live, FileDescriptor memory)
        : process_(process),
          living_thread_(living_tid),
          options_(options),
          live_(live),
          memory_(std::move(memory)),
          deadline_(Clock::now() + options.timeout) {}

    Result<Injected> run() {
        auto view = look_at(process_.pid);
        if (!view) return tl::unexpected<Error>(view.error());
        auto registry = AgentRegistry::find(view->modules, live_);
        if (!registry) return tl::unexpected<Error>(registry.error());
        if (*registry && (*registry)->header().state == ASYNCDUMP_STATE_RECORDING) {
            result_.was_there = true;
            return result_;
        }
        if (auto checked = check(*view); !checked) return tl::unexpected<Error>(checked.error());
        if (auto checked = check_threads(); !checked) return tl::unexpected<Error>(checked.error());
        if (options_.before_change) options_.before_change();
        // An agent that is there and does not record is what an injection that was broken off has left.
        if (!*registry) {
            if (auto loaded = load(*view); !loaded) return tl::unexpected<Error>(loaded.error());
            view = look_at(process_.pid);
            if (!view) return tl::unexpected<Error>(view.error());
            registry = AgentRegistry::find(view->modules, live_);
            if (!registry) return tl::unexpected<Error>(registry.error());
            if (!*registry)
                return failure(ErrorCode::system,
                               fmt::format("process {} could not load {}: {}. Nothing was changed",
                                           process_.pid, options_.agent, cause_of_failed_loading()));
        }
        if (auto hooked = hook(*view, **registry); !hooked) return tl::unexpected<Error>(hooked.error());
        return result_;
    }

  private:
    /// What cannot work is refused before anything is touched.
    Result<void> check(const View& view) {
        const std::string name = fmt::format("process {}", process_.pid);
        if (shares_memory_with_parent(process_))
            return refused(
                fmt::format("{} still lives in the memory of its parent, which waits in vfork() or "
                            "posix_spawn(): wait until it has executed its program",
                            name));
        const FileDescriptor executable(
            ::open(fmt::format("/proc/{}/exe", living_thread_).c_str(), O_RDONLY | O_CLOEXEC));
        if (executable) {
            if (const std::string obstacle = agent_obstacle(executable, AgentWay::into_running_process);
                !obstacle.empty())
                return refused(fmt::format("{} {}", name, obstacle));
        }
        bool has_operator_new = false;
        for (const auto& module : view.modules.modules()) {
            if (module->path() == process_.executable && module->find_symbol("_Znwm"))
                return refused(
                    fmt::format("{} has its own operator new: the agent would see nothing there; asyncdump "
                                "{} works without it",
                                name, process_.pid));
            if (is_c_library(*module)) c_library_ = module.get();
            if (is_c_library(*module) || is_loader(*module)) {
                for (const AddressRange& range : module->executable_ranges())
                    code_.push_back(range.begin.value());
            }
            has_operator_new = has_operator_new || module->find_exported_symbol("_Znwm");
        }
        if (c_library_ == nullptr)
            return refused(
                fmt::format("{} does not use glibc: the agent cannot be loaded; asyncdump {} works without",
                            name, process_.pid));
        if (!has_operator_new)
            return refused(
                fmt::format("{} has no operator new: it is no C++ program, and has no coroutines", name));
        const auto function = c_library_->find_exported_symbol("dlopen");
        if (!function)
            return refused(fmt::format("{} has a C library older than 2.34: the agent needs 2.35", name));
        dlopen_ = function->address;
        struct stat ours {
        }, theirs{};
        const std::string there = fmt::format("/proc/{}/root{}", living_thread_, options_.agent);
        if (::stat(options_.agent.c_str(), &ours) != 0 || ::stat(there.c_str(), &theirs) != 0 ||
            ours.st_ino != theirs.st_ino || ours.st_dev != theirs.st_dev)
            return refused(
                fmt::format("{} does not see {} (another mount namespace or root): name a copy that it sees "
                            "under the same path with --agent FILE",
                            name, options_.agent));
        return find_restorer();
    }

    /// "mov $15, %rax; syscall" of the C library, to which signal handlers return.
    Result<void> find_restorer() {
        constexpr unsigned char code[] = {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05};
        for (const AddressRange& range : c_library_->executable_ranges()) {
            std::vector<unsigned char> text(std::min<std::uint64_t>(range.size(), 16 << 20));
            text.resize(live_.read(range.begin, std::as_writable_bytes(std::span(text))));
            const auto found = std::search(text.begin(), text.end(), std::begin(code), std::end(code));
            if (found == text.end()) continue;
            restorer_ = range.begin + static_cast<std::uint64_t>(found - text.begin());
            return {};
        }
        return refused(
            fmt::format("process {} has a C library without the usual way back from a signal handler: the "
                        "agent cannot be loaded safely",
                        process_.pid));
    }

    /// As load() will do it, so that what is refused is refused before the user is told that it begins: while
    /// the target stands still nothing must be printed.
    Result<void> check_threads() {
        auto stopped = StoppedProcess::stop(process_.pid, {});
        if (!stopped) return tl::unexpected<Error>(stopped.error());
        auto rules = rules_of(*stopped);
        if (!rules) return tl::unexpected<Error>(rules.error());
        return {};
    }

    /// What the threads' seccomp filters permit. An error when no thread can or may do what an injection
    /// takes.
    Result<SeccompRules> rules_of(StoppedProcess& stopped) const {
        const std::vector<StoppedThread>& threads = stopped.threads();
        if (!threads.empty() && std::ranges::all_of(threads, &StoppedThread::in_group_stop))
            return refused(
                fmt::format("process {} is stopped by a signal, so that no thread of it can load the agent: "
                            "kill -CONT {} lets it go on",
                            process_.pid, process_.pid));
        auto rules = SeccompRules::read(stopped, process_.pid, code_, options_.despite_seccomp);
        if (!rules) return rules;
        if (const std::string obstacle = rules->obstacle_to_recording(); !obstacle.empty())
            return refused(fmt::format(
                "process {}: {}, which the agent calls in every thread for as long as it records; "
                "asyncdump {} works without it",
                process_.pid, obstacle, process_.pid));
        for (const StoppedThread& thread : threads) {
            if (rules->obstacle_to_loading(thread.tid).empty()) return rules;
        }
        if (threads.empty()) return rules;
        return refused(
            fmt::format("process {}: {}, which loading the agent takes: start the program with `asyncdump "
                        "run` instead",
                        process_.pid, rules->obstacle_to_loading(threads.front().tid)));
    }

    /// The others run while the agent is loaded: the loader and the allocator may have to wait for them.
    Result<void> load(const View& view) {
        std::string obstacle;
        Unwinder unwinder(view.modules, live_);
        while (true) {
            ++result_.attempts;
            auto stopped = StoppedProcess::stop(process_.pid, {});
            if (!stopped) return tl::unexpected<Error>(stopped.error());
            const auto rules = rules_of(*stopped);  // of this very stop: filters may be added at any time
            if (!rules) return tl::unexpected<Error>(rules.error());
            if (const pid_t tid = safe_thread(*stopped, view, unwinder, *rules, obstacle)) {
                stopped->take_over(tid);
                stopped->release_others();
                return load_on(*stopped, tid);
            }
            stopped->resume();
            if (Clock::now() > deadline_) break;
            std::this_thread::sleep_for(between_attempts);
        }
        return failure(
            ErrorCode::timed_out,
            fmt::format("no thread of process {} came to a point at which loading is safe (the last one "
                        "looked at: {}). Nothing was changed; try again",
                        process_.pid, obstacle));
    }

    Result<void> load_on(StoppedProcess& stopped, pid_t tid) {
        const auto left =
            std::max(1000ms, std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - Clock::now()));
        std::vector<char> path(options_.agent.begin(), options_.agent.end());
        path.push_back('\0');
        Result<void> called;
        stopped.on_tracing_thread([&] {
            BorrowedThread thread(tid, restorer_, memory_);
            called = thread.call(dlopen_, bytes_of(path), RTLD_NOW_LOCAL, left);
            failed_call_ = thread.failed_call();
            thread.detach();
        });
        if (!called && called.error().code == ErrorCode::timed_out)
            called.error().message += fmt::format(
                ": thread {} of process {} is still in dlopen and goes on with its work when that is done",
                tid, process_.pid);
        return called;
    }

    static constexpr std::uint64_t RTLD_NOW_LOCAL = 2;  // <dlfcn.h> of glibc

    /// Of a dlopen() that did not fail in a system call the loader alone knows the cause.
    std::string cause_of_failed_loading() const {
        if (!failed_call_)
            return "no system call of dlopen() failed, so that its C library is perhaps older than 2.35, or "
                   "has no room left for thread-local variables of further libraries";
        const char* advice = "";
        if (failed_call_->error == EMFILE) advice = " (prlimit --nofile changes its limit of open files)";
        if (failed_call_->error == ENOMEM) advice = " (prlimit --as changes its limit of address space)";
        if (failed_call_->error == EACCES) advice = " (its user must be allowed to read the file)";
        return fmt::format("{} failed in it with \"{}\"{}", system_call_name(failed_call_->number),
                           std::strerror(failed_call_->error), advice);
    }

    /// A thread that waits without a time limit is not delayed. One with a limit waits longer when we are
    /// killed meanwhile, or is told EINTR where an earlier stop broke its call off as well.
    static int cost_of_borrowing(const StoppedThread& thread) {
        if (thread.registers.system_call < 0) return 1;
        const auto outcome = static_cast<std::int64_t>(thread.registers.get(Registers::rax));
        if (outcome == SYS_restart_syscall) return 3;
        if (outcome == BorrowedThread::restart_by_block)
            return thread.registers.system_call == SYS_restart_syscall ? 3 : 2;
        return 0;
    }

    /// The less a thread loses by it, the better. 0: none.
    pid_t safe_thread(const StoppedProcess& stopped, const View& view, Unwinder& unwinder,
                      const SeccompRules& rules, std::string& obstacle) const {
        std::vector<StoppedThread> threads = stopped.threads();
        std::ranges::stable_sort(threads, {}, cost_of_borrowing);
        for (const StoppedThread& thread : threads) {
            if (!rules.obstacle_to_loading(thread.tid).empty()) continue;
            obstacle = obstacle_to_loading(thread, unwinder.unwind(thread.registers, most_calls),
                                           view.modules, view.map);
            if (obstacle.empty()) return thread.tid;
            obstacle = fmt::format("thread {}: {}", thread.tid, obstacle);
        }
        return 0;
    }

    std::vector<Hook> wanted_hooks(const AgentRegistry& registry) const {
        const asyncdump_part& part = registry.header().hooks;
        std::vector<Hook> hooks;
        for (std::uint64_t i = 0; i < std::min(part.count, most_hooks) && part.entry_size <= 4096; ++i) {
            std::vector<std::byte> bytes(part.entry_size);
            bytes.resize(live_.read(RemoteAddress(part.address + i * part.entry_size), bytes));
            const asyncdump_hook raw = registry.layout().hook(bytes);
            if (raw.address == 0 || (registry.header().flags & raw.needs) != raw.needs) continue;
            char name[64] = {};
            live_.read(RemoteAddress(raw.name),
                       std::as_writable_bytes(std::span(name).first(sizeof name - 1)));
            if (*name != '\0') hooks.push_back({name, raw.address, raw.phase});
        }
        return hooks;
    }

    Result<void> hook(const View& view, const AgentRegistry& registry) {
        const std::vector<Hook> hooks = wanted_hooks(registry);
        if (hooks.empty())
            return failure(ErrorCode::malformed, "the agent names no functions to stand in for");
        std::vector<asyncdump_block> frames =
            options_.find_frames ? options_.find_frames() : std::vector<asyncdump_block>();
        SlotFinder finder(view.modules, live_, hooks);
        const std::vector<Slot> slots = finder.find();
        Unwinder unwinder(view.modules, live_);
        while (true) {
            auto stopped = StoppedProcess::stop(process_.pid, {});
            if (!stopped) return tl::unexpected<Error>(stopped.error());
            const auto rules = rules_of(*stopped);
            if (!rules) {
                Error error = rules.error();
                error.message += "; the agent is loaded, but does not record";
                return tl::unexpected<Error>(std::move(error));
            }
            if (const pid_t tid = thread_for_registry(*stopped, view, unwinder, *rules)) {
                auto done = hook_while_stopped(*stopped, tid, registry, finder, slots, frames);
                result_.pause = stopped->resume();
                return done;
            }
            stopped->resume();
            if (Clock::now() > deadline_)
                return failure(
                    ErrorCode::timed_out,
                    "threads of the target are in the loader all the time: the agent is loaded, but does "
                    "not record; try again");
            std::this_thread::sleep_for(between_attempts);
        }
    }

    /// The agent's own functions take no lock: any thread will do that has stack left and can run. 0: none,
    /// or a thread is in the loader.
    pid_t thread_for_registry(const StoppedProcess& stopped, const View& view, Unwinder& unwinder,
                              const SeccompRules& rules) const {
        pid_t chosen = 0;
        for (const StoppedThread& thread : stopped.threads()) {
            if (thread.in_group_stop) return 0;
            if (is_in_loader(unwinder.unwind(thread.registers, most_calls), view.modules)) return 0;
            const RemoteAddress stack = thread.registers.stack_pointer();
            const Mapping* const memory = view.map.find(stack);
            const bool has_room =
                memory != nullptr && memory->writable &&
                (memory->path == "[stack]" || stack - memory->range.begin >= BorrowedThread::stack_needed);
            if (chosen == 0 && has_room && rules.obstacle_to_loading(thread.tid).empty()) chosen = thread.tid;
        }
        return chosen;
    }

    Result<void> hook_while_stopped(StoppedProcess& stopped, pid_t tid, const AgentRegistry& registry,
                                    SlotFinder& finder, const std::vector<Slot>& found,
                                    const std::vector<asyncdump_block>& frames) {
        const std::vector<Slot> slots = finder.look_again(found);
        const bool allocates = std::ranges::any_of(slots, [](const Slot& slot) { return slot.phase == 1; });
        if (!allocates)
            return refused(
                "no module of the target allocates through a table that could be patched: the agent is "
                "loaded, but records nothing");
        if (auto patched = patch(slots, memory_); !patched) return patched;
        result_.slots = slots.size();
        stopped.take_over(tid);
        Result<void> called;
        stopped.on_tracing_thread([&] {
            BorrowedThread thread(tid, restorer_, memory_);
            // Frames that are gone by now are not adopted: their first words are compared by the agent's
            // reader only.
            for (std::size_t i = 0; called && i < frames.size(); i += blocks_a_call) {
                const auto part = std::span(frames).subspan(i, std::min(blocks_a_call, frames.size() - i));
                called = thread.call(RemoteAddress(registry.header().adopt), std::as_bytes(part), part.size(),
                                     1000ms);
                if (called) result_.adopted += part.size();
            }
            if (called)
                called = thread.call(RemoteAddress(registry.header().announce_patched), {}, 0, 1000ms);
            thread.detach();
        });
        return called;
    }

    static constexpr std::size_t most_calls = 512;  // deeper stacks count as not followed to their end

    const ProcessInfo& process_;
    pid_t living_thread_;
    const InjectOptions& options_;
    const LiveMemory& live_;
    FileDescriptor memory_;
    Clock::time_point deadline_;
    const Module* c_library_ = nullptr;
    RemoteAddress dlopen_, restorer_;
    std::vector<std::uint64_t> code_;  ///< where the C library's and the loader's begins
    std::optional<BorrowedThread::FailedCall> failed_call_;
    Injected result_;
};

}  // namespace

Result<Injected> inject(const ProcessInfo& process, const InjectOptions& options) {
    auto live = LiveMemory::open(process.pid);
    if (!live) return tl::unexpected<Error>(live.error());
    const pid_t tid = living_thread(process.pid);
    FileDescriptor memory(::open(fmt::format("/proc/{}/mem", tid).c_str(), O_RDWR | O_CLOEXEC));
    if (!memory)
        return failure(
            ErrorCode::not_permitted,
            fmt::format("cannot write to the memory of process {}: {}", process.pid, std::strerror(errno)),
            errno);
    return Injection(process, tid, options, *live, std::move(memory)).run();
}

}  // namespace asyncdump

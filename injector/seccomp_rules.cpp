#include "injector/seccomp_rules.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/audit.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <span>

#include "base/file_descriptor.h"
#include "process/process_info.h"

namespace asyncdump {
namespace {

struct Call {
    long number;
    std::array<std::uint64_t, 6> arguments;
};

constexpr std::uint64_t some_address = 0x7f1200000000, some_descriptor = 7, page = 4096;
// Negative ints: compilers leave the upper half of the register as it is, so that a filter may see either.
constexpr std::uint64_t no_descriptor = 0xffffffff, no_descriptor_extended = ~0ULL;
constexpr std::uint64_t current_directory = 0xffffff9c, current_directory_extended = ~99ULL;  // AT_FDCWD
constexpr std::uint64_t empty_path = 0x1000;                                                  // AT_EMPTY_PATH

/// What a thread executes from the beginning of dlopen() of the agent to its return, by strace(1) and by the
/// source of glibc 2.35 to 2.41; on a thread that has no arena of the allocator yet, and with a loader that
/// has to wait for its lock.
const std::array calls_of_loading = {
    Call{SYS_openat, {current_directory, some_address, O_RDONLY | O_CLOEXEC}},
    Call{SYS_openat, {current_directory_extended, some_address, O_RDONLY | O_CLOEXEC}},
    Call{SYS_read, {some_descriptor, some_address, 832}},
    Call{SYS_pread64, {some_descriptor, some_address, 784, 64}},
    Call{SYS_newfstatat, {some_descriptor, some_address, some_address, empty_path}},
    Call{SYS_fstat, {some_descriptor, some_address}},
    Call{SYS_mmap, {0, page, PROT_READ, MAP_PRIVATE | MAP_DENYWRITE, some_descriptor, 0}},
    Call{SYS_mmap,
         {some_address, page, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED | MAP_DENYWRITE, some_descriptor,
          page}},
    Call{SYS_mmap,
         {some_address, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_DENYWRITE,
          some_descriptor, page}},
    Call{SYS_mmap,
         {some_address, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, no_descriptor,
          0}},
    Call{SYS_mmap, {0, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, no_descriptor, 0}},
    Call{SYS_mmap, {0, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, no_descriptor_extended, 0}},
    Call{SYS_mmap, {0, 128 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, no_descriptor, 0}},
    Call{SYS_mprotect, {some_address, page, PROT_READ}},
    Call{SYS_mprotect, {some_address, page, PROT_READ | PROT_WRITE}},
    Call{SYS_mprotect, {some_address, page, PROT_NONE}},
    Call{SYS_munmap, {some_address, page}},
    Call{SYS_close, {some_descriptor}},
    Call{SYS_brk, {some_address}},
    Call{SYS_futex, {some_address, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 2}},
    Call{SYS_futex, {some_address, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1}},
    Call{SYS_getpid, {}},
    // Back to where the thread was: a signal frame, or the rest of a wait with a time limit.
    Call{SYS_rt_sigreturn, {}},
    Call{SYS_restart_syscall, {}},
};

/// What the agent executes in the target's threads (agent/system_calls.h). Its clock needs none.
const std::array calls_of_recording = {
    Call{SYS_mmap,
         {0, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
          no_descriptor_extended, 0}},
    Call{SYS_munmap, {some_address, page}},
    Call{SYS_gettid, {}},
    Call{SYS_getpid, {}},
    Call{SYS_rt_sigprocmask, {static_cast<std::uint64_t>(-1), some_address, 0, 8}},
};

/// A place in no module: where the agent will be is not known yet.
constexpr std::uint64_t place_of_agent = some_address + (1 << 20);

std::string describe(std::uint32_t action, long call) {
    std::string name(system_call_name(call));
    if (name.empty()) name = fmt::format("system call {}", call);
    switch (action) {
        case SECCOMP_RET_KILL_THREAD:
            return "kills a thread at " + name;
        case SECCOMP_RET_TRAP:
            return "raises SIGSYS at " + name;
        case SECCOMP_RET_ERRNO:
            return "lets " + name + " fail";
        case SECCOMP_RET_USER_NOTIF:
        case SECCOMP_RET_TRACE:
            return "hands " + name + " over to another process";
        default:
            return "kills the process at " + name;
    }
}

/// "" when all are let pass.
std::string strictest_answer(std::span<const SeccompFilter> filters, std::span<const Call> calls,
                             const std::vector<std::uint64_t>& code) {
    std::uint32_t strictest = SECCOMP_RET_LOG;
    long strictest_call = 0;
    std::vector<std::uint64_t> places = code;
    places.push_back(place_of_agent);
    for (const Call& call : calls) {
        for (const std::uint64_t place : places) {
            seccomp_data data{static_cast<int>(call.number), AUDIT_ARCH_X86_64, place, {}};
            std::ranges::copy(call.arguments, data.args);
            const std::uint32_t action = strictest_action(filters, data);
            if (!is_stricter(action, strictest)) continue;
            strictest = action;
            strictest_call = call.number;
        }
    }
    return strictest == SECCOMP_RET_LOG ? "" : describe(strictest, strictest_call);
}

bool is_same(const SeccompFilter& a, const SeccompFilter& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof a[0]) == 0;
}

}  // namespace

Result<SeccompRules> SeccompRules::read(StoppedProcess& stopped, pid_t pid,
                                        const std::vector<std::uint64_t>& code, bool despite_unreadable) {
    SeccompRules rules;
    std::vector<pid_t> filtered;
    pid_t strict = 0;
    const FileDescriptor tasks(
        ::open(fmt::format("/proc/{}/task", pid).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    for (const auto& [tid, mode] : seccomp_modes(tasks.get())) {
        if (mode == SeccompMode::strict) strict = tid;
        if (mode == SeccompMode::filter) filtered.push_back(tid);
    }
    std::string unreadable;
    stopped.on_tracing_thread([&] {
        for (const pid_t tid : filtered) {
            auto filters = seccomp_filters_of(tid);
            if (!filters) {
                unreadable = filters.error().system_errno == EACCES
                                 ? "that takes CAP_SYS_ADMIN in the machine's own user namespace, and no "
                                   "filter on asyncdump itself"
                                 : filters.error().message;
                continue;
            }
            const auto known = std::ranges::find_if(rules.judged_, [&](const Judged& each) {
                return std::ranges::equal(each.filters, *filters, is_same);
            });
            rules.judged_of_[tid] = static_cast<std::size_t>(known - rules.judged_.begin());
            if (known != rules.judged_.end()) continue;
            rules.judged_.push_back({std::move(*filters), "", ""});
            Judged& judged = rules.judged_.back();
            judged.loading = strictest_answer(judged.filters, calls_of_loading, code);
            judged.recording = strictest_answer(judged.filters, calls_of_recording, code);
        }
    });
    if (strict != 0)
        return failure(
            ErrorCode::unsupported_target,
            fmt::format("thread {} of process {} is in seccomp's strict mode, in which it can load "
                        "nothing: start the program with `asyncdump run` instead",
                        strict, pid));
    if (!unreadable.empty() && !despite_unreadable)
        return failure(
            ErrorCode::not_permitted,
            fmt::format("the seccomp filters of process {} cannot be read, and may kill it when the agent is "
                        "loaded ({}): start the program with `asyncdump run`, or inject all the same at your "
                        "own risk with --despite-seccomp",
                        pid, unreadable));
    return rules;
}

std::string SeccompRules::obstacle_to_recording() const {
    for (const auto& [tid, index] : judged_of_) {
        if (!judged_[index].recording.empty())
            return fmt::format("a seccomp filter of thread {} {}", tid, judged_[index].recording);
    }
    return "";
}

std::string SeccompRules::obstacle_to_loading(pid_t tid) const {
    const auto judged = judged_of_.find(tid);
    if (judged == judged_of_.end() || judged_[judged->second].loading.empty()) return "";
    return fmt::format("a seccomp filter of thread {} {}", tid, judged_[judged->second].loading);
}

}  // namespace asyncdump

#include "cli/dump_command.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "base/harmless_text.h"
#include "cli/capture.h"
#include "cli/configuration.h"
#include "cli/explain.h"
#include "cli/terminal.h"
#include "cli/urgent_thread.h"
#include "graph/findings/confirmation.h"
#include "process/live_memory.h"
#include "report/report.h"

namespace asyncdump {
namespace {

/// Long against what a thread needs to finish what it was doing, short against a person's patience.
constexpr auto time_between_looks = std::chrono::milliseconds(500);

/// JSON without --locals has the variables of so many coroutines: what they point to costs little to copy
/// then.
constexpr std::size_t most_coroutines_with_variables = 1000;

void complain(std::string_view message) {
    fmt::print(stderr, "asyncdump: {}\n", harmless(message));
}

Result<std::regex> compile(const std::string& expression, std::string_view option) {
    try {
        return std::regex(expression, std::regex::ECMAScript | std::regex::optimize);
    } catch (const std::regex_error& error) {
        return failure(ErrorCode::usage, fmt::format("{} '{}' is not a regular expression: {}", option,
                                                     expression, error.what()));
    }
}

Result<ReportFilter> make_filter(const DumpCommand& command) {
    ReportFilter filter;
    if (!command.task.empty()) {
        auto task = compile(command.task, "--task");
        if (!task) return tl::unexpected(task.error());
        filter.task = std::move(*task);
    }
    if (!command.function.empty()) {
        auto function = compile(command.function, "--function");
        if (!function) return tl::unexpected(function.error());
        filter.function = std::move(*function);
    }
    if (!command.created_by.empty()) {
        auto created_by = compile(command.created_by, "--created-by");
        if (!created_by) return tl::unexpected(created_by.error());
        filter.created_by = std::move(*created_by);
    }
    filter.under = command.under;
    if (command.thread != 0) filter.thread = command.thread;
    filter.tasks = !command.no_tasks;
    filter.threads = !command.no_threads;
    return filter;
}

TextStyle make_style(const DumpCommand& command, int descriptor) {
    TextStyle style;
    const bool terminal = is_terminal(descriptor);
    style.colour = command.colour == "always" || (command.colour == "auto" && terminal && !wants_no_colour());
    style.unicode = !command.ascii && terminal && has_unicode_locale();
    style.all = command.all;
    style.internal = command.internal;
    style.locals = command.locals;
    style.width = terminal_width(descriptor);
    return style;
}

/// Writes everything, or remembers the first failure and swallows the rest.
class DescriptorOutput {
  public:
    explicit DescriptorOutput(int descriptor) : descriptor_(descriptor) {}
    void operator()(std::string_view text) {
        while (!text.empty() && error_ == 0) {
            const ssize_t written = ::write(descriptor_, text.data(), text.size());
            if (written < 0 && errno != EINTR) error_ = errno;
            if (written > 0) text.remove_prefix(static_cast<std::size_t>(written));
        }
    }
    int error() const { return error_; }

  private:
    int descriptor_;
    int error_ = 0;
};

}  // namespace

namespace {

/// Bytes that may be copied from the target: its machine must not run out of memory because of us.
std::uint64_t most_bytes_to_copy(const DumpCommand& command) {
    if (command.max_memory_mib != 0)
        return (std::uint64_t{static_cast<unsigned>(command.max_memory_mib)} << 20) / 2;
    return available_memory() / 2;
}

/// "" when the environment names none.
std::string usual_cache_folder() {
    const char* const caches = std::getenv("XDG_CACHE_HOME");
    if (caches != nullptr && *caches == '/') return fmt::format("{}/asyncdump", caches);
    const char* const home = std::getenv("HOME");
    return home != nullptr && *home == '/' ? fmt::format("{}/.cache/asyncdump", home) : "";
}

void bound_memory(int mebibytes) {
    if (mebibytes == 0) return;
    const rlim_t bytes = rlim_t{static_cast<unsigned>(mebibytes)} << 20;
    const rlimit bound{bytes, bytes};
    // Fails only where a lower limit stands already.
    ::setrlimit(RLIMIT_DATA, &bound);
}

/// A dump works in phases whose tables are large: what one gives back, the next one takes, without the
/// kernel's zeroing and mapping each page anew (a seventh of the time of a dump of a million coroutines).
void keep_freed_memory() {
    ::mallopt(M_MMAP_MAX, 0);
    ::mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
}

}  // namespace

Result<Dump> make_dump(const DumpCommand& command, const cpp20::UserKnowledge& user) try {
    std::optional<UrgentThread> urgent;
    if (command.nice) {
        urgent.emplace();
        lower_priority_of_this_thread();
    }
    const auto begin = std::chrono::steady_clock::now();
    auto process = examine_process(command.pid);
    if (!process) return tl::unexpected(process.error());
    auto map = MemoryMap::read(command.pid);
    if (!map) return tl::unexpected(map.error());
    auto live = LiveMemory::open(command.pid);
    if (!live) return tl::unexpected(live.error());

    const unsigned workers = command.nice ? 1U : std::max(1U, std::thread::hardware_concurrency());
    const NameStyle names{command.full_names};
    const auto cache = command.no_cache ? nullptr : CacheFolder::open(usual_cache_folder());
    const ModuleSet modules = ModuleSet::of_process(command.pid, *map, {command.debug_directories, cache});
    const std::size_t most_with_variables = command.locals ? std::numeric_limits<std::size_t>::max()
                                            : command.json ? most_coroutines_with_variables
                                                           : 0;
    cpp20::Cpp20Runtime runtime(modules, {names, true, workers, user, most_with_variables});
    const auto found = AgentRegistry::find(modules, *live);
    const AgentRegistry* const registry = found && *found ? &**found : nullptr;
    if (const bool asks_for_creation = !command.under.empty() || !command.created_by.empty();
        asks_for_creation && registry == nullptr)
        return failure(
            ErrorCode::unsupported_target,
            fmt::format(
                "--under and --created-by tell nothing of process {}: {}; start it with `asyncdump run`, "
                "or `asyncdump inject {}` for what is created from then on",
                command.pid,
                found ? "it has no agent, and nobody else knows where its coroutines were created"
                      : found.error().message,
                command.pid));
    auto snapshot = capture(*process, *map, *live, runtime,
                            {workers, command.exact, registry, command.scan, command.locals,
                             std::chrono::milliseconds(command.max_pause_ms), most_bytes_to_copy(command),
                             urgent ? &*urgent : nullptr});
    if (!snapshot) return tl::unexpected(snapshot.error());
    if (!found) snapshot->problems.push_back({"agent_not_usable", found.error().message, "", false});
    const StackValues stack_values = command.locals ? StackValues::all
                                     : command.json ? StackValues::of_running_coroutines
                                                    : StackValues::none;
    Dump dump = explain(*snapshot, *live, modules, runtime, names, stack_values, registry);
    modules.save_caches();
    dump.capture.total =
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
    return dump;
} catch (const std::bad_alloc&) {
    return failure(ErrorCode::system,
                   command.max_memory_mib != 0
                       ? fmt::format("{} MiB are not enough for this process: give --max-memory more",
                                     command.max_memory_mib)
                       : "out of memory: bound what is copied with --max-memory");
}

Result<Dump> make_checked_dump(const DumpCommand& command, const cpp20::UserKnowledge& user) {
    auto first = make_dump(command, user);
    if (!first || first->findings.empty()) return first;
    std::this_thread::sleep_for(time_between_looks);
    auto second = make_dump(command, user);
    if (!second) return second;
    second->findings = confirmed_findings(*first, *second);
    return second;
}

bool has_error(const Dump& dump) {
    return std::ranges::any_of(dump.findings, &Finding::is_error);
}

int run_dump_command(const DumpCommand& command) {
    const auto filter = make_filter(command);
    if (!filter) {
        complain(filter.error().message);
        return exit_usage;
    }
    auto configuration = read_configuration(command.configuration);
    if (!configuration) {
        complain(configuration.error().message);
        return exit_usage;
    }
    for (const std::string& warning : configuration->warnings) complain(warning);
    bound_memory(command.max_memory_mib);
    keep_freed_memory();
    Result<Dump> dump;
    {
        const Progress progress(fmt::format("asyncdump: looking at process {} ...", command.pid));
        dump = command.check ? make_checked_dump(command, configuration->knowledge)
                             : make_dump(command, configuration->knowledge);
    }
    if (!dump) {
        complain(dump.error().message);
        return exit_nothing;
    }

    FileDescriptor file;
    if (!command.output_file.empty()) {
        file = FileDescriptor(
            ::open(command.output_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
        if (!file) {
            complain(fmt::format("cannot write {}: {}", command.output_file, std::strerror(errno)));
            return exit_nothing;
        }
    }
    const int descriptor = file ? file.get() : STDOUT_FILENO;
    DescriptorOutput output(descriptor);
    if (command.json) {
        write_json(*dump, *filter, std::ref(output));
    } else {
        write_text(*dump, *filter, make_style(command, descriptor), std::ref(output));
    }
    if (output.error() == EPIPE) return exit_partial;  // the reader, a pager perhaps, has seen enough
    if (output.error() != 0) {
        complain(fmt::format("cannot write the dump: {}", std::strerror(output.error())));
        return exit_nothing;
    }
    for (const Problem& problem : dump->problems) {
        if (problem.may_hide) complain(fmt::format("incomplete: {}", problem.message));
    }
    if (command.check && has_error(*dump)) return exit_finding;
    return dump->capture.complete ? exit_complete : exit_partial;
}

}  // namespace asyncdump

#include "cli/watch_command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <csignal>
#include <optional>
#include <set>
#include <thread>

#include "base/harmless_text.h"
#include "cli/configuration.h"
#include "cli/dump_command.h"
#include "cli/named_process.h"
#include "cli/still_parts.h"
#include "cli/usage.h"
#include "cli/watch_reports.h"
#include "graph/findings/confirmation.h"
#include "graph/findings/findings.h"
#include "report/report.h"

namespace asyncdump {
namespace {

using Clock = StillParts::Clock;
using std::chrono::milliseconds;

/// While all is well the next full dump comes after twice the time of the one before, up to so many times
/// --stuck-after.
constexpr int longest_gap = 10;
constexpr auto look_for_name_every = milliseconds(500);

struct WatchOptions {
    pid_t pid = 0;
    std::string name;
    milliseconds interval{5000}, stuck_after{30'000};
    std::optional<milliseconds> duration;
    bool once = false, json = false;
    std::string command;
    DumpFolder folder;
    std::vector<std::string> debug_directories;
    bool no_cache = false, scan = false, exact = false;
    std::string configuration;
};

void tell(std::string_view message) {
    fmt::print(stderr, "asyncdump: {}\n", harmless(message));
}

/// "500ms", "5s", "2m", "1h".
std::optional<milliseconds> parse_duration(std::string_view text) {
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
    constexpr std::int64_t largest = 1'000'000'000;
    if (error != std::errc() || number < 0 || number > largest) return std::nullopt;
    if (unit == "ms") return milliseconds(number);
    if (unit == "s") return milliseconds(number * 1000);
    if (unit == "m") return milliseconds(number * 60'000);
    if (unit == "h") return milliseconds(number * 3'600'000);
    return std::nullopt;
}

void add_duration(CLI::App& app, const std::string& name, const std::string& description,
                  const std::function<void(milliseconds)>& set) {
    app.add_option_function<std::string>(
           name, [set](const std::string& text) { set(*parse_duration(text)); }, description)
        ->check([](const std::string& text) {
            return parse_duration(text) ? std::string() : text + " is no duration: 500ms, 5s, 2m or 1h";
        })
        ->type_name("DURATION");
}

class Watcher {
  public:
    Watcher(const WatchOptions& options, cpp20::UserKnowledge user)
        : options_(options),
          user_(std::move(user)),
          end_(options.duration ? Clock::now() + *options.duration : Clock::time_point::max()) {}

    int run() {
        const int status = watch_all();
        return has_reported_ ? exit_finding : status;
    }

  private:
    int watch_all() {
        while (true) {
            const auto pid = options_.name.empty() ? std::optional(options_.pid) : wait_for_name();
            if (!pid) return options_.once ? exit_nothing : exit_complete;
            reported_.clear();
            const int status = watch(*pid);
            // What cannot be watched though it lives would be found again at once.
            const bool has_ended = status == exit_nothing && !examine_process(*pid);
            if (!has_ended || options_.name.empty() || options_.once) return status;
            tell(fmt::format("{} has ended: waiting for the next one", options_.name));
            if (!sleep_until_next(Clock::now() + look_for_name_every)) return exit_complete;
        }
    }

    /// Says why it waits, each reason once.
    std::optional<pid_t> wait_for_name() {
        while (true) {
            const NamedProcesses found = find_by_name(options_.name);
            if (!found.pids.empty()) {
                if (found.pids.size() > 1) tell_choice(found.pids);
                return found.pids.front();
            }
            std::string reason =
                found.refused.empty() ? fmt::format("there is no process {}", options_.name) : found.refused;
            if (!options_.once) reason += "; waiting for one that can be watched";
            if (told_reasons_.insert(reason).second) tell(reason);
            if (options_.once || !sleep_until_next(Clock::now() + look_for_name_every)) return std::nullopt;
        }
    }

    void tell_choice(const std::vector<pid_t>& pids) const {
        tell(fmt::format("{} processes have the name {}: watching the oldest, {}, and not {}", pids.size(),
                         options_.name, pids.front(), fmt::join(pids.begin() + 1, pids.end(), ", ")));
    }

    /// False when our own time is over.
    bool sleep_until_next(Clock::time_point next) const {
        std::this_thread::sleep_until(std::min(next, end_));
        return Clock::now() < end_;
    }

    int watch(pid_t pid) {
        const auto process = examine_process(pid);
        if (!process) {
            tell(process.error().message);
            return exit_nothing;
        }
        auto parts = StillParts::of(*process);
        if (!parts) {
            tell(parts.error().message);
            return exit_nothing;
        }
        DumpCommand command;
        command.pid = pid;
        command.debug_directories = options_.debug_directories;
        command.no_cache = options_.no_cache;
        command.scan = options_.scan;
        command.exact = options_.exact;
        const auto begin = Clock::now();
        auto next_search = begin, next_dump = begin + options_.stuck_after;
        auto gap = options_.stuck_after;
        for (auto next = begin;;) {
            const auto now = Clock::now();
            if (now >= next_search) {
                next_search = now + options_.stuck_after;
                if (auto searched = parts->search(now); !searched) return gone(pid);
            }
            if (auto looked = parts->look(now); !looked) return gone(pid);
            const bool looks_stuck = parts->still_for(options_.stuck_after, now) > 0;
            if (now >= next_dump && looks_stuck) {
                const auto verdict = examine(command, *parts);
                if (verdict) return *verdict;
                parts->forget_the_stop();
                gap = std::min<milliseconds>(gap * 2, options_.stuck_after * longest_gap);
                next_dump = Clock::now() + gap;
            }
            if (options_.once && now >= begin + options_.stuck_after) return exit_complete;
            next += options_.interval;
            if (next < now) next = now + options_.interval;
            if (!sleep_until_next(options_.once ? std::min(next, std::max(now, begin + options_.stuck_after))
                                                : next))
                return exit_complete;
        }
    }

    int gone(pid_t pid) const {
        tell(fmt::format("process {} has ended", pid));
        return exit_nothing;
    }

    /// A full dump, and a second one to confirm it. Empty when the watch goes on.
    std::optional<int> examine(const DumpCommand& command, const StillParts& parts) {
        auto dump = make_checked_dump(command, user_);
        if (!dump) {
            tell(dump.error().message);
            return exit_nothing;
        }
        const auto still = Clock::now() - parts.all_threads_still_since();
        if (still >= options_.stuck_after) {
            for (Finding& finding :
                 find_stuck(*dump, std::chrono::duration_cast<std::chrono::seconds>(still))) {
                dump->findings.push_back(std::move(finding));
            }
        }
        bool is_news = false;
        for (const Finding& finding : dump->findings) {
            if (!reported_.insert(identity_of(*dump, finding)).second) continue;
            tell(fmt::format("{}: {}: {}", finding.is_error ? "error" : "warning", finding.kind,
                             finding.summary));
            is_news = is_news || finding.is_error;
        }
        if (!is_news) return std::nullopt;
        return report(*dump);
    }

    std::optional<int> report(const Dump& dump) {
        has_reported_ = true;
        std::string path;
        if (!options_.folder.path.empty()) {
            const auto written = options_.folder.write(dump);
            if (written) path = *written;
            tell(written ? "the dump is " + path
                         : written.error().message + "; it is printed on standard output instead");
        }
        const bool is_kept = !path.empty() || (options_.folder.path.empty() && !options_.command.empty());
        if (!is_kept) print(dump);
        if (options_.command.empty()) return exit_finding;
        const auto ended = run_shell_command(options_.command, dump, path, end_);
        if (!ended) tell(ended.error().message);
        if (ended && ended->left_behind != 0)
            tell(fmt::format("the command is still running when the watch ends: process {} is left behind",
                             ended->left_behind));
        else if (ended && ended->status != 0)
            tell(fmt::format("the command ended with status {}", ended->status));
        return options_.once ? std::optional<int>(exit_finding) : std::nullopt;
    }

    void print(const Dump& dump) const {
        const auto output = [](std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); };
        if (options_.json) {
            write_json(dump, {}, output);
        } else {
            write_text(dump, {}, {}, output);
        }
        std::fflush(stdout);
    }

    const WatchOptions& options_;
    cpp20::UserKnowledge user_;
    Clock::time_point end_;
    std::set<std::string> reported_, told_reasons_;
    bool has_reported_ = false;  ///< an error, of whichever process
};

}  // namespace

int run_watch_command(int count, char** arguments) {
    WatchOptions options;
    CLI::App app("Looks at a process again and again, at little cost, and reports what is stuck.",
                 "asyncdump watch");
    app.add_option("PID", options.pid, "the process to watch")->check(CLI::Range(1, 1 << 22));
    app.add_option("--name", options.name,
                   "watch the oldest process of this name, and the next one when it ends")
        ->type_name("NAME");
    add_duration(app, "--interval", "between two looks (default 5s)",
                 [&](milliseconds d) { options.interval = d; });
    add_duration(app, "--stuck-after", "what has not moved for so long is looked at closely (default 30s)",
                 [&](milliseconds d) { options.stuck_after = d; });
    add_duration(app, "--for", "how long to watch (default: for ever)",
                 [&](milliseconds d) { options.duration = d; });
    app.add_flag("--once", options.once, "watch for --stuck-after, judge once and end");
    app.add_flag("--json", options.json, "print a reported dump as JSON");
    app.add_option(
           "--exec", options.command,
           "run this shell command at each report and go on watching; it finds ASYNCDUMP_PID, "
           "ASYNCDUMP_FINDINGS and, with --dump-to, ASYNCDUMP_DUMP; one that still runs when --for is "
           "over is left behind")
        ->type_name("COMMAND");
    app.add_option("--dump-to", options.folder.path,
                   "write reported dumps to this folder, which is made when it is not there")
        ->type_name("DIR");
    app.add_option("--keep", options.folder.keep, "how many dumps to keep there (default 10)")
        ->check(CLI::Range(1, 100'000));
    app.add_flag("--scan", options.scan,
                 "full dumps search memory also where the agent's registry is complete");
    app.add_flag(
        "--exact", options.exact,
        "full dumps look for coroutines while the target is stopped: a longer pause, nothing missed");
    app.add_flag("--no-cache", options.no_cache,
                 "neither use nor keep what is known of programs from earlier dumps (~/.cache/asyncdump)");
    app.add_option("--debug-dir", options.debug_directories,
                   "a folder with separate debug files (repeatable)")
        ->check(CLI::ExistingDirectory)
        ->type_name("DIR");
    app.add_option("--config", options.configuration, "what to know of your libraries")->type_name("FILE");
    try {
        app.parse(count, arguments);
        if (app.count("PID") != 0 && !options.name.empty())
            throw CLI::ValidationError("PID and --name exclude each other: give one of them");
        if (app.count("PID") == 0 && options.name.empty()) throw CLI::RequiredError("PID or --name");
        if (options.interval < milliseconds(10))
            throw CLI::ValidationError("--interval", "less than 10ms is too little");
    } catch (const CLI::ParseError& error) {
        return end_parsing(app, error, "asyncdump watch");
    }
    if (!options.folder.path.empty()) {
        if (const auto prepared = options.folder.prepare(); !prepared) {
            tell(prepared.error().message);
            return exit_usage;
        }
    }
    auto configuration = read_configuration(options.configuration);
    if (!configuration) {
        tell(configuration.error().message);
        return exit_usage;
    }
    for (const std::string& warning : configuration->warnings) tell(warning);
    std::signal(SIGPIPE, SIG_IGN);
    return Watcher(options, std::move(configuration->knowledge)).run();
}

}  // namespace asyncdump

#include "cli/watch_command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <thread>

#include "base/harmless_text.h"
#include "cli/configuration.h"
#include "cli/dump_command.h"
#include "cli/still_parts.h"
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
    bool no_cache = false;
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

struct NamedProcess {
    std::optional<pid_t> pid;
    std::string refused;  ///< why a process of that name cannot be looked at; "" when there is none
};

/// The oldest process whose name or executable is `name`, ourselves left out.
NamedProcess find_by_name(const std::string& name) {
    NamedProcess found;
    std::uint64_t begun = 0;
    std::error_code error;
    for (std::filesystem::directory_iterator entry("/proc", error), end; !error && entry != end;
         entry.increment(error)) {
        const std::string text = entry->path().filename().string();
        pid_t pid = 0;
        const auto [last, wrong] = std::from_chars(text.data(), text.data() + text.size(), pid);
        if (wrong != std::errc() || last != text.data() + text.size() || pid == ::getpid()) continue;
        std::string comm;
        std::getline(std::ifstream(entry->path() / "comm"), comm);
        std::error_code no_link;
        const auto executable =
            std::filesystem::read_symlink(entry->path() / "exe", no_link).filename().string();
        // The kernel cuts names to 15 bytes.
        if (executable != name && comm != name.substr(0, 15)) continue;
        const auto process = examine_process(pid);
        if (!process) found.refused = process.error().message;
        if (!process || (found.pid && process->start_time_ticks >= begun)) continue;
        found.pid = pid;
        begun = process->start_time_ticks;
    }
    return found;
}

class Watcher {
  public:
    Watcher(const WatchOptions& options, cpp20::UserKnowledge user)
        : options_(options),
          user_(std::move(user)),
          end_(options.duration ? Clock::now() + *options.duration : Clock::time_point::max()) {}

    int run() {
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

  private:
    /// Says why it waits, each reason once.
    std::optional<pid_t> wait_for_name() {
        while (true) {
            const NamedProcess found = find_by_name(options_.name);
            if (found.pid) return found.pid;
            const std::string reason =
                found.refused.empty() ? fmt::format("there is no process {}", options_.name) : found.refused;
            if (options_.once || told_reasons_.insert(reason).second) tell(reason);
            if (options_.once || !sleep_until_next(Clock::now() + look_for_name_every)) return std::nullopt;
        }
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

    std::optional<int> report(const Dump& dump) const {
        std::string path;
        if (!options_.folder.path.empty()) {
            const auto written = options_.folder.write(dump);
            if (written) {
                path = *written;
                tell("the dump is " + path);
            } else {
                tell(written.error().message);
            }
        } else if (options_.command.empty()) {
            print(dump);
        }
        if (options_.command.empty()) return exit_finding;
        const auto status = run_shell_command(options_.command, dump, path);
        if (!status) tell(status.error().message);
        if (status && *status != 0) tell(fmt::format("the command ended with status {}", *status));
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
};

}  // namespace

int run_watch_command(int count, char** arguments) {
    WatchOptions options;
    CLI::App app("Looks at a process again and again, at little cost, and reports what is stuck.",
                 "asyncdump watch");
    app.add_option("PID", options.pid, "the process to watch");
    app.add_option("--name", options.name, "watch the process of this name, and the next one when it ends")
        ->type_name("NAME");
    add_duration(app, "--interval", "between two looks (default 5s)",
                 [&](milliseconds d) { options.interval = d; });
    add_duration(app, "--stuck-after", "what has not moved for so long is looked at closely (default 30s)",
                 [&](milliseconds d) { options.stuck_after = d; });
    add_duration(app, "--for", "how long to watch (default: for ever)",
                 [&](milliseconds d) { options.duration = d; });
    app.add_flag("--once", options.once, "watch for --stuck-after, judge once and end");
    app.add_flag("--json", options.json, "print a reported dump as JSON");
    app.add_option("--exec", options.command, "run this shell command at each report and go on watching")
        ->type_name("COMMAND");
    app.add_option("--dump-to", options.folder.path, "write reported dumps to this folder")->type_name("DIR");
    app.add_option("--keep", options.folder.keep, "how many dumps to keep there (default 10)")
        ->check(CLI::Range(1, 100'000));
    app.add_flag("--no-cache", options.no_cache,
                 "neither use nor keep what is known of programs from earlier dumps (~/.cache/asyncdump)");
    app.add_option("--debug-dir", options.debug_directories,
                   "a folder with separate debug files (repeatable)")
        ->check(CLI::ExistingDirectory)
        ->type_name("DIR");
    app.add_option("--config", options.configuration, "what to know of your libraries")->type_name("FILE");
    try {
        app.parse(count, arguments);
        if ((options.pid > 0) == !options.name.empty()) throw CLI::RequiredError("PID or --name");
        if (options.interval < milliseconds(10))
            throw CLI::ValidationError("--interval", "is less than 10ms");
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? exit_complete : exit_usage;
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

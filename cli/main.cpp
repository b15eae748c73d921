#include <CLI/CLI.hpp>
#include <csignal>

#include "cli/dump_command.h"
#include "cli/inject_command.h"
#include "cli/run_command.h"
#include "cli/usage.h"
#include "cli/watch_command.h"

namespace {

void add_dump_options(CLI::App& app, asyncdump::DumpCommand& command) {
    app.add_option("PID", command.pid, "the process to look at");
    app.add_flag("--json", command.json, "print JSON (schema asyncdump.dump/1) instead of text");
    app.add_option("-o,--output", command.output_file, "write to FILE instead of standard output")
        ->type_name("FILE");
    app.add_option("--task", command.task, "only trees with a task name or function that matches")
        ->type_name("REGEX");
    app.add_option("--function", command.function, "only trees with a function that matches")
        ->type_name("REGEX");
    app.add_option("--under", command.under, "only what was created under this name (asyncdump/annotate.h)")
        ->type_name("NAME");
    app.add_option("--created-by", command.created_by, "only trees with a creation stack that matches")
        ->type_name("REGEX");
    app.add_option("--thread", command.thread, "only this thread's stack")->type_name("TID");
    app.add_flag("--check", command.check,
                 "report only findings that a second look confirms; exit status 3 when one is an error");
    app.add_flag("--no-tasks", command.no_tasks, "leave out the tasks");
    app.add_flag("--no-threads", command.no_threads, "leave out the threads");
    app.add_flag("--all", command.all, "show each tree, also those that are equal");
    app.add_flag("--internal", command.internal, "show libraries' own coroutines");
    app.add_flag("--locals", command.locals, "show parameters and local variables");
    app.add_flag("--full-names", command.full_names, "show names with everything the compiler wrote");
    app.add_flag("--ascii", command.ascii, "no Unicode in the text");
    app.add_option("--color", command.colour, "auto, always or never")
        ->check(CLI::IsMember({"auto", "always", "never"}))
        ->type_name("WHEN");
    app.add_flag("--exact", command.exact,
                 "look for coroutines while the target is stopped: a longer pause, nothing missed");
    app.add_option("--max-pause", command.max_pause_ms,
                   "let the target go on after MS milliseconds, also when the dump is not complete then")
        ->check(CLI::Range(1, 60'000))
        ->type_name("MS");
    app.add_option("--max-memory", command.max_memory_mib,
                   "copy at most about half of MIB, and fail when asyncdump would need more than MIB")
        ->check(CLI::Range(64, 1 << 20))
        ->type_name("MIB");
    app.add_flag(
        "--nice", command.nice,
        "plan and explain at the lowest priority and on one processor; only the stop keeps its priority");
    app.add_flag("--no-cache", command.no_cache,
                 "neither use nor keep what is known of programs from earlier dumps (~/.cache/asyncdump)");
    app.add_flag("--scan", command.scan, "search memory also where the agent's registry is complete");
    app.add_option("--debug-dir", command.debug_directories,
                   "a folder with separate debug files (repeatable)")
        ->check(CLI::ExistingDirectory)
        ->type_name("DIR");
    app.add_option("--config", command.configuration,
                   "what to know of your libraries (else asyncdump.toml here and in ~/.config/asyncdump)")
        ->type_name("FILE");
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("Shows what every coroutine of a running C++ process waits for, and every thread's stack.",
                 "asyncdump");
    app.set_version_flag("--version", "asyncdump " ASYNCDUMP_VERSION);
    asyncdump::DumpCommand dump;
    add_dump_options(app, dump);
    app.add_subcommand("run", asyncdump::run_description);
    app.add_subcommand("inject", asyncdump::inject_description);
    app.add_subcommand("watch", asyncdump::watch_description);
    const std::string_view first = argc > 1 ? argv[1] : "";
    if (first == "run") return asyncdump::run_run_command(argc - 1, argv + 1);
    if (first == "inject") return asyncdump::run_inject_command(argc - 1, argv + 1);
    if (first == "watch") return asyncdump::run_watch_command(argc - 1, argv + 1);
    try {
        app.parse(argc, argv);
        if (dump.pid <= 0) throw CLI::RequiredError("PID (a positive number)");
    } catch (const CLI::ParseError& error) {
        return asyncdump::end_parsing(app, error, "asyncdump");
    }
    // A closed pipe is an error of write(2), not our death: the target is resumed on every path.
    std::signal(SIGPIPE, SIG_IGN);
    return asyncdump::run_dump_command(dump);
}

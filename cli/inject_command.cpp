#include "cli/inject_command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <string>
#include <thread>

#include "base/harmless_text.h"
#include "cli/dump_command.h"
#include "cli/usage.h"
#include "injector/agent_file.h"
#include "injector/inject.h"
#include "process/live_memory.h"
#include "process/resident_pages.h"
#include "runtimes/cpp20/cpp20_runtime.h"
#include "runtimes/cpp20/frame_scan.h"

namespace asyncdump {
namespace {

constexpr const char* risk =
    "Injecting is the one thing asyncdump does that changes the target: a thread of it is made to call "
    "dlopen() at a point where it holds no lock of the allocator or the loader, and its global offset tables "
    "are patched. If the program loads or unloads libraries through means of its own at that moment, it can "
    "hang or fail. A target with a seccomp filter that would not let the agent's system calls pass is "
    "refused; a filter that it adds later is not known. asyncdump PID alone never injects.";

void say(std::string_view message) {
    fmt::print(stderr, "asyncdump: {}\n", harmless(message));
}

/// Frames that exist already, with as much of their memory as is known to be theirs.
std::vector<asyncdump_block> find_frames(const ProcessInfo& process) {
    const auto map = MemoryMap::read(process.pid);
    const auto live = LiveMemory::open(process.pid);
    if (!map || !live) return {};
    const ModuleSet modules = ModuleSet::of_process(process.pid, *map, {});
    const cpp20::CoroutineCatalog catalog(modules);
    cpp20::LayoutCache layouts(catalog);
    const auto resident = resident_parts(process.pid, cpp20::scannable_ranges(*map));
    const auto found = cpp20::scan_for_frames(*live, resident, catalog, std::thread::hardware_concurrency());
    std::vector<asyncdump_block> blocks;
    for (const cpp20::Frame& frame : cpp20::examine_frames(*live, *map, catalog, layouts, found.frames)) {
        // What is nested in another frame is found inside that; of what is no block of its own no hook sees
        // the end.
        if (frame.owns_block) blocks.push_back({frame.address.value(), frame.extent});
    }
    return blocks;
}

}  // namespace

int run_inject_command(int count, char** arguments) {
    std::signal(SIGPIPE, SIG_IGN);
    CLI::App app(inject_description, "asyncdump inject");
    app.footer(risk);
    pid_t pid = 0;
    int seconds = 10;
    InjectOptions options;
    app.add_option("PID", pid, "the process")->required()->check(CLI::Range(1, 1 << 22));
    app.add_option("--agent", options.agent, "the agent, libasyncdump-agent.so")->type_name("FILE");
    app.add_option("--timeout", seconds, "seconds to find a safe point (10)")
        ->check(CLI::Range(1, 600))
        ->type_name("S");
    app.add_flag(
        "--despite-seccomp", options.despite_seccomp,
        "also where the target's seccomp filters cannot be read: at your own risk, as they may kill it");
    try {
        app.parse(count, arguments);
    } catch (const CLI::ParseError& error) {
        return end_parsing(app, error, "asyncdump inject");
    }
    options.timeout = std::chrono::seconds(seconds);
    const auto agent = find_agent(options.agent);
    if (!agent) {
        say(agent.error().message);
        return exit_nothing;
    }
    options.agent = *agent;
    const auto process = examine_process(pid);
    if (!process) {
        say(process.error().message);
        return exit_nothing;
    }
    options.before_change = [] { say(risk); };
    options.find_frames = [&] { return find_frames(*process); };
    const auto injected = inject(*process, options);
    if (!injected) {
        say(injected.error().message);
        return exit_nothing;
    }
    if (injected->was_there) {
        fmt::print("the agent is in process {} already and records\n", pid);
    } else {
        fmt::print(
            "the agent is in process {}: {} places patched, {} coroutines adopted; all threads stood still "
            "for "
            "{} us\n",
            pid, injected->slots, injected->adopted, injected->pause.count());
    }
    return exit_complete;
}

}  // namespace asyncdump

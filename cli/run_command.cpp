#include "cli/run_command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/harmless_text.h"
#include "cli/dump_command.h"
#include "cli/usage.h"
#include "injector/agent_file.h"
#include "injector/launch.h"

namespace asyncdump {
namespace {

enum RunStatus : int { exit_no_agent = 125, exit_not_executable = 126, exit_not_found = 127 };

struct RunCommand {
    std::string agent;  ///< "" = where asyncdump finds it
    int stack = -1;     ///< return addresses for each creation; -1 = as the agent has it
    bool malloc = false, children = false, best_effort = false;
    std::vector<std::string> command;
};

void say(std::string_view message) {
    fmt::print(stderr, "asyncdump: {}\n", harmless(message));
}

std::string agent_options(const RunCommand& command) {
    std::string options;
    const auto add = [&](const std::string& option) { options += (options.empty() ? "" : ",") + option; };
    if (command.stack >= 0) add(fmt::format("stack={}", command.stack));
    if (command.malloc) add("malloc=1");
    if (command.children) add("children=1");
    return options;
}

void add_options(CLI::App& app, RunCommand& command) {
    app.add_option("--stack", command.stack, "calls to keep for each creation, 0 to 32 (8)")
        ->check(CLI::Range(0, 32))
        ->type_name("N");
    app.add_flag("--malloc", command.malloc,
                 "register blocks of malloc too (promise allocators over malloc)");
    app.add_flag("--children", command.children, "load the agent also into what the command starts");
    app.add_flag("--best-effort", command.best_effort,
                 "start the command also where the agent cannot be loaded");
    app.add_option("--agent", command.agent, "the agent, libasyncdump-agent.so")->type_name("FILE");
    app.prefix_command();
}

int start(const RunCommand& command) {
    LaunchOptions options;
    options.command = command.command;
    options.agent_options = agent_options(command);
    std::string obstacle;
    if (const auto found = find_agent(command.agent))
        options.agent = *found;
    else
        obstacle = found.error().message;
    if (obstacle.empty()) obstacle = launch_obstacle(options);
    if (!obstacle.empty()) {
        say(fmt::format("{}{}", obstacle,
                        command.best_effort ? "; it is started without the agent"
                                            : " (--best-effort starts the command all the same)"));
        if (!command.best_effort) return exit_no_agent;
    }
    if (obstacle.empty() && !command.children) {
        if (const std::string interpreter = launch_interpreter(options); !interpreter.empty())
            say(fmt::format(
                "{} is a script: the agent is loaded into its interpreter {} only; for what the script "
                "starts use --children",
                options.command.front(), interpreter));
    }
    const int error = launch(options, obstacle.empty());
    say(fmt::format("cannot start {}: {}", options.command.front(), std::strerror(error)));
    return error == ENOENT ? exit_not_found : exit_not_executable;
}

}  // namespace

int run_run_command(int count, char** arguments) {
    CLI::App app(run_description, "asyncdump run");
    RunCommand command;
    add_options(app, command);
    char** const end = arguments + count;
    char** const own_end = std::find(arguments, end, std::string_view("--"));
    try {
        app.parse(static_cast<int>(own_end - arguments), arguments);
    } catch (const CLI::ParseError& error) {
        return end_parsing(app, error, "asyncdump run");
    }
    command.command = app.remaining();
    if (!command.command.empty() && command.command.front().starts_with('-')) {
        say(fmt::format("run: unknown option {}", command.command.front()));
        return exit_usage;
    }
    if (own_end != end) command.command.insert(command.command.end(), own_end + 1, end);
    if (command.command.empty()) {
        say("run: name the command to start: asyncdump run -- COMMAND ...");
        return exit_usage;
    }
    return start(command);
}

}  // namespace asyncdump

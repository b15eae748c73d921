#include "injector/launch.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string_view>

#include "base/file_descriptor.h"
#include "injector/agent_obstacle.h"

namespace asyncdump {
namespace {

constexpr int deepest_script = 4;  // as the kernel has it, a script's interpreter may be a script

/// Where execvp(3) would find the command; empty when nowhere.
std::string find_command(const std::string& command) {
    if (command.find('/') != command.npos) return command;
    const char* const variable = ::getenv("PATH");
    std::string_view rest = variable != nullptr ? variable : "/bin:/usr/bin";
    while (true) {
        const auto end = rest.find(':');
        const std::string_view folder = rest.substr(0, end);
        std::string path = fmt::format("{}/{}", folder.empty() ? "." : folder, command);
        if (::access(path.c_str(), X_OK) == 0) return path;
        if (end == rest.npos) return "";
        rest.remove_prefix(end + 1);
    }
}

FileDescriptor open_file(const std::string& path) {
    return FileDescriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
}

void put_before(const char* variable, const std::string& value, char separator) {
    const char* const present = ::getenv(variable);
    const bool empty = present == nullptr || *present == '\0';
    ::setenv(variable, empty ? value.c_str() : fmt::format("{}{}{}", value, separator, present).c_str(), 1);
}

}  // namespace

std::string launch_obstacle(const LaunchOptions& options) {
    if (options.agent.find_first_of(": ") != options.agent.npos)
        return fmt::format("LD_PRELOAD cannot name a file with a colon or a space in its path: {}",
                           options.agent);
    std::string path = find_command(options.command.front());
    for (int depth = 0; depth <= deepest_script && !path.empty(); ++depth) {
        const FileDescriptor file = open_file(path);
        if (!file) return "";
        const std::string obstacle = agent_obstacle(file, AgentWay::preloaded);
        if (!obstacle.empty()) return fmt::format("{} {}", path, obstacle);
        path = script_interpreter(file);
    }
    return "";
}

std::string launch_interpreter(const LaunchOptions& options) {
    const FileDescriptor file = open_file(find_command(options.command.front()));
    return file ? script_interpreter(file) : "";
}

int launch(const LaunchOptions& options, bool with_agent) {
    if (with_agent) {
        put_before("LD_PRELOAD", options.agent, ':');
        if (!options.agent_options.empty()) {
            // Of an option that is given twice the agent takes the last.
            const char* const present = ::getenv("ASYNCDUMP_AGENT");
            const std::string before =
                present != nullptr && *present != '\0' ? std::string(present) + "," : "";
            ::setenv("ASYNCDUMP_AGENT", (before + options.agent_options).c_str(), 1);
        }
    }
    std::vector<char*> arguments;
    for (const std::string& argument : options.command)
        arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    ::execvp(arguments[0], arguments.data());
    return errno;
}

}  // namespace asyncdump

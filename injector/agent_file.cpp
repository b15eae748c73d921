#include "injector/agent_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

#include "modules/module.h"

namespace asyncdump {
namespace {

constexpr const char* agent_name = "libasyncdump-agent.so";
constexpr const char* registry_name = "asyncdump_registry";

std::string own_folder() {
    char path[PATH_MAX];
    const ssize_t length = ::readlink("/proc/self/exe", path, sizeof path);
    const std::string executable(path, length > 0 ? static_cast<std::size_t>(length) : 0);
    return executable.substr(0, executable.find_last_of('/') + 1);
}

/// The dynamic linker would only print a warning for what it cannot load.
Result<std::string> checked(const std::string& path) {
    char resolved[PATH_MAX];
    if (::access(path.c_str(), R_OK) != 0 || ::realpath(path.c_str(), resolved) == nullptr)
        return failure(ErrorCode::unreadable_file,
                       fmt::format("the agent {} cannot be read: {}", path, std::strerror(errno)), errno);
    const auto set = ModuleSet::of_file(resolved, 0, {});
    if (!set || set->modules().size() != 1 || !set->modules()[0]->find_exported_symbol(registry_name))
        return failure(ErrorCode::unreadable_file, fmt::format("{} is no {}", path, agent_name), 0);
    return std::string(resolved);
}

}  // namespace

Result<std::string> find_agent(const std::string& named) {
    if (!named.empty()) return checked(named);
    const std::string folder = own_folder();
    for (const char* place : {"", ASYNCDUMP_AGENT_FROM_EXECUTABLE "/", "../agent/"}) {
        const std::string path = folder + place + agent_name;
        char resolved[PATH_MAX];
        if (::access(path.c_str(), R_OK) == 0 && ::realpath(path.c_str(), resolved) != nullptr)
            return std::string(resolved);
    }
    return failure(ErrorCode::unreadable_file,
                   fmt::format("{} is neither beside {}asyncdump nor in {}" ASYNCDUMP_AGENT_FROM_EXECUTABLE
                               ": name it with --agent FILE",
                               agent_name, folder, folder),
                   ENOENT);
}

}  // namespace asyncdump

#include "injector/agent_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>

namespace asyncdump {
namespace {

constexpr const char* agent_name = "libasyncdump-agent.so";

std::string own_folder() {
    char path[PATH_MAX];
    const ssize_t length = ::readlink("/proc/self/exe", path, sizeof path);
    const std::string executable(path, length > 0 ? static_cast<std::size_t>(length) : 0);
    return executable.substr(0, executable.find_last_of('/') + 1);
}

}  // namespace

Result<std::string> find_agent() {
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

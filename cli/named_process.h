#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace asyncdump {

struct NamedProcesses {
    std::vector<pid_t> pids;  ///< that can be looked at, the oldest first
    std::string refused;      ///< why another one of that name cannot be; "" when there is none
};

/// The processes whose name or executable is `name`, ourselves left out.
NamedProcesses find_by_name(const std::string& name);

}  // namespace asyncdump

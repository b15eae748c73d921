#pragma once

#include <string>
#include <vector>

#include "base/error.h"

namespace asyncdump {

struct LaunchOptions {
    std::vector<std::string> command;  ///< not empty
    std::string agent;                 ///< path of libasyncdump-agent.so
    std::string agent_options;         ///< appended to ASYNCDUMP_AGENT: "stack=8,malloc=1"
};

/// Why the agent would not be loaded into the command, in one sentence; empty when nothing speaks against it,
/// also when the command is not found: then exec says so better.
std::string launch_obstacle(const LaunchOptions& options);

/// The interpreter of a command that is a script: the agent gets into that, and with --children into what it
/// starts. Empty otherwise.
std::string launch_interpreter(const LaunchOptions& options);

/// Becomes the command, with the agent before whatever else LD_PRELOAD names. Returns only on failure, with
/// errno.
int launch(const LaunchOptions& options, bool with_agent);

}  // namespace asyncdump

#pragma once

#include <string>

#include "base/file_descriptor.h"

namespace asyncdump {

enum class AgentWay { preloaded, into_running_process };

/// Why the agent cannot be loaded into a program, by its executable file: "is statically linked, ...". Ends
/// with what to do instead. Empty when nothing speaks against it, also for a file that is no ELF file.
std::string agent_obstacle(const FileDescriptor& executable, AgentWay way);

/// The interpreter that a script names in its first line; empty for what is no script.
std::string script_interpreter(const FileDescriptor& file);

}  // namespace asyncdump

#pragma once

namespace asyncdump {

inline constexpr const char* inject_description =
    "load the agent into a running process: asyncdump inject PID";

/// `asyncdump inject PID`; `arguments[0]` is "inject". 0 when the agent is in the process and records, 2 when
/// not (one line says why), 64 usage.
int run_inject_command(int count, char** arguments);

}  // namespace asyncdump

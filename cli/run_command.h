#pragma once

namespace asyncdump {

inline constexpr const char* run_description =
    "start a command with the agent: asyncdump run [options] -- COMMAND ...";

/// `asyncdump run [options] -- COMMAND ...`; `arguments[0]` is "run". Becomes COMMAND by exec, so that its
/// process id, standard streams, signals and exit status are its own without our doing. Returns only when
/// that fails: 127 when there is no such command, 126 when it cannot be executed, 125 when the agent cannot
/// be loaded into it, as env(1) and others have it; 64 usage.
int run_run_command(int count, char** arguments);

}  // namespace asyncdump

#pragma once

namespace asyncdump {

inline constexpr const char* watch_description =
    "look at a process again and again, and report what is stuck: asyncdump watch PID [options]";

/// `asyncdump watch PID [options]`; `arguments[0]` is "watch". Returns the exit status: 3 when it reports an
/// error, 0 when its time ends without one, 2 when the target goes away or cannot be looked at, 64 usage.
int run_watch_command(int count, char** arguments);

}  // namespace asyncdump

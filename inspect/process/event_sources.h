#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

namespace asyncdump {

/// What may come to a process though all of its threads wait for each other: "a timer of timer_create(2)",
/// "a handler for signal SIGALRM". From /proc/PID/timers and the caught signals in
/// /proc/PID/status, see proc(5); "" when neither tells of anything.
///
/// Signals count that programs send to themselves as messages (SIGALRM, SIGHUP, SIGUSR1, SIGIO, real-time
/// signals and their like); what ends or reports a process (SIGTERM, SIGSEGV, SIGCHLD, ...) seldom gives its
/// coroutines anything to do.
std::string read_event_sources(pid_t pid);

/// For the tests: the same of the text of the two files.
std::string event_sources(std::string_view timers, std::string_view status);

}  // namespace asyncdump

// What is wrong with the target, concluded from one dump. Pure functions: plain data in, findings out.
#pragma once

#include <chrono>
#include <vector>

#include "graph/dump.h"

namespace asyncdump {

/// Coroutines that await each other in a circle. One that awaits others besides may still go on when any of
/// them is enough (when_any): then it is a warning, unless the others cannot finish either.
std::vector<Finding> find_await_cycles(const Dump& dump);

/// Coroutines that wait for asynchronous locks whose holders wait for them, directly or over what they await.
/// Only as sure as the knowledge of the holders, which Observation::locks explains.
std::vector<Finding> find_lock_cycles(const Dump& dump);

/// Threads that wait for each other in a circle of mutexes and joins; a mutex whose owner cannot release it,
/// because a suspended coroutine holds it or because it waits for what only the waiting thread can run.
std::vector<Finding> find_thread_deadlocks(const Dump& dump);

/// Threads that block inside a coroutine, so that whatever else they should run waits. An error when, as far
/// as is known, nothing in the process can end that; a warning when it may end by itself. Members of
/// `deadlocked` are left out: what is wrong with them is told already.
std::vector<Finding> find_blocked_executors(const Dump& dump, const std::vector<Finding>& deadlocked);

/// Suspended coroutines to which nothing leads by which they could be resumed, as far as Observation::held
/// tells. Sorted.
std::vector<std::uint32_t> unwakeable_coroutines(const Dump& dump);

/// The same as findings.
std::vector<Finding> find_unwakeable(const Dump& dump);

/// Suspended coroutines in a process of which no thread ran for `still`: only whoever watched it for so long
/// can know. Those that wait for time or input are left out: an idle server is as still. It is an error only
/// when every thread waits for another one; else a warning, for what a coroutine's own awaiter waits for is
/// not known.
std::vector<Finding> find_stuck(const Dump& dump, std::chrono::seconds still);

/// All that one dump can tell (not find_stuck), errors first.
std::vector<Finding> find_all(const Dump& dump);

}  // namespace asyncdump

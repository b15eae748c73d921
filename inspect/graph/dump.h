// inspect/graph: who awaits whom: from observations to tasks, joins with threads, findings. Pure data in,
// pure data out: it knows no process, no memory and no debug information, so that all of it is tested with
// made-up data.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtimes/observation.h"

namespace asyncdump {

struct ThreadFrame : StackPosition {
    std::uint32_t coroutine = no_index;  ///< the coroutine whose resume function this is
    std::vector<Variable> variables;
};

struct Thread {
    std::int32_t tid = 0;
    std::string name;
    std::string state;        ///< "running", "sleeping", "disk", "stopped", "zombie", "unknown"
    std::string system_call;  ///< "" when in none or unknown
    std::optional<ThreadWait> waiting_for;
    std::vector<ThreadFrame> frames;  ///< innermost first
    std::vector<Problem> problems;
};

struct Finding {
    std::string kind;
    bool is_error = false;  ///< else a warning
    std::string summary;
    std::vector<std::uint32_t> coroutines;
    std::vector<std::int32_t> threads;
    std::vector<std::string> evidence{};  ///< what it rests on: one sentence each
};

/// One tree: a root and everything that it awaits. `members` are in the order of a walk from the root, each
/// once, even when the graph below the root is none (several parents, cycles).
struct Task {
    std::string name;  ///< "" when it has none
    std::uint32_t root = no_index;
    std::uint32_t first_member = 0, member_count = 0;  ///< in Dump::task_members
    CoroutineState state = CoroutineState::unknown;    ///< that of the deepest coroutine
};

/// Edges of all coroutines in compressed rows: of coroutine i they are targets[offsets[i] .. offsets[i+1]).
struct EdgeTable {
    std::vector<std::uint32_t> offsets;
    std::vector<std::uint32_t> targets;
    std::span<const std::uint32_t> of(std::uint32_t coroutine) const {
        return std::span(targets).subspan(offsets[coroutine], offsets[coroutine + 1] - offsets[coroutine]);
    }
};

/// Immutable once built: what the renderers get.
struct Dump {
    struct Target {
        std::int32_t pid = 0;
        std::string executable;
        std::vector<std::string> command;
        bool is_core = false;  ///< a core file instead of a live process
    } target;
    struct Capture {
        std::chrono::system_clock::time_point at;
        std::chrono::microseconds pause{0};
        std::chrono::milliseconds total{0};
        bool used_scan = false, used_registry = false;
        std::uint64_t bytes_scanned = 0, bytes_copied = 0;
        bool complete = true;
    } capture;

    Observation observed;          ///< coroutines with their tables (problems moved to `problems`)
    EdgeTable awaits, awaited_by;  ///< by index of the coroutine
    std::vector<std::uint32_t>
        task_of;  ///< by index of the coroutine: index in tasks; no_index for one that stands apart
    std::vector<Task> tasks;
    std::vector<std::uint32_t> task_members;
    std::vector<Thread> threads;
    /// What may wake the process beside what its threads are seen to wait for: "a timer of timer_create(2)";
    /// "" when nothing is known that could.
    std::string events_from_outside;
    std::vector<Finding> findings;
    std::vector<Problem> problems;
};

}  // namespace asyncdump

#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "process/process_info.h"
#include "runtimes/registry/agent_registry.h"

namespace asyncdump {

struct InjectOptions {
    std::string agent;                          ///< path of libasyncdump-agent.so
    std::chrono::milliseconds timeout{10'000};  ///< to find a safe point, and for the agent to be loaded
    bool despite_seccomp = false;  ///< also where a seccomp filter cannot be read, which may kill the target
    /// Called when nothing speaks against it any more, before the target is changed.
    std::function<void()> before_change;
    /// Frames that exist already, looked for from outside while the target runs. Called when the agent is
    /// loaded.
    std::function<std::vector<asyncdump_block>()> find_frames;
};

struct Injected {
    bool was_there = false;              ///< the agent was there and recording: nothing was done
    std::size_t slots = 0;               ///< of global offset tables, patched
    std::size_t adopted = 0;             ///< frames that existed
    int attempts = 0;                    ///< to find a thread at a safe point
    std::chrono::microseconds pause{0};  ///< all threads, while the tables were patched
};

/// Loads the agent into a running process: see docs/agent.md for how, what is refused and what the risk is.
Result<Injected> inject(const ProcessInfo& process, const InjectOptions& options);

}  // namespace asyncdump

// cli: options, connecting the stages, exit status. Everything that can be tested without a terminal and a
// live process lives in the stages below.
#pragma once

#include <chrono>
#include <vector>

#include "cli/urgent_thread.h"
#include "process/copied_memory.h"
#include "process/memory_map.h"
#include "process/process_info.h"
#include "process/stopped_process.h"
#include "runtimes/cpp20/cpp20_runtime.h"
#include "runtimes/registry/agent_registry.h"

namespace asyncdump {

/// What was taken from the target in one stop, and what is needed to explain it.
struct Snapshot {
    ProcessInfo process;
    MemoryMap map;
    std::vector<ThreadInfo> threads;     ///< as they were just before the stop
    std::vector<StoppedThread> stopped;  ///< registers
    CopiedMemory memory;                 ///< frames, stacks and what the explanation will read
    std::vector<cpp20::Frame> frames;    ///< sorted by address; each verified in `memory`
    std::vector<AddressRange> stack_mappings;
    std::vector<AddressRange>
        anchor_ranges;  ///< where references to frames may stand, in `memory` or in the target
    std::vector<AddressRange> resident;  ///< what of the writable memory held data before the stop; sorted
    bool whole = false;  ///< `memory` holds everything: nothing has to be read from the target again
    std::vector<RegisteredBlock> blocks;  ///< of the agent's registry; sorted by address
    bool scanned = false;                 ///< memory was searched, not only what the registry names
    std::chrono::system_clock::time_point at;
    std::chrono::nanoseconds monotonic{0};  ///< CLOCK_MONOTONIC at the same moment
    std::chrono::microseconds pause{0};
    std::uint64_t bytes_scanned = 0, bytes_copied = 0;
    std::vector<Problem> problems;
};

struct CaptureOptions {
    unsigned workers = 1;
    bool exact = false;  ///< look for frames while the target is stopped, however much memory it has
    const AgentRegistry* registry = nullptr;  ///< the agent's, if there is one in the target
    bool scan = false;                        ///< search memory even where the registry is complete
    /// Copy also what words of the stacks and registers point to, bounded: values of stack frames lead there.
    bool around_stacks = false;
    /// At this bound the target goes on, and what was not copied by then is missing; zero: no bound.
    std::chrono::milliseconds most_pause{0};
    std::uint64_t most_bytes = 0;    ///< to copy; more is left out; zero: no bound
    UrgentThread* urgent = nullptr;  ///< where stopping and copying runs; nullptr: here
};

/// Plan while the target runs, stop it, copy, let it go on.
///
/// Two ways. A small process (or any, with `exact`) is copied whole: then nothing can be missed. Of a large
/// one the frames are looked for while it runs, the explanation is tried on the running target to learn what
/// it reads, and only that is copied during the stop. Where no thread ran in between, which is what a hang
/// means, that is exact as well; where one did, the newest coroutines are searched by the pointers on stacks
/// and in frames, and a problem says that some may be missing.
Result<Snapshot> capture(const ProcessInfo& process, const MemoryMap& map, const LiveMemory& live,
                         cpp20::Cpp20Runtime& runtime, const CaptureOptions& options);

}  // namespace asyncdump

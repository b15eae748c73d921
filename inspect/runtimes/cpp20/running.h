#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "modules/unwinder.h"
#include "runtimes/cpp20/frames.h"
#include "runtimes/observation.h"

namespace asyncdump::cpp20 {

struct ThreadStack {
    std::int32_t tid = 0;
    const UnwoundStack* stack = nullptr;
};

/// Which coroutine each resume function on a thread's stack is executing. The frame's address is looked for
/// in the registers that unwinding recovers for that stack frame, then in the stack frame's own words; it
/// must be the address of a frame of that very function. Nothing is reported where that leaves several.
std::vector<RunningFrame> find_running(const Memory& memory, const CoroutineCatalog& catalog,
                                       std::span<const Frame> frames, std::span<const ThreadStack> stacks);

}  // namespace asyncdump::cpp20

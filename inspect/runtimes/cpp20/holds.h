#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "process/memory.h"
#include "process/memory_map.h"
#include "runtimes/cpp20/frame_index.h"
#include "runtimes/cpp20/frames.h"
#include "runtimes/observation.h"

namespace asyncdump::cpp20 {

/// Where to look for words that lead to frames.
struct HoldSources {
    const Memory& memory;
    const MemoryMap& map;
    std::span<const AddressRange> ranges;  ///< everything writable, without the dead parts of stacks
    std::span<const std::uint64_t> words;  ///< registers, and what the kernel keeps
    /// Asked at the end: whether no thread ran since the frames were copied. Otherwise a pointer may have
    /// moved about while it was looked for, and a frame without a hold is unknown.
    std::function<bool()> has_rested;
};

struct Holds {
    std::vector<Hold> of_frames;
    std::vector<HoldByObjects> by_objects;  ///< coroutine: the frame's place in `frames`
};

/// For each frame what leads to it from outside all frames. A word counts wherever it stands in the frame's
/// extent, and with any mark in its upper 16 bits (tagged pointers). Words in blocks that glibc's malloc is
/// known to have freed, thread caches included, do not count. What it cannot see: pointers that are stored in
/// another form (compressed, xored) and those that only a device or another process keeps.
///
/// Only frames that are certainly alive are judged: each at the beginning of a block of glibc's malloc that
/// is handed out; and those whose allocation was elided, of which several may have used a place one after the
/// other. Others are Hold::unknown.
Holds find_holds(const HoldSources& sources, std::span<const Frame> frames, const FrameIndex& index,
                 unsigned workers);

}  // namespace asyncdump::cpp20

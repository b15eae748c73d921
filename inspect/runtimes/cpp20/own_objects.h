#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtimes/cpp20/frame_index.h"
#include "runtimes/cpp20/frames.h"
#include "runtimes/cpp20/holds.h"

namespace asyncdump::cpp20 {

/// A frame and the blocks of glibc's malloc that alone lead to it.
struct HeldByBlocks {
    std::uint32_t frame = 0;
    std::vector<AddressRange> blocks;  ///< as malloc returned them
};

/// Which of `candidates` are held by objects on the heap to which nothing leads but frames: the shared state
/// of a future, with its list of waiters, whose producer has gone. It asks of the blocks, and of the blocks
/// that lead to those, what find_holds() asks of frames, and sees the same.
///
/// Each step reads all memory once more, so that only frames are asked for that know such an object
/// themselves, and no more than a few steps are taken: an object that is known by way of more others than
/// these counts as known to somebody.
std::vector<HoldByObjects> find_holds_by_own_objects(const HoldSources& sources,
                                                     std::span<const Frame> frames, const FrameIndex& index,
                                                     std::vector<HeldByBlocks> candidates, unsigned workers);

}  // namespace asyncdump::cpp20

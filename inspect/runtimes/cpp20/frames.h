#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "process/memory.h"
#include "process/memory_map.h"
#include "runtimes/cpp20/coroutine_catalog.h"
#include "runtimes/cpp20/frame_layout.h"
#include "runtimes/cpp20/glibc_heap.h"

namespace asyncdump::cpp20 {

/// A coroutine frame that its content identifies.
struct Frame {
    RemoteAddress address;
    std::uint32_t function = 0;  ///< in the catalog
    std::uint32_t extent = 0;    ///< bytes that are looked at: the frame's size, or the most it can have
    bool size_is_known = false;  ///< extent is the size by debug information
    bool done = false;
    bool elided = false;
    /// Its block of memory is known to be handed out and begins with it: no leftover, and no copy inside a
    /// buffer.
    bool owns_block = false;
    bool block_is_known = false;  ///< the heap around it could be walked
    bool in_glibc_heap = false;   ///< whose records of free blocks lie in the blocks themselves
    bool found_by_scan = true;
    bool found_by_registry = false;  ///< it lies in a block that the agent has registered

    AddressRange range() const { return {address, address + extent}; }
};

std::vector<AddressRange> ranges_of(std::span<const Frame> frames);

/// The layouts of coroutine functions, read when first asked for.
class LayoutCache {
  public:
    explicit LayoutCache(const CoroutineCatalog& catalog, UserKnowledge user = {})
        : catalog_(catalog), user_(std::move(user)) {}
    const FrameLayout& of(std::uint32_t function);

  private:
    const CoroutineCatalog& catalog_;
    UserKnowledge user_;
    DeclaredPointersOfTypes pointers_;
    std::unordered_map<std::uint32_t, std::unique_ptr<FrameLayout>> layouts_;
};

/// From addresses (sorted) to frames: identifies each by its first two words again, finds out its extent, and
/// leaves out what is known to be no live frame: leftovers in free blocks of glibc's malloc, copies that hold
/// the address of their original.
///
/// `registered` (sorted by their beginnings) are blocks that the agent knows to be handed out: whatever the
/// allocator is, a frame in one of them is no leftover of a freed block.
std::vector<Frame> examine_frames(const Memory& memory, const MemoryMap& map, const CoroutineCatalog& catalog,
                                  LayoutCache& layouts, std::span<const RemoteAddress> addresses,
                                  std::span<const AddressRange> registered = {});

/// What has to be in the snapshot beside the frames for still_valid(): the headers of malloc around those
/// frames of which a walk through the heap of a running target may have got a wrong picture.
std::vector<AddressRange> block_headers_of(std::span<const Frame> frames);

/// Those of `frames` that still are what they were, by the same words in `memory` (the snapshot of a target
/// that ran since).
std::vector<Frame> still_valid(const Memory& memory, const CoroutineCatalog& catalog,
                               std::span<const Frame> frames);

}  // namespace asyncdump::cpp20

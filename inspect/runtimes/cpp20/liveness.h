#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "process/memory.h"
#include "process/memory_map.h"
#include "runtimes/cpp20/frame_index.h"
#include "runtimes/cpp20/frames.h"

namespace asyncdump::cpp20 {

enum class Anchor : std::uint8_t {
    none,
    exact,   ///< a word holds the frame's address, as a handle does, and as an allocator's record of a free
             ///< block may
    inside,  ///< a word points into the frame, as no allocator does
};

/// Where words may stand that keep a frame alive. All sorted.
struct AnchorScope {
    std::span<const AddressRange> ranges;  ///< all that is searched
    std::span<const AddressRange> stacks;
    std::span<const AddressRange> heaps;      ///< anonymous memory that is no stack
    std::span<const AddressRange> allocator;  ///< allocator_memory.h
    bool may_replace_malloc = false;          ///< the same
    std::span<const AddressRange> c_library;  ///< the same
    const MemoryMap& map;
};

/// For each frame whether any word of the scope outside all frames points into it: a variable, a container,
/// an event's list of waiters, a stack. What seems to be a frame on a stack is believed only when a word
/// holds exactly its address: saved frame pointers lead to any place of a stack. The same holds for what
/// seems to be a frame behind the beginning of a block of the agent's registry.
///
/// Words by which an allocator remembers free blocks are no anchors: the link at the beginning of a freed
/// frame (a destroy pointer stands behind it); its own variables; and, where another malloc than glibc's
/// serves, an array of frames' addresses to which nothing but them leads: a thread's cache of free blocks, or
/// the storage that a container has given back. The last can be wrong where a program knows the beginning of
/// such an array by other means than a pointer into it.
///
/// In a block of glibc's malloc that begins with something else (a buffer, an arena) a frame may be a piece
/// of what once was there: of the words that lead to it those in freed blocks, and the C library's own, do
/// not count.
///
/// All this is asked of frames only of which `content_tells` says no: GCC's destroyed frames are known by
/// their content, and an allocator that keeps its records inside free blocks overwrites it.
std::vector<Anchor> find_anchors(const Memory& memory, const AnchorScope& scope,
                                 std::span<const Frame> frames, const std::vector<bool>& content_tells,
                                 const CoroutineCatalog& catalog, const FrameIndex& index, unsigned workers);

/// Copies of frames (in a buffer, for instance) that hold no address of their own by which to tell: for each
/// frame whether it is one. Among frames of one function with the same content, the original is the one to
/// which the content's pointers into such a frame lead (an awaiter or a short string points into its own
/// frame), or the one to which a child of all of them refers back. Equal frames without such pointers are all
/// believed, and so is every one to which another frame has the handle.
std::vector<bool> find_copies(const Memory& memory, std::span<const Frame> frames, const FrameIndex& index,
                              LayoutCache& layouts);

}  // namespace asyncdump::cpp20

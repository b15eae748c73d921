#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "process/memory.h"
#include "runtimes/cpp20/frame_index.h"
#include "runtimes/cpp20/frames.h"
#include "runtimes/cpp20/suspend_point.h"
#include "runtimes/cpp20/undescribed_frames.h"

namespace asyncdump::cpp20 {

/// A pointer or reference that an awaiter has as a member.
struct AwaiterPointer {
    std::uint32_t offset = 0;  ///< in the awaiter
    std::uint32_t bytes = 0;   ///< of what it points to
};

/// What is known of one frame when its words are looked at.
struct FrameView {
    const FrameLayout* layout = nullptr;
    const SuspendPoint* point = nullptr;               ///< nullptr when it could not be asked for
    std::uint32_t promise_begin = 0, promise_end = 0;  ///< equal when unknown
    std::optional<std::uint32_t> self_handle;          ///< offset of GCC's handle to the frame itself
    /// Where debug information does not describe the promise; else nullptr and empty.
    const CodeKnowledge* knowledge = nullptr;
    std::span<const std::uint32_t> read_first;  ///< offsets of words, at this suspend point
    std::string_view awaiter_type;              ///< readable; "" when unknown
    /// Offsets of the awaiter at which it is suspended; equal when unknown.
    std::uint32_t awaiter_begin = 0, awaiter_end = 0;
    bool awaiter_is_certain = false;
    bool awaiter_leads_nowhere = false;  ///< its class has no members, or none that could lead anywhere
    std::span<const AwaiterPointer> awaiter_pointers;  ///< as far as debug information tells them
    /// Not yet made or no longer alive: what stands there is of an earlier use of the memory.
    std::span<const AwaiterSlot> dead_awaiters;

    bool knows_promise() const { return promise_begin != promise_end; }
    bool is_in_promise(std::uint64_t offset) const { return offset >= promise_begin && offset < promise_end; }
};

/// Everything the words of the frames say about each other. `frames`, `views` and `ranges` (their extents,
/// sorted) run in parallel.
struct FrameSet {
    const Memory& memory;
    std::span<const Frame> frames;
    std::span<const FrameView> views;
    const FrameIndex& index;
    std::span<const AddressRange> stacks;  ///< mappings that are thread stacks
};

/// Offsets of the words in a frame by which its live awaiter leads elsewhere: its own, and those of locals of
/// the frame that it refers to (a task, a when_all's tuple of tasks). `words` are the frame's.
std::vector<std::uint32_t> awaiter_words(const Frame& frame, const FrameView& view,
                                         std::span<const std::uint64_t> words);

/// Each aligned word of a frame that points into another frame, sorted by the frame in which it stands. Words
/// that lie in a frame nested in another (elided allocation) count as the inner one's.
std::vector<Reference> collect_references(const FrameSet& set);

/// Leads to a frame as a handle or a promise pointer does; what points elsewhere into a frame may be an
/// address in its awaiter, by which a list of waiters is linked.
bool is_strong(const Reference& reference);

/// Where in a frame an address points.
Reference::Target classify_target(const Frame& frame, const FrameView& view, RemoteAddress address);

}  // namespace asyncdump::cpp20

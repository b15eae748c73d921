#pragma once

#include <span>
#include <string>
#include <vector>

#include "process/memory.h"
#include "process/memory_map.h"
#include "runtimes/cpp20/frame_index.h"
#include "runtimes/cpp20/frames.h"
#include "runtimes/cpp20/suspend_point.h"
#include "runtimes/cpp20/undescribed_frames.h"

namespace asyncdump::cpp20 {

class SharedObjects;

/// A pointer or reference that an awaiter has as a member.
struct AwaiterPointer {
    std::uint32_t offset = 0;  ///< in the awaiter
    std::uint32_t bytes = 0;   ///< of what it points to
};

/// What is known of the awaiters at one suspend point: the same for all frames there.
struct AwaiterPlace {
    std::string type;  ///< readable, of the one at which they are suspended; "" when unknown
    AwaiterSlot live;  ///< its offsets in a frame; empty when unknown
    bool is_certain = false;
    std::optional<Dwarf_Die> described;  ///< its class, where no member of the frame's description tells it
    bool leads_nowhere = false;          ///< its class has no members, or none that could lead anywhere
    bool waits_for_time_or_data = false;
    bool names_a_signal = false;           ///< `type` does: a lock, an event, ... (awaited_objects.h)
    bool has_members = false;              ///< asked of yields only
    std::vector<AwaiterPointer> pointers;  ///< its class has, as far as debug information tells
    /// Not yet made or no longer alive: what stands there is of an earlier use of the memory.
    std::vector<AwaiterSlot> dead;
    std::vector<std::uint32_t> read_first;  ///< offsets of words; where the promise is not described
};
inline const AwaiterPlace no_awaiter{};

/// What is known of one frame when its words are looked at.
struct FrameView {
    const FrameLayout* layout = nullptr;
    const SuspendPoint* point = nullptr;               ///< nullptr when it could not be asked for
    std::uint32_t promise_begin = 0, promise_end = 0;  ///< equal when unknown
    AwaiterSlot index;                                 ///< bytes of the index; empty when there is none
    std::optional<std::uint32_t> self_handle;          ///< offset of GCC's handle to the frame itself
    /// Where debug information does not describe the promise; else nullptr and empty.
    const CodeKnowledge* knowledge = nullptr;
    const AwaiterPlace* awaiter = &no_awaiter;

    bool knows_promise() const { return promise_begin != promise_end; }
    bool is_in_promise(std::uint64_t offset) const { return offset >= promise_begin && offset < promise_end; }
    /// Whether a pointer may stand there: not across the index, nor across the end of the promise. In a frame
    /// whose small members follow each other closely, what is left over there may look like one.
    bool may_hold_pointer(std::uint64_t offset) const {
        constexpr std::uint64_t bytes = 8;
        const bool is_at_index = offset < index.end && index.begin < offset + bytes;
        return !is_at_index && is_in_promise(offset) == is_in_promise(offset + bytes - 1);
    }
};

/// Everything the words of the frames say about each other. `frames`, `views` and `ranges` (their extents,
/// sorted) run in parallel.
struct FrameSet {
    const Memory& memory;
    std::span<const Frame> frames;
    std::span<const FrameView> views;
    const FrameIndex& index;
    std::span<const AddressRange> stacks;  ///< mappings that are thread stacks
    SharedObjects* shared_objects = nullptr;
};

/// Bytes of the object to which a word of a frame leads, by its declared type or the object's own. 0:
/// unknown.
std::uint32_t bytes_behind(const FrameSet& set, const MemoryMap& map, std::uint32_t frame,
                           std::uint32_t offset, std::uint64_t word);

/// Offsets of the words in a frame by which its live awaiter leads elsewhere: its own, and those of locals of
/// the frame that it refers to (a task, a when_all's tuple of tasks). `words` are the frame's.
std::vector<std::uint32_t> awaiter_words(const Frame& frame, const FrameView& view,
                                         std::span<const std::uint64_t> words);

/// Each aligned word of a frame that points into another frame, sorted by the frame in which it stands. Words
/// that lie in a frame nested in another (elided allocation) count as the inner one's.
std::vector<Reference> collect_references(const FrameSet& set);

/// The word is the address of a frame, of its promise, or of the awaiter at which it is suspended.
bool leads_to_frame(const FrameSet& set, std::uint64_t word);

/// words[i] of a frame, the address of another one, is the end of an array behind which that one begins, by
/// its declared type or by the words before it.
bool is_end_of_array(const FrameSet& set, std::uint32_t frame, std::span<const std::uint64_t> words,
                     std::size_t i);

/// Leads to a frame as a handle or a promise pointer does; what points elsewhere into a frame may be an
/// address in its awaiter, by which a list of waiters is linked.
bool is_strong(const Reference& reference);

/// Where in a frame an address points.
Reference::Target classify_target(const Frame& frame, const FrameView& view, RemoteAddress address);

}  // namespace asyncdump::cpp20

#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "process/memory_map.h"
#include "runtimes/cpp20/references.h"

namespace asyncdump::cpp20 {

/// Coroutines that are joined through objects on the heap: a when_all counter, a completion handler, a shared
/// state, a vector of waiting handles. For frames to which no direct pointer gives a parent, a bounded search
/// follows their pointers through at most three heap objects to another frame.
///
/// An object on the heap that leads to a frame may also be an executor's queue or a list of everything, so a
/// path counts only when
/// - the frame at its end refers back to the starting frame or to an object on the path, or an object that
///   the starting frame's promise knows, or that several frames know, itself holds the handle of a frame
///   that awaits nothing else (a completion counter that only the awaited know), and
/// - the starting pointer leads to no other frame (several are believed only when each refers back to the
///   starting frame, or waits by its live awaiter for an object that the starting frame's promise, and not
///   its own, knows), and
/// - the object is not shared with frames that have a parent already (an executor is), nor known to other
///   frames' promises while the starting pointer stands elsewhere in its frame, and
/// - the frame at its end is no descendant of the starting frame, and no frame of the same function that
///   knows the object by the same word, and
/// - no other path from the starting frame leads to a frame that refers back to it, unless this one does,
///   and
/// - the frame at its end does not wait for a lock, event or channel by its awaiter's type: then whoever
///   holds the object is not awaited, it only may wake the waiter.
/// It can still be wrong where a user-made executor lives on the heap, serves only two root coroutines and is
/// known to both.
struct HeapPathRules {
    /// Whether a path between two such frames needs no reference back, because their library is known to keep
    /// none.
    std::function<bool(std::uint32_t frame)> trusted_end;
    /// Whether `ancestor` is the parent of `frame`, or the parent's parent, ..., by direct pointers.
    std::function<bool(std::uint32_t frame, std::uint32_t ancestor)> descends_from;
    /// Frames that have a parent, and frames that have a child already.
    std::vector<bool> has_parent, has_child;
};

std::vector<Reference> find_heap_paths(const FrameSet& set, const MemoryMap& map,
                                       std::span<const std::uint32_t> starts, const HeapPathRules& rules);

/// Of `awaited`, references from live awaiters to coroutines: the continuations of those whose promise leads
/// back over the heap, as a list of waiters there does.
std::vector<Reference> continuations_over_heap(const FrameSet& set, const MemoryMap& map,
                                               std::span<const Reference> awaited);

}  // namespace asyncdump::cpp20

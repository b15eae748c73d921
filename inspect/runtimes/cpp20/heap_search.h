#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "process/memory_map.h"
#include "runtimes/cpp20/heap_objects.h"
#include "runtimes/cpp20/references.h"

namespace asyncdump::cpp20 {

struct HeapObject {
    AddressRange range;
    int hops = 1;
    std::size_t reached_from = 0;  ///< the object whose word led here; the first one's is itself
};

/// A frame to which an object leads.
struct HeapPathEnd {
    std::uint32_t frame;
    Reference path;
    std::size_t last_object;          ///< of the path
    RemoteAddress lowest, highest{};  ///< in the frame, to which words of the objects lead
};

/// What lies behind one pointer.
struct HeapSearch {
    std::vector<HeapObject> objects;
    std::vector<HeapPathEnd> ends;        ///< each frame once
    std::vector<std::uint32_t> by_frame;  ///< numbers of `ends`, when these are many
    bool overflowed = false;              ///< there is more than was looked at

    const HeapPathEnd* end_in(std::uint32_t frame) const;  ///< nullptr: none
};

/// Follows pointers through at most three objects on the heap to frames. Looks at 24 objects in a search, but
/// for those behind the first that lead to frames themselves, as the blocks of a deque do. Remembers the
/// answers. Must not outlive the set and the map.
class HeapSearcher {
  public:
    HeapSearcher(const FrameSet& set, const MemoryMap& map)
        : set_(set), map_(map), free_blocks_(set.memory, map) {}

    /// From the object to which words[i] leads. Valid as long as this object.
    const HeapSearch& from(std::span<const std::uint64_t> words, std::size_t i);
    /// From the one to which a word of a frame leads.
    const HeapSearch& from_frame(std::uint32_t frame, std::uint32_t offset);

  private:
    AddressRange range_behind(std::span<const std::uint64_t> words, std::size_t i,
                              std::uint32_t declared_bytes) const;
    void run(std::uint64_t pointer, const AddressRange& first, HeapSearch& search);
    HeapPathEnd* known_end(HeapSearch& search, std::uint32_t frame);
    void add_end(HeapSearch& search, std::uint32_t frame, std::uint64_t word, std::size_t object);

    const FrameSet& set_;
    const MemoryMap& map_;
    const FreeBlocks free_blocks_;
    std::unordered_map<std::uint64_t, HeapSearch> searches_;
    std::unordered_map<std::uint32_t, std::uint32_t> positions_;  ///< of a search with many ends, by frame
    std::size_t total_objects_ = 0;
    std::vector<std::uint64_t> scratch_, scratch_of_frame_;
};

/// The end of a vector stands behind its beginning: it leads to no object, or to one that has nothing to do
/// with the vector.
bool is_end_of_neighbour(const Memory& memory, std::span<const std::uint64_t> words, std::size_t i);

}  // namespace asyncdump::cpp20

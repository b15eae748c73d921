#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "process/memory.h"
#include "process/memory_map.h"

namespace asyncdump::cpp20 {

/// The allocation around an address, as glibc's malloc keeps it.
struct HeapBlock {
    enum class State : std::uint8_t {
        unknown,    ///< not in a heap of glibc's malloc, or the heap could not be walked to its end
        allocated,  ///< handed out, or in a thread's cache or a fast bin (both overwrite the first word; the
                    ///< content tells)
        free,
    };
    State state = State::unknown;
    bool of_glibc = false;  ///< its heap looks like one of glibc's malloc, whether or not it could be walked
    AddressRange usable;    ///< what malloc returned, without its header; meaningful unless unknown
};

/// Walks the heaps of glibc's malloc that hold `addresses` (sorted) from chunk to chunk and says for each
/// address in which block it lies. A frame in a free block is a leftover: free() overwrites the first words
/// of a chunk only when the chunk is not merged with a free neighbour before it, so content alone cannot
/// tell.
///
/// Layout: malloc/malloc.c and malloc/arena.c of glibc 2.26 and later. A walk counts only when it ends
/// exactly at the end of its heap; on a target that runs meanwhile it may fail, and then says unknown. Blocks
/// of their own mapping (M_MMAP_THRESHOLD) are unknown too: they vanish when freed.
std::vector<HeapBlock> find_heap_blocks(const Memory& memory, const MemoryMap& map,
                                        std::span<const RemoteAddress> addresses);

/// The word that glibc writes behind the first one of each block that a thread's cache holds
/// (tcache_entry::key), told by the cache of the main thread, whose records are the first block of [heap].
/// Empty when that cache is empty, or not there (glibc before 2.29, another allocator).
std::optional<std::uint64_t> thread_cache_key(const Memory& memory, const MemoryMap& map);

/// Whether a thread's cache holds the block, by `key` of thread_cache_key().
bool is_in_thread_cache(const Memory& memory, const HeapBlock& block, std::optional<std::uint64_t> key);

/// As find_heap_blocks(), but what a thread's cache holds is free.
std::vector<HeapBlock> find_used_blocks(const Memory& memory, const MemoryMap& map,
                                        std::span<const RemoteAddress> addresses);

/// Those of `blocks` (by their beginnings) to which the C library's own variables point: the buffers of its
/// streams (stdout). What is in such a block was there before, or is text. Sorted.
std::vector<RemoteAddress> find_stream_buffers(const Memory& memory, const MemoryMap& map,
                                               std::vector<RemoteAddress> blocks);

}  // namespace asyncdump::cpp20

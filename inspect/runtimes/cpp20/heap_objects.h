#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "process/memory.h"
#include "process/memory_map.h"
#include "runtimes/cpp20/glibc_heap.h"

namespace asyncdump::cpp20 {

inline constexpr std::uint64_t largest_heap_block = 1 << 20;

/// Heap and other anonymous memory: not a stack, not a module's data (globals such as executors live there).
bool is_heap(const MemoryMap& map, std::span<const AddressRange> stacks, std::uint64_t address);

/// Bytes of the block that begins at an address, by the header of glibc's malloc when one stands before it
/// and fits its successor's.
std::optional<std::uint64_t> block_size(const Memory& memory, RemoteAddress address);

/// Tells blocks that glibc's malloc has taken back by the words in and beside them, without a walk through
/// the heap: what stands in such a block is left over. By the mark of a thread's cache; by the next chunk's
/// flags and record of the size; by the link that the caches and fast bins keep in the first word, xored with
/// its own place (glibc 2.32 and later). It misses some, and can take a block for free only where a program
/// writes such a word by itself.
class FreeBlocks {
  public:
    FreeBlocks(const Memory& memory, const MemoryMap& map)
        : memory_(memory), map_(map), key_(thread_cache_key(memory, map)) {}

    /// Whether `address` lies at, or a few words behind, the beginning of a free block.
    bool contain(RemoteAddress address) const;

  private:
    bool is_free(RemoteAddress block, RemoteAddress address) const;
    bool is_link(RemoteAddress block, std::uint64_t word, std::uint64_t size) const;

    const Memory& memory_;
    const MemoryMap& map_;
    std::optional<std::uint64_t> key_;
};

/// What is looked at of an object on the heap: from there to the end of its block, at most 4 KiB of it; 64
/// bytes when the block is unknown, which may be more than belongs to it.
AddressRange object_at(const Memory& memory, RemoteAddress address);

}  // namespace asyncdump::cpp20

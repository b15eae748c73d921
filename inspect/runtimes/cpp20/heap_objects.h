#pragma once

#include <cstdint>
#include <functional>
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
/// bytes when the block is unknown, which may be more than belongs to it, or as many as are declared. In an
/// unknown block a pointer to virtual functions where a block may begin (16 bytes on, or 32, ...) is the
/// beginning of somebody else; wrong for an object with such a member or second base class.
AddressRange object_at(const Memory& memory, const MemoryMap& map, RemoteAddress address,
                       std::uint32_t declared_bytes = 0);

/// The same for what words[i] leads to, by the words behind it as well: where they are the end and the
/// capacity of a std::vector that begins there, or the end or the number of elements of a span, all of its
/// elements, at most 64 MiB. A vector has to lie in one block; where blocks are unknown, and of a span,
/// `is_element` has to be true of every element's word at one place, as far as half of them: pointers that
/// merely ascend lead to no such thing. `declared_bytes`, where it is not 0, is what counts of an object in
/// an unknown block.
AddressRange object_behind(const Memory& memory, const MemoryMap& map, std::span<const std::uint64_t> words,
                           std::size_t i, std::uint32_t declared_bytes,
                           const std::function<bool(std::uint64_t)>& is_element);

/// words[i] is the end or the capacity of such a vector, which begins at one of the words before it (not
/// before words[first]): where allocators put blocks side by side, something else begins there.
bool is_end_of_vector(const Memory& memory, std::span<const std::uint64_t> words, std::size_t first,
                      std::size_t i, const std::function<bool(std::uint64_t)>& is_element);

}  // namespace asyncdump::cpp20

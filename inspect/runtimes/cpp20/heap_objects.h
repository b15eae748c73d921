#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "process/memory.h"
#include "process/memory_map.h"

namespace asyncdump::cpp20 {

inline constexpr std::uint64_t largest_heap_block = 1 << 20;

/// Heap and other anonymous memory: not a stack, not a module's data (globals such as executors live there).
bool is_heap(const MemoryMap& map, std::span<const AddressRange> stacks, std::uint64_t address);

/// Bytes of the block that begins at an address, by the header of glibc's malloc when one stands before it
/// and fits its successor's.
std::optional<std::uint64_t> block_size(const Memory& memory, RemoteAddress address);

/// What is looked at of an object on the heap: from there to the end of its block, at most 4 KiB of it; 64
/// bytes when the block is unknown, which may be more than belongs to it.
AddressRange object_at(const Memory& memory, RemoteAddress address);

}  // namespace asyncdump::cpp20

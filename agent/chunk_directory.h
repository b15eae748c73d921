// Fixed-size entries in chunks of 1 MiB that are mapped when they are first needed and never move or go away.
#pragma once

#include <cstddef>
#include <cstdint>

#include "atomics.h"
#include "system_calls.h"

namespace asyncdump::agent {

inline constexpr std::size_t kChunkBytes = std::size_t{1} << 20;

template <std::size_t Chunks>
class ChunkDirectory {
  public:
    /// Null when there is no such chunk yet.
    std::byte* get(std::size_t chunk) const { return load_acquire(chunks_[chunk]); }

    /// Null when there is no memory or no room in the directory.
    std::byte* get_or_add(std::size_t chunk) {
        if (chunk >= Chunks) return nullptr;
        std::byte* found = load_acquire(chunks_[chunk]);
        if (found != nullptr) return found;
        auto* mine = static_cast<std::byte*>(map_pages(kChunkBytes));
        if (mine == nullptr) return nullptr;
        if (compare_exchange(chunks_[chunk], found, mine)) return mine;
        unmap_pages(mine, kChunkBytes);
        return found;
    }

    const void* address() const { return chunks_; }

  private:
    std::byte* chunks_[Chunks];
};

}  // namespace asyncdump::agent

// Interned creation stacks. They are never forgotten: a program has few thousands of distinct stacks, and
// when it has more than fit, new ones are dropped and counted.
#pragma once

#include <cstddef>
#include <cstdint>

#include "atomics.h"
#include "chunk_directory.h"
#include "registry_layout.h"

namespace asyncdump::agent {

inline constexpr unsigned kOriginChunkShift = 16;
inline constexpr std::size_t kOriginUnit = 16;
inline constexpr std::size_t kOriginChunks = 64;
inline constexpr std::size_t kOriginBuckets = std::size_t{1} << 17;
static_assert(kOriginUnit << kOriginChunkShift == kChunkBytes);

/// Hash of a stack, to be fed while it is walked: a sum of products with different odd factors, so that no
/// step waits for another.
class StackHash {
  public:
    void add(std::uintptr_t return_address) { sum_ += return_address * (factor_ += 0x9e3779b97f4a7c16u); }
    std::uint64_t value() const {
        const std::uint64_t mixed = (sum_ ^ sum_ >> 32) * 0xbf58476d1ce4e5b9u;
        return mixed ^ mixed >> 29;
    }

  private:
    std::uint64_t sum_ = 0;
    std::uint64_t factor_ = 0x94d049bb133111ebu;
};

class OriginTable {
  public:
    static std::uint64_t hash(const std::uintptr_t* return_addresses, std::size_t depth) {
        StackHash stack;
        for (std::size_t i = 0; i < depth; ++i) stack.add(return_addresses[i]);
        return stack.value();
    }

    /// The id of a stack that was interned before, 0 when it was not. Compares 57 bits of hash, not the
    /// addresses: with a full table of 65,536 stacks the chance of any confusion is below 1 in 10^7.
    std::uint32_t find(std::uint64_t hash_of_stack) const {
        for (std::size_t i = 0; i < kProbes; ++i) {
            const std::uint64_t bucket = load_acquire(buckets_[bucket_index(hash_of_stack, i)]);
            if (bucket == 0) return 0;
            if (tag_of(bucket) == tag_of_hash(hash_of_stack)) return id_of(bucket);
        }
        return 0;
    }

    /// 0 when the table is full.
    std::uint32_t add(std::uint64_t hash_of_stack, const std::uintptr_t* return_addresses,
                      std::size_t depth) {
        std::uint32_t mine = 0;
        for (std::size_t i = 0; i < kProbes; ++i) {
            std::uint64_t& bucket = buckets_[bucket_index(hash_of_stack, i)];
            std::uint64_t found = load_acquire(bucket);
            if (found == 0) {
                if (mine == 0) mine = write(return_addresses, depth);
                if (mine == 0) return 0;
                if (compare_exchange(bucket, found, tag_of_hash(hash_of_stack) << 24 | mine)) return mine;
            }
            // A thread that lost the race leaves its copy unused; that happens at most once for each stack
            // and thread.
            if (tag_of(found) == tag_of_hash(hash_of_stack)) return id_of(found);
        }
        return 0;
    }

    /// The first (innermost) return address of an origin, 0 for an id that was never given out.
    std::uintptr_t site_of(std::uint32_t id) const {
        const std::byte* chunk = chunks_.get((id >> kOriginChunkShift) & (kOriginChunks - 1));
        if (id == 0 || chunk == nullptr) return 0;
        const std::byte* origin = chunk + (id & ((1u << kOriginChunkShift) - 1)) * kOriginUnit;
        return *reinterpret_cast<const std::uintptr_t*>(origin + sizeof(asyncdump_origin));
    }

    const void* chunk_directory() const { return chunks_.address(); }

  private:
    static constexpr std::size_t kProbes = 16;

    static std::size_t bucket_index(std::uint64_t hash_of_stack, std::size_t probe) {
        return ((hash_of_stack >> 47) + probe) & (kOriginBuckets - 1);
    }
    static std::uint64_t tag_of_hash(std::uint64_t hash_of_stack) { return hash_of_stack & 0xffffffffffu; }
    static std::uint64_t tag_of(std::uint64_t bucket) { return bucket >> 24; }
    static std::uint32_t id_of(std::uint64_t bucket) {
        return static_cast<std::uint32_t>(bucket) & 0xffffffu;
    }

    std::uint32_t write(const std::uintptr_t* return_addresses, std::size_t depth) {
        const std::size_t bytes = sizeof(asyncdump_origin) + depth * sizeof(std::uintptr_t);
        const auto units = static_cast<std::uint32_t>((bytes + kOriginUnit - 1) / kOriginUnit);
        std::uint32_t end = load_relaxed(end_);
        std::uint32_t begin;
        do {
            begin = end == 0 ? 1 : end;  // id 0 means none
            const std::uint32_t chunk_end = ((begin >> kOriginChunkShift) + 1) << kOriginChunkShift;
            if (begin + units > chunk_end) begin = chunk_end;
            if (begin >> kOriginChunkShift >= kOriginChunks) return 0;
        } while (!compare_exchange(end_, end, begin + units));

        std::byte* chunk = chunks_.get_or_add(begin >> kOriginChunkShift);
        if (chunk == nullptr) return 0;
        std::byte* place = chunk + (begin & ((1u << kOriginChunkShift) - 1)) * kOriginUnit;
        auto* origin = reinterpret_cast<asyncdump_origin*>(place);
        auto* addresses = reinterpret_cast<std::uintptr_t*>(origin + 1);
        for (std::size_t i = 0; i < depth; ++i) addresses[i] = return_addresses[i];
        origin->depth = static_cast<std::uint32_t>(depth);
        return begin;
    }

    std::uint64_t buckets_[kOriginBuckets];
    ChunkDirectory<kOriginChunks> chunks_;
    std::uint32_t end_;
};

}  // namespace asyncdump::agent

// The radix shadow of the address space: which blocks are registered. See registry_layout.h for what a reader
// sees.
//
// - Every granule owns its slot. Insertion and removal of one block are ordered by the allocator (nobody
// frees a
//   block before operator new returned it; nobody gets its address again before it is freed), so that a slot
//   is only contended by a thread that examines it and by one that names it.
// - One store of the flags byte publishes or removes an entry: a thread that dies or is stopped in between
// leaves
//   the old or the new state.
// - Lock-free: leaves and leaf tables are installed by compare-and-exchange, and never removed.
#pragma once

#include <cstddef>
#include <cstdint>

#include "atomics.h"
#include "registry_layout.h"
#include "system_calls.h"

namespace asyncdump::agent {

inline constexpr unsigned kGranuleShift = 5;
inline constexpr unsigned kLeafShift = 17;
inline constexpr unsigned kRegionShift = 30;
inline constexpr unsigned kAddressBits = 47;
inline constexpr std::size_t kGranulesOfLeaf = std::size_t{1} << (kLeafShift - kGranuleShift);
inline constexpr std::size_t kLeavesOfRegion = std::size_t{1} << (kRegionShift - kLeafShift);
inline constexpr std::size_t kRegions = std::size_t{1} << (kAddressBits - kRegionShift);

/// A coroutine frame has two pointers and a promise of at least one byte, rounded up to a pointer's
/// alignment.
inline constexpr std::size_t kMinimumBlock = 24;

/// 128 KiB of address space: one page of flags bytes, so that looking a block up touches little memory, then
/// the records, which only an insertion and a reader touch.
struct Leaf {
    std::uint8_t flags[kGranulesOfLeaf];
    asyncdump_record records[kGranulesOfLeaf];
};

struct LeafTable {
    Leaf* leaves[kLeavesOfRegion];
};

/// Where the entry of one block is or would be.
struct Slot {
    std::uint8_t* flags;
    asyncdump_record* record;
};

inline std::size_t granule_of(std::uintptr_t address) {
    return (address >> kGranuleShift) & (kGranulesOfLeaf - 1);
}

/// LIVE and the offset bits that a live block at `address` has in its flags byte.
inline std::uint8_t live_at(std::uintptr_t address) {
    return static_cast<std::uint8_t>(ASYNCDUMP_SLOT_LIVE | (address & 0x18)
                                                               << (ASYNCDUMP_SLOT_OFFSET_SHIFT - 3));
}

inline constexpr std::uint8_t kLiveAndOffset = ASYNCDUMP_SLOT_LIVE | (3 << ASYNCDUMP_SLOT_OFFSET_SHIFT);

/// The 18-bit code of a size; asyncdump_size() decodes it.
inline std::uint64_t size_code(std::uint64_t size) {
    const auto rounded = [size](unsigned shift) { return (size + (std::uint64_t{1} << shift) - 1) >> shift; };
    constexpr std::uint64_t mantissas = 0x10000;
    if (size < mantissas) return size;
    if (size < mantissas << 3 && rounded(3) < mantissas) return mantissas | rounded(3);
    if (size < mantissas << 6 && rounded(6) < mantissas) return mantissas * 2 | rounded(6);
    if (size < mantissas << 12 && rounded(12) < mantissas - 1) return mantissas * 3 | rounded(12);
    return 0x3ffff;
}

inline asyncdump_record make_record(std::uint64_t size, std::uint32_t origin, std::uint32_t thread,
                                    std::uint64_t time, std::uint32_t annotation) {
    return {size_code(size) << 46 | std::uint64_t{origin & 0xffffffu} << 22 | (thread & 0x3fffffu),
            time << 24 | (annotation & 0xffffffu)};
}

class BlockTable {
  public:
    /// The slot of the block at `address`; flags is null when no leaf covers it.
    Slot find(std::uintptr_t address) const {
        if (address >> kAddressBits != 0) return {};
        const LeafTable* table = load_acquire(regions_[address >> kRegionShift]);
        if (table == nullptr) return {};
        Leaf* leaf = load_acquire(table->leaves[(address >> kLeafShift) & (kLeavesOfRegion - 1)]);
        if (leaf == nullptr) return {};
        return slot_of(leaf, address);
    }

    /// The same; installs what is missing. flags is null when there is no memory, or the address has too many
    /// bits.
    Slot find_or_add(std::uintptr_t address, asyncdump_counters& counters) {
        const Slot slot = find(address);
        if (slot.flags != nullptr) [[likely]]
            return slot;
        return add(address, counters);
    }

    /// Publishes an entry. The slot must not be live.
    static void publish(Slot slot, const asyncdump_record& record, std::uint8_t flags) {
        store_relaxed(slot.record->identity, record.identity);
        store_relaxed(slot.record->creation, record.creation);
        store_release(*slot.flags, flags);
    }

    /// The live block of up to `reach` bytes that contains `address`: the nearest one that begins at or
    /// before it. Returns its address, 0 when there is none.
    std::uintptr_t find_containing(std::uintptr_t address, std::size_t reach) const {
        const std::uintptr_t lowest = address > reach ? address - reach : 0;
        std::uintptr_t granule = address >> kGranuleShift;
        const std::uintptr_t last = lowest >> kGranuleShift;
        for (;; --granule) {
            const Slot slot = find(granule << kGranuleShift);
            if (slot.flags == nullptr) {
                // No leaf: go on with the one below it.
                const std::uintptr_t leaf_begin =
                    (granule << kGranuleShift) >> kLeafShift << (kLeafShift - kGranuleShift);
                if (leaf_begin <= last) return 0;
                granule = leaf_begin;
                continue;
            }
            const std::uint8_t flags = load_acquire(*slot.flags);
            if (asyncdump_is_live(flags)) {
                const std::uintptr_t begin = (granule << kGranuleShift) + asyncdump_granule_offset(flags);
                const std::uint64_t size = asyncdump_size(load_relaxed(slot.record->identity));
                if (begin <= address) return address - begin < size ? begin : 0;
            }
            if (granule <= last) return 0;
        }
    }

    const asyncdump_region_list* region_list() const { return &region_list_; }
    LeafTable* const* region_table() const { return regions_; }

  private:
    static Slot slot_of(Leaf* leaf, std::uintptr_t address) {
        const std::size_t granule = granule_of(address);
        return {&leaf->flags[granule], &leaf->records[granule]};
    }

    template <class T>
    static T* install(T*& place) {
        T* found = load_acquire(place);
        if (found != nullptr) return found;
        auto* mine = static_cast<T*>(map_pages(sizeof(T)));
        if (mine == nullptr) return nullptr;
        if (compare_exchange(place, found, mine)) return mine;
        unmap_pages(mine, sizeof(T));
        return found;
    }

    [[gnu::noinline]] Slot add(std::uintptr_t address, asyncdump_counters& counters) {
        if (address >> kAddressBits != 0) {
            count(counters.dropped_outside);
            return {};
        }
        const std::size_t region = address >> kRegionShift;
        // The list comes first: a region that a reader does not find in it holds no entry yet. Threads that
        // race here write the region twice.
        if (load_acquire(regions_[region]) == nullptr && !add_to_list(region)) {
            count(counters.dropped_no_memory);
            return {};
        }
        LeafTable* table = install(regions_[region]);
        Leaf* leaf = table == nullptr
                         ? nullptr
                         : install(table->leaves[(address >> kLeafShift) & (kLeavesOfRegion - 1)]);
        if (leaf == nullptr) {
            count(counters.dropped_no_memory);
            return {};
        }
        return slot_of(leaf, address);
    }

    bool add_to_list(std::size_t region) {
        const std::uint32_t index = fetch_add(region_list_.count, std::uint32_t{1});
        if (index >= kRegions) {
            fetch_subtract(region_list_.count, std::uint32_t{1});
            return false;
        }
        store_release(region_list_.numbers_plus_one[index], static_cast<std::uint32_t>(region + 1));
        return true;
    }

    LeafTable* regions_[kRegions];
    asyncdump_region_list region_list_;
};

}  // namespace asyncdump::agent

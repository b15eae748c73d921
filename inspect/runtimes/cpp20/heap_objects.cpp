#include "runtimes/cpp20/heap_objects.h"

#include <algorithm>
#include <optional>

namespace asyncdump::cpp20 {
namespace {

constexpr std::uint64_t window_without_size = 64;  ///< bytes looked at of an object whose size is unknown
constexpr std::uint64_t largest_window = 4096;
constexpr std::uint64_t largest_prefix = 32;  ///< of a block, before the object that is pointed to

}  // namespace

bool is_heap(const MemoryMap& map, std::span<const AddressRange> stacks, std::uint64_t address) {
    if (address % 8 != 0 || address < 4096) return false;
    const Mapping* mapping = map.find(RemoteAddress(address));
    if (mapping == nullptr || !mapping->writable || mapping->is_file()) return false;
    if (!mapping->path.empty() && mapping->path != "[heap]" && !mapping->path.starts_with("[anon"))
        return false;
    return !contains(stacks, RemoteAddress(address));
}

bool FreeBlocks::contain(RemoteAddress address) const {
    const std::uint64_t misaligned = address.value() % 16;
    for (std::uint64_t inside = 0; inside <= largest_prefix; inside += 16) {
        if (is_free(address - misaligned - inside, address)) return true;
    }
    return false;
}

bool FreeBlocks::is_free(RemoteAddress block, RemoteAddress address) const {
    constexpr std::uint64_t flags = 7, previous_in_use = 1;
    const auto size_word = memory_.read_value<std::uint64_t>(block - 8);
    if (!size_word) return false;
    const std::uint64_t size = *size_word & ~flags;
    if (size < 32 || size % 16 != 0 || size > largest_heap_block) return false;
    if (address >= block - 8 + size) return false;
    struct Next {
        std::uint64_t size_of_previous, size;
    };
    const auto next = memory_.read_value<Next>(block - 16 + size);
    if (!next || (next->size & ~flags) < 16) return false;
    if ((next->size & previous_in_use) == 0) return next->size_of_previous == size;
    struct Beginning {
        std::uint64_t link, key;
    };
    const auto words = memory_.read_value<Beginning>(block);
    if (!words) return false;
    // What was handed out again and not yet written has the link still, but malloc has cleared the mark.
    return (key_ && words->key == *key_) || (words->key != 0 && is_link(block, words->link, size));
}

bool FreeBlocks::is_link(RemoteAddress block, std::uint64_t word, std::uint64_t size) const {
    const std::uint64_t other = word ^ (block.value() >> 12);
    if (other == 0) return true;
    if (other % 16 != 0 || !is_heap(map_, {}, other)) return false;
    // A cache's link leads to the block's content, a bin's to its header.
    for (const std::uint64_t header : {other - 8, other + 8}) {
        const auto size_word = memory_.read_value<std::uint64_t>(RemoteAddress(header));
        if (size_word && (*size_word & ~std::uint64_t{7}) == size) return true;
    }
    return false;
}

std::optional<std::uint64_t> block_size(const Memory& memory, RemoteAddress address) {
    if (address.value() % 16 != 0) return std::nullopt;
    const auto size_word = memory.read_value<std::uint64_t>(address - 8);
    if (!size_word) return std::nullopt;
    const std::uint64_t size = *size_word & ~7ULL;
    if (size < 32 || size % 16 != 0 || size > largest_heap_block) return std::nullopt;
    const auto next = memory.read_value<std::uint64_t>(address - 8 + size);
    if (!next || (*next & 1) == 0 || (*next & ~7ULL) < 16) return std::nullopt;
    return size - 8;
}

AddressRange object_at(const Memory& memory, RemoteAddress address) {
    // make_shared's objects, and those behind a base class or an array's count, stand a few words inside.
    for (std::uint64_t inside = 0; inside <= largest_prefix; inside += 16) {
        const auto size = block_size(memory, address - inside - address.value() % 16);
        const std::uint64_t before = inside + address.value() % 16;
        if (size && *size > before) return {address, address + std::min(*size - before, largest_window)};
    }
    return {address, address + window_without_size};
}

}  // namespace asyncdump::cpp20

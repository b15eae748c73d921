#include "runtimes/cpp20/heap_objects.h"

#include <algorithm>
#include <array>
#include <optional>

namespace asyncdump::cpp20 {
namespace {

constexpr std::uint64_t window_without_size = 64;  ///< bytes looked at of an object whose size is unknown
constexpr std::uint64_t largest_window = 4096;
constexpr std::uint64_t largest_array = 64ULL << 20;
constexpr std::uint64_t largest_prefix = 32;  ///< of a block, before the object that is pointed to
constexpr std::uint64_t size_flags = 7;       ///< of a chunk's word for its size

struct Chunk {
    std::uint64_t size = 0;
    bool is_in_use = false;  ///< or in a cache or a fast bin
};

/// The chunk of glibc's malloc whose content begins at `block`, by the word before it and the one at its end,
/// which belongs to the next chunk and tells of this one. Empty when the two are nothing of the kind.
std::optional<Chunk> chunk_of(const Memory& memory, RemoteAddress block) {
    constexpr std::uint64_t previous_in_use = 1;
    const auto size_word = memory.read_value<std::uint64_t>(block - 8);
    if (!size_word) return std::nullopt;
    const std::uint64_t size = *size_word & ~size_flags;
    if (size < 32 || size % 16 != 0 || size > largest_heap_block) return std::nullopt;
    const auto next = memory.read_value<std::uint64_t>(block - 8 + size);
    if (!next || (*next & ~size_flags) < 16) return std::nullopt;
    return Chunk{size, (*next & previous_in_use) != 0};
}

using IsElement = std::function<bool(std::uint64_t)>;

/// Words for which it is true stand at a constant distance.
struct Repetition {
    std::size_t first = 0, distance = 0;
};

std::optional<Repetition> repetition_at(const Memory& memory, RemoteAddress begin,
                                        const IsElement& is_element) {
    constexpr std::size_t most_words_of_one = 8;
    std::array<std::uint64_t, 2 * most_words_of_one> beginning{};
    const std::size_t words = memory.read(begin, std::as_writable_bytes(std::span(beginning))) / 8;
    std::optional<std::size_t> first;
    for (std::size_t i = 0; i < words; ++i) {
        if (!is_element(beginning[i])) continue;
        if (!first) {
            first = i;
            continue;
        }
        const Repetition found{*first, i - *first};
        const bool is_possible = found.first < found.distance && found.distance <= most_words_of_one;
        return is_possible ? std::optional(found) : std::nullopt;
    }
    return std::nullopt;
}

/// Whether they do so up to the end, at least at every second such place.
bool repeats_itself(const Memory& memory, const AddressRange& range, const Repetition& repetition,
                    const IsElement& is_element) {
    std::vector<std::uint64_t> scratch;
    const auto words = memory.read_words(range, scratch);
    if (words.size() != range.size() / 8 || words.size() % repetition.distance != 0) return false;
    std::size_t elements = 0, all = 0;
    for (std::size_t i = repetition.first; i < words.size(); i += repetition.distance, ++all)
        elements += is_element(words[i]);
    return elements * 2 >= all;
}

/// The elements of an array to which words[i] leads: of a vector, by the end and the capacity behind it, or
/// of a span, by its end or the number of its elements.
std::optional<AddressRange> array_behind(const Memory& memory, std::span<const std::uint64_t> words,
                                         std::size_t i, const IsElement& is_element) {
    if (i + 1 >= words.size() || words[i] % 8 != 0) return std::nullopt;
    const RemoteAddress begin(words[i]);
    const std::uint64_t next = words[i + 1];
    const bool is_end = next > words[i] && next - words[i] <= largest_array && next % 8 == 0;
    if (!is_end && (next < 2 || next > largest_array / 8)) return std::nullopt;
    const std::uint64_t most = block_size(memory, begin).value_or(largest_array);
    if (is_end && most != largest_array && i + 2 < words.size()) {
        const std::uint64_t capacity = words[i + 2];
        if (next <= capacity && capacity % 8 == 0 && capacity - words[i] <= most)
            return AddressRange{begin, RemoteAddress(next)};
    }
    const auto repetition = repetition_at(memory, begin, is_element);
    if (!repetition) return std::nullopt;
    const AddressRange elements{
        begin, is_end ? RemoteAddress(next) : begin + next * repetition->distance * sizeof(std::uint64_t)};
    const bool is_array =
        elements.size() <= most && repeats_itself(memory, elements, *repetition, is_element);
    return is_array ? std::optional(elements) : std::nullopt;
}

/// An object begins there whose first word leads to the addresses of functions.
bool has_virtual_functions(const Memory& memory, const MemoryMap& map, RemoteAddress address) {
    const auto table = memory.read_pointer(address);
    const Mapping* const mapping = table ? map.find(*table) : nullptr;
    if (mapping == nullptr || !map.is_relocated(*mapping) || table->value() % 8 != 0) return false;
    const auto function = memory.read_pointer(*table);
    const Mapping* const code = function ? map.find(*function) : nullptr;
    return code != nullptr && code->executable;
}

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
    const auto chunk = chunk_of(memory_, block);
    if (!chunk || address >= block - 8 + chunk->size) return false;
    if (!chunk->is_in_use) return memory_.read_value<std::uint64_t>(block - 16 + chunk->size) == chunk->size;
    struct Beginning {
        std::uint64_t link, key;
    };
    const auto words = memory_.read_value<Beginning>(block);
    if (!words) return false;
    // What was handed out again and not yet written has the link still, but malloc has cleared the mark.
    return (key_ && words->key == *key_) || (words->key != 0 && is_link(block, words->link, chunk->size));
}

bool FreeBlocks::is_link(RemoteAddress block, std::uint64_t word, std::uint64_t size) const {
    const std::uint64_t other = word ^ (block.value() >> 12);
    if (other == 0) return true;
    if (other % 16 != 0 || !is_heap(map_, {}, other)) return false;
    // A cache's link leads to the block's content, a bin's to its header.
    for (const std::uint64_t header : {other - 8, other + 8}) {
        const auto size_word = memory_.read_value<std::uint64_t>(RemoteAddress(header));
        if (size_word && (*size_word & ~size_flags) == size) return true;
    }
    return false;
}

std::optional<std::uint64_t> block_size(const Memory& memory, RemoteAddress address) {
    if (address.value() % 16 != 0) return std::nullopt;
    const auto chunk = chunk_of(memory, address);
    if (!chunk || !chunk->is_in_use) return std::nullopt;
    return chunk->size - 8;
}

AddressRange object_at(const Memory& memory, const MemoryMap& map, RemoteAddress address,
                       std::uint32_t declared_bytes) {
    if (declared_bytes != 0)
        return {address, address + std::min<std::uint64_t>(declared_bytes, largest_window)};
    // make_shared's objects, and those behind a base class or an array's count, stand a few words inside.
    for (std::uint64_t inside = 0; inside <= largest_prefix; inside += 16) {
        const auto size = block_size(memory, address - inside - address.value() % 16);
        const std::uint64_t before = inside + address.value() % 16;
        if (size && *size > before) return {address, address + std::min(*size - before, largest_window)};
    }
    const RemoteAddress end = address + window_without_size;
    for (RemoteAddress at = address + (16 - address.value() % 16); at < end; at = at + 16) {
        if (has_virtual_functions(memory, map, at)) return {address, at};
    }
    return {address, end};
}

AddressRange object_behind(const Memory& memory, const MemoryMap& map, std::span<const std::uint64_t> words,
                           std::size_t i, std::uint32_t declared_bytes, const IsElement& is_element) {
    return array_behind(memory, words, i, is_element)
        .value_or(object_at(memory, map, RemoteAddress(words[i]), declared_bytes));
}

bool is_end_of_vector(const Memory& memory, std::span<const std::uint64_t> words, std::size_t first,
                      std::size_t i, const IsElement& is_element) {
    for (std::size_t back = 1; back <= 2 && back + first <= i; ++back) {
        const std::size_t begin = i - back;
        if (!is_element(words[begin]) && array_behind(memory, words, begin, is_element)) return true;
    }
    return false;
}

}  // namespace asyncdump::cpp20

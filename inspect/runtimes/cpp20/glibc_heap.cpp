#include "runtimes/cpp20/glibc_heap.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace asyncdump::cpp20 {
namespace {

constexpr std::uint64_t chunk_header = 16;
constexpr std::uint64_t smallest_chunk = 32;
constexpr std::uint64_t previous_in_use = 1;
constexpr std::uint64_t size_flags = 7;
constexpr std::uint64_t arena_alignment = 64ULL << 20;  ///< HEAP_MAX_SIZE

/// Reads 8-byte words near each other with few calls.
class WordReader {
  public:
    explicit WordReader(const Memory& memory) : memory_(memory), bytes_(256 * 1024) {}

    std::optional<std::uint64_t> at(RemoteAddress address) {
        if (address < begin_ || address + 8 > begin_ + valid_) {
            begin_ = address;
            valid_ = memory_.read(address, bytes_);
            if (valid_ < 8) return std::nullopt;
        }
        std::uint64_t word = 0;
        std::memcpy(&word, bytes_.data() + (address - begin_), 8);
        return word;
    }

  private:
    const Memory& memory_;
    std::vector<std::byte> bytes_;
    RemoteAddress begin_;
    std::size_t valid_ = 0;
};

/// Chunks from `first` to `end`; false when they do not fit together. `out` are the blocks of `addresses`,
/// which all lie in [first, end); it is meaningful only when the walk succeeds.
bool walk(WordReader& words, RemoteAddress first, RemoteAddress end, std::span<const RemoteAddress> addresses,
          std::span<HeapBlock> out) {
    std::size_t next = 0;
    RemoteAddress chunk = first;
    while (chunk < end) {
        const auto size_word = words.at(chunk + 8);
        if (!size_word) return false;
        const std::uint64_t size = *size_word & ~size_flags;
        const std::uint64_t left = end - chunk;
        if (size < smallest_chunk) return left <= 2 * smallest_chunk;  // the fence posts at the end of a heap
        if (size % 16 != 0 || size > left) return false;
        const bool is_top = size == left;
        bool is_free = is_top;
        if (!is_top) {
            const auto next_size = words.at(chunk + size + 8);
            if (!next_size) return false;
            is_free = (*next_size & previous_in_use) == 0;
        }
        // An allocated chunk also owns the first word of the next one.
        const AddressRange usable{chunk + chunk_header, chunk + size + (is_free ? 0 : 8)};
        for (; next < addresses.size() && addresses[next] < chunk + size + 8; ++next) {
            out[next].state = is_free ? HeapBlock::State::free : HeapBlock::State::allocated;
            out[next].usable = usable;
        }
        chunk = chunk + size;
    }
    return chunk == end;
}

bool walk_main_heap(WordReader& words, AddressRange heap, std::span<const RemoteAddress> addresses,
                    std::span<HeapBlock> out) {
    if (walk(words, heap.begin, heap.end, addresses, out)) return true;
    // A static executable takes thread-local storage from the same place first: look for the chunk of the
    // first thread's cache, which is the first thing malloc allocates.
    for (std::uint64_t offset = 16; offset <= 16384 && heap.begin + offset < heap.end; offset += 16) {
        const auto size = words.at(heap.begin + offset + 8);
        if (!size) return false;
        if (*size == (0x290 | previous_in_use) &&
            walk(words, heap.begin + offset, heap.end, addresses, out)) {
            return true;
        }
    }
    return false;
}

/// A heap of a further arena: struct heap_info {arena, previous heap, size, ...}, in an arena's first heap
/// followed by struct malloc_state, whose sizes differ between versions of glibc. Several are tried; only the
/// right one makes the walk end well.
bool walk_arena_heap(WordReader& words, RemoteAddress heap, RemoteAddress mapping_end,
                     std::span<const RemoteAddress> addresses, std::span<HeapBlock> out) {
    const auto arena = words.at(heap);
    const auto size = words.at(heap + 16);
    if (!arena || !size || *size > mapping_end - heap || *size % 16 != 0 || *arena % 8 != 0) return false;
    const bool is_first = RemoteAddress(*arena) > heap && RemoteAddress(*arena) < heap + 0x80;
    const std::uint64_t from = is_first ? 0x860 : 0x20;
    const std::uint64_t to = is_first ? 0x940 : 0x60;
    for (std::uint64_t offset = from; offset <= to; offset += 16) {
        if (walk(words, heap + offset, heap + *size, addresses, out)) return true;
    }
    return false;
}

/// malloc's first block is the cache of the first thread.
bool begins_like_main_heap(WordReader& words, RemoteAddress heap) {
    return words.at(heap + 8) == (0x290 | previous_in_use);
}

bool begins_like_arena(WordReader& words, const Mapping& mapping, RemoteAddress heap) {
    if (mapping.is_file() || heap < mapping.range.begin) return false;
    const auto arena = words.at(heap);
    const auto size = words.at(heap + 16);
    return arena && size && *arena % arena_alignment > 0 && *arena % arena_alignment < 0x80 && *size != 0 &&
           *size % 4096 == 0 && *size <= arena_alignment;
}

}  // namespace

std::vector<HeapBlock> find_heap_blocks(const Memory& memory, const MemoryMap& map,
                                        std::span<const RemoteAddress> addresses) {
    std::vector<HeapBlock> blocks(addresses.size());
    WordReader words(memory);
    std::size_t first = 0;
    while (first < addresses.size()) {
        const Mapping* mapping = map.find(addresses[first]);
        std::size_t last = first + 1;
        if (mapping == nullptr) {
            first = last;
            continue;
        }
        const bool is_main = mapping->path == "[heap]";
        const RemoteAddress arena_heap(addresses[first].value() & ~(arena_alignment - 1));
        const RemoteAddress end =
            is_main ? mapping->range.end : std::min(mapping->range.end, arena_heap + arena_alignment);
        while (last < addresses.size() && addresses[last] < end) ++last;
        const auto inside = addresses.subspan(first, last - first);
        const auto out = std::span(blocks).subspan(first, last - first);
        bool walked = false;
        if (is_main) {
            walked = walk_main_heap(words, mapping->range, inside, out);
        } else if (!mapping->is_file() && arena_heap >= mapping->range.begin) {
            walked = walk_arena_heap(words, arena_heap, mapping->range.end, inside, out);
        }
        if (!walked) std::ranges::fill(out, HeapBlock{});
        const bool of_glibc = walked || (is_main ? begins_like_main_heap(words, mapping->range.begin)
                                                 : begins_like_arena(words, *mapping, arena_heap));
        for (HeapBlock& block : out) block.of_glibc = of_glibc;
        first = last;
    }
    return blocks;
}

// struct tcache_perthread_struct of glibc 2.30 to 2.41: 64 counters of two bytes, then 64 lists.
std::optional<std::uint64_t> thread_cache_key(const Memory& memory, const MemoryMap& map) {
    constexpr std::uint64_t size_of_records = 0x290;
    constexpr std::size_t bins = 64;
    struct Records {
        std::array<std::uint16_t, bins> counts;
        std::array<std::uint64_t, bins> entries;
    };
    const auto heap = std::ranges::find(map.mappings(), "[heap]", &Mapping::path);
    if (heap == map.mappings().end()) return std::nullopt;
    const RemoteAddress begin = heap->range.begin;
    const auto size = memory.read_value<std::uint64_t>(begin + 8);
    const auto records = memory.read_value<Records>(begin + chunk_header);
    if (!size || (*size & ~size_flags) != size_of_records || !records) return std::nullopt;
    std::optional<std::uint64_t> key;
    for (std::size_t bin = 0; bin < bins; ++bin) {
        const std::uint64_t entry = records->entries[bin];
        if (records->counts[bin] == 0 || entry == 0 || entry % 16 != 0) continue;
        const auto word = memory.read_value<std::uint64_t>(RemoteAddress(entry) + 8);
        // Every list says the same, or these are no such records.
        if (!word || *word == 0 || (key && *key != *word)) return std::nullopt;
        key = word;
    }
    return key;
}

bool is_in_thread_cache(const Memory& memory, const HeapBlock& block, std::optional<std::uint64_t> key) {
    return key && block.state == HeapBlock::State::allocated && block.of_glibc &&
           memory.read_value<std::uint64_t>(block.usable.begin + 8) == *key;
}

std::vector<HeapBlock> find_used_blocks(const Memory& memory, const MemoryMap& map,
                                        std::span<const RemoteAddress> addresses) {
    const auto key = thread_cache_key(memory, map);
    std::vector<HeapBlock> blocks = find_heap_blocks(memory, map, addresses);
    for (HeapBlock& block : blocks) {
        if (is_in_thread_cache(memory, block, key)) block.state = HeapBlock::State::free;
    }
    return blocks;
}

std::vector<RemoteAddress> find_stream_buffers(const Memory& memory, const MemoryMap& map,
                                               std::vector<RemoteAddress> blocks) {
    if (blocks.empty()) return {};
    std::ranges::sort(blocks);
    std::vector<RemoteAddress> buffers;
    std::vector<std::uint64_t> scratch;
    for (const Mapping& mapping : map.mappings()) {
        const std::string_view path = mapping.path;
        const std::string_view name = path.substr(path.rfind('/') + 1);
        if (!mapping.writable || !(name.starts_with("libc.so") || name.starts_with("libc-"))) continue;
        for (const std::uint64_t word : memory.read_words(mapping.range, scratch)) {
            if (std::ranges::binary_search(blocks, RemoteAddress(word))) buffers.emplace_back(word);
        }
    }
    std::ranges::sort(buffers);
    return buffers;
}

}  // namespace asyncdump::cpp20

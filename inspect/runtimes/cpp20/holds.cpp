#include "runtimes/cpp20/holds.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <mutex>
#include <thread>

#include "runtimes/cpp20/glibc_heap.h"

namespace asyncdump::cpp20 {
namespace {

constexpr std::size_t block_bytes = 256 * 1024;
constexpr std::uint64_t portion_bytes = 4 * 1024 * 1024;
constexpr std::uint64_t address_bits = (1ULL << 48) - 1;
/// A frame with more words than these that lead to it is held: no look at where each of them stands.
constexpr std::size_t most_looked_at = 4;
/// Of all frames; beyond that free blocks are not looked for, and words in them count.
constexpr std::size_t most_places = 200'000;

struct Places {
    std::array<RemoteAddress, most_looked_at> at{};
    std::array<bool, most_looked_at> inside{};
    std::uint8_t count = 0;
    bool many = false;
    bool many_inside = false;
};

class HoldSearch {
  public:
    HoldSearch(std::span<const Frame> frames, const FrameIndex& index)
        : frames_(frames), index_(index), places_(frames.size()), settled_(frames.size()) {}

    void look_at_word(std::uint64_t word, RemoteAddress place) {
        const std::uint64_t address = word & address_bits;
        const std::uint32_t frame = index_.find(address);
        if (frame == FrameIndex::none || settled_[frame].load(std::memory_order_relaxed)) return;
        if (!place.is_null() && index_.find(place.value()) != FrameIndex::none) return;
        const bool inside = address != frames_[frame].address.value();
        const std::lock_guard lock(mutex_);
        Places& places = places_[frame];
        if (places.many || places.count == most_looked_at) {
            places.many = true;
            places.many_inside = places.many_inside || inside;
            if (places.many_inside) settled_[frame].store(true, std::memory_order_relaxed);
            return;
        }
        places.at[places.count] = place;
        places.inside[places.count] = inside;
        ++places.count;
    }

    void look(const Memory& memory, AddressRange portion) {
        std::vector<std::uint64_t> words(block_bytes / 8);
        for (RemoteAddress at = portion.begin; at < portion.end;) {
            const auto bytes = std::as_writable_bytes(std::span(words))
                                   .first(std::min<std::uint64_t>(block_bytes, portion.end - at));
            const std::size_t count = memory.read(at, bytes) / 8;
            for (std::size_t i = 0; i < count; ++i) look_at_word(words[i], at + i * 8);
            const bool whole = count * 8 == bytes.size() && count > 0;
            at = whole ? at + bytes.size() : RemoteAddress(((at + count * 8).value() | 0xFFF) + 1);
        }
    }

    std::span<const Places> places() const { return places_; }

  private:
    std::span<const Frame> frames_;
    const FrameIndex& index_;
    std::mutex mutex_;
    std::vector<Places> places_;
    std::vector<std::atomic<bool>> settled_;
};

/// Which of `addresses` (sorted) lie in memory that is known to be free.
std::vector<bool> known_free(const HoldSources& sources, std::span<const RemoteAddress> addresses) {
    std::vector<bool> free(addresses.size());
    const auto key = thread_cache_key(sources.memory, sources.map);
    const std::vector<HeapBlock> blocks = find_heap_blocks(sources.memory, sources.map, addresses);
    for (std::size_t i = 0; i < addresses.size(); ++i) {
        free[i] = blocks[i].state == HeapBlock::State::free;
        if (free[i] || blocks[i].state == HeapBlock::State::unknown || !key) continue;
        free[i] = sources.memory.read_value<std::uint64_t>(blocks[i].usable.begin + 8) == *key;
    }
    return free;
}

}  // namespace

std::vector<Hold> find_holds(const HoldSources& sources, std::span<const Frame> frames,
                             const FrameIndex& index, unsigned workers) {
    HoldSearch search(frames, index);
    for (const std::uint64_t word : sources.words) search.look_at_word(word, RemoteAddress());
    std::vector<AddressRange> portions;
    for (const AddressRange& range : sources.ranges) {
        for (RemoteAddress at = range.begin; at < range.end; at = at + portion_bytes) {
            portions.push_back({at, std::min(at + portion_bytes, range.end)});
        }
    }
    std::atomic<std::size_t> next{0};
    const auto work = [&] {
        for (std::size_t i = next.fetch_add(1); i < portions.size(); i = next.fetch_add(1)) {
            search.look(sources.memory, portions[i]);
        }
    };
    {
        std::vector<std::jthread> helpers;
        for (std::size_t i = 1; i < std::min<std::size_t>(workers, portions.size()); ++i)
            helpers.emplace_back(work);
        work();
    }

    std::vector<RemoteAddress> looked_at;
    for (const Places& places : search.places()) {
        if (places.many) continue;
        for (std::size_t i = 0; i < places.count; ++i) {
            if (!places.at[i].is_null()) looked_at.push_back(places.at[i]);
        }
    }
    std::ranges::sort(looked_at);
    const std::vector<bool> free = looked_at.size() <= most_places ? known_free(sources, looked_at)
                                                                   : std::vector<bool>(looked_at.size());
    const auto is_free = [&](RemoteAddress address) {
        const auto found = std::ranges::lower_bound(looked_at, address);
        return found != looked_at.end() && *found == address &&
               free[static_cast<std::size_t>(found - looked_at.begin())];
    };

    const bool rested = sources.has_rested();
    std::vector<Hold> holds(frames.size(), Hold::unknown);
    for (std::size_t i = 0; i < frames.size(); ++i) {
        if (!frames[i].owns_block || frames[i].elided) continue;
        const Places& places = search.places()[i];
        Hold hold = places.many ? (places.many_inside ? Hold::inside : Hold::handle) : Hold::none;
        for (std::size_t place = 0; place < places.count; ++place) {
            if (!places.at[place].is_null() && is_free(places.at[place])) continue;
            hold = std::max(hold, places.inside[place] ? Hold::inside : Hold::handle);
        }
        holds[i] = hold == Hold::none && !rested ? Hold::unknown : hold;
    }
    return holds;
}

}  // namespace asyncdump::cpp20

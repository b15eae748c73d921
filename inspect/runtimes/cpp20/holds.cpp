#include "runtimes/cpp20/holds.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <mutex>

#include "process/read_blocks.h"
#include "process/word_filter.h"
#include "runtimes/cpp20/glibc_heap.h"
#include "runtimes/cpp20/own_objects.h"

namespace asyncdump::cpp20 {
namespace {

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

bool is_judged(const Frame& frame) {
    return frame.owns_block || frame.elided;
}

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

    std::span<const Places> places() const { return places_; }

  private:
    std::span<const Frame> frames_;
    const FrameIndex& index_;
    std::mutex mutex_;
    std::vector<Places> places_;
    std::vector<std::atomic<bool>> settled_;
};

}  // namespace

Holds find_holds(const HoldSources& sources, std::span<const Frame> frames, const FrameIndex& index,
                 unsigned workers) {
    std::vector<Hold> holds(frames.size(), Hold::unknown);
    if (std::ranges::none_of(frames, is_judged)) return {std::move(holds), {}};
    HoldSearch search(frames, index);
    for (const std::uint64_t word : sources.words) search.look_at_word(word, RemoteAddress());
    const auto look = [&, offsets = std::vector<std::uint32_t>()](const MemoryBlock& block) mutable {
        offsets.clear();
        index.sieve(block.words, address_bits, offsets);
        for (const std::uint32_t i : offsets) search.look_at_word(block.words[i], block.begin + i * 8ULL);
    };
    std::vector readers(workers, look);
    read_blocks(sources.memory, sources.ranges, std::span(readers));

    std::vector<RemoteAddress> looked_at;
    for (const Places& places : search.places()) {
        if (places.many) continue;
        for (std::size_t i = 0; i < places.count; ++i) {
            if (!places.at[i].is_null()) looked_at.push_back(places.at[i]);
        }
    }
    std::ranges::sort(looked_at);
    const std::vector<HeapBlock> blocks = looked_at.size() <= most_places
                                              ? find_used_blocks(sources.memory, sources.map, looked_at)
                                              : std::vector<HeapBlock>(looked_at.size());
    const auto block_around = [&](RemoteAddress address) {
        if (address.is_null()) return HeapBlock{};  // a register, or the kernel's
        const auto found = std::ranges::lower_bound(looked_at, address);
        return blocks[static_cast<std::size_t>(found - looked_at.begin())];
    };

    const bool rested = sources.has_rested();
    std::vector<HeldByBlocks> held_by_blocks;
    for (std::uint32_t i = 0; i < frames.size(); ++i) {
        if (!is_judged(frames[i])) continue;
        const Places& places = search.places()[i];
        if (places.many) {
            holds[i] = places.many_inside ? Hold::inside : Hold::handle;
            continue;
        }
        Hold hold = Hold::none;
        HeldByBlocks held{i, {}};
        bool only_by_blocks = frames[i].owns_block;
        for (std::size_t place = 0; place < places.count; ++place) {
            const HeapBlock block = block_around(places.at[place]);
            if (block.state == HeapBlock::State::free) continue;
            hold = std::max(hold, places.inside[place] ? Hold::inside : Hold::handle);
            only_by_blocks = only_by_blocks && block.state == HeapBlock::State::allocated;
            held.blocks.push_back(block.usable);
        }
        holds[i] = hold == Hold::none && !rested ? Hold::unknown : hold;
        if (rested && hold != Hold::none && only_by_blocks) held_by_blocks.push_back(std::move(held));
    }
    std::vector<HoldByObjects> by_objects =
        find_holds_by_own_objects(sources, frames, index, std::move(held_by_blocks), workers);
    if (!by_objects.empty() && !sources.has_rested()) by_objects.clear();
    for (const HoldByObjects& hold : by_objects) holds[hold.coroutine] = Hold::none;
    return {std::move(holds), std::move(by_objects)};
}

}  // namespace asyncdump::cpp20

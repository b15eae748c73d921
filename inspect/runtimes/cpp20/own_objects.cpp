#include "runtimes/cpp20/own_objects.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>

#include "process/read_blocks.h"
#include "process/word_filter.h"
#include "runtimes/cpp20/glibc_heap.h"

namespace asyncdump::cpp20 {
namespace {

constexpr unsigned most_steps = 4;
/// Of memory, in all steps together.
constexpr std::uint64_t most_bytes = 4ULL << 30;
constexpr std::size_t most_candidates = 10'000;
/// A block to which more words lead is known to somebody: no look at where each of them stands.
constexpr std::size_t most_places = 32;
/// How many objects of a coroutine are looked into, and how far: a handle to a shared state, a container's
/// pointer to its elements.
constexpr std::size_t most_objects = 64, looked_into = 128;

bool contains(const std::vector<AddressRange>& ranges, std::uint64_t word) {
    return std::ranges::any_of(ranges, [address = RemoteAddress(word & address_bits)](
                                           const AddressRange& range) { return range.contains(address); });
}

/// Whether the words of the frame, or of what they lead to, lead to one of its blocks. Few frames know the
/// object by which they wait: this spares the others the search.
bool knows_its_blocks(const HoldSources& sources, const Frame& frame, const HeldByBlocks& candidate) {
    std::vector<std::uint64_t> scratch;
    const auto words = sources.memory.read_words(frame.range(), scratch);
    const auto leads = [&](std::uint64_t word) { return contains(candidate.blocks, word); };
    if (std::ranges::any_of(words, leads)) return true;
    std::size_t objects = 0;
    std::vector<std::uint64_t> object(looked_into / sizeof(std::uint64_t));
    for (const std::uint64_t word : words) {
        const RemoteAddress address(word);
        if (word % sizeof(std::uint64_t) != 0 || frame.range().contains(address)) continue;
        const Mapping* const mapping = sources.map.find(address);
        if (mapping == nullptr || !mapping->writable) continue;
        if (++objects > most_objects) break;
        const std::size_t read =
            sources.memory.read(address, std::as_writable_bytes(std::span(object))) / sizeof(std::uint64_t);
        if (std::ranges::any_of(std::span(object).first(read), leads)) return true;
    }
    return false;
}

/// The blocks, and what leads to them.
class ObjectGraph {
  public:
    ObjectGraph(const HoldSources& sources, const FrameIndex& frames, unsigned workers)
        : sources_(sources), frames_(frames), workers_(workers) {}

    std::uint32_t add(const AddressRange& block) {
        const auto [entry, is_new] =
            known_.try_emplace(block.begin, static_cast<std::uint32_t>(objects_.size()));
        if (is_new) {
            objects_.push_back({block, {}, {}, {}, false});
            not_asked_.push_back(entry->second);
        }
        return entry->second;
    }

    /// Asks for what leads to the blocks of which that has not been asked yet.
    void step() {
        std::ranges::sort(not_asked_, {}, [&](std::uint32_t i) { return objects_[i].block.begin; });
        const std::vector<std::uint32_t> asked = std::exchange(not_asked_, {});
        std::vector<Place> places = find_places(asked);
        std::ranges::sort(places, {}, &Place::at);
        std::vector<RemoteAddress> at;
        for (const Place& place : places) at.push_back(place.at);
        const std::vector<HeapBlock> blocks = find_used_blocks(sources_.memory, sources_.map, at);
        for (std::size_t i = 0; i < places.size(); ++i) {
            if (blocks[i].state == HeapBlock::State::free) continue;
            if (blocks[i].state == HeapBlock::State::unknown) {
                objects_[places[i].object].is_reached = true;
                continue;
            }
            const std::uint32_t from = add(blocks[i].usable);
            objects_[from].leads_to.push_back(places[i].object);
            objects_[places[i].object].known_by.push_back(from);
        }
        spread();
    }
    bool is_done() const { return not_asked_.empty(); }

    /// Nobody knows what leads to the rest: somebody may.
    void give_up() {
        for (const std::uint32_t i : not_asked_) objects_[i].is_reached = true;
        spread();
    }

    bool is_reached(std::uint32_t object) const { return objects_[object].is_reached; }

    /// What leads to the objects, directly or by way of others.
    void collect(std::vector<std::uint32_t> objects, HoldByObjects& hold) const {
        std::vector<bool> seen(objects_.size());
        while (!objects.empty()) {
            const std::uint32_t at = objects.back();
            objects.pop_back();
            if (seen[at]) continue;
            seen[at] = true;
            hold.objects.push_back(objects_[at].block);
            hold.known_by.insert(hold.known_by.end(), objects_[at].frames.begin(), objects_[at].frames.end());
            objects.insert(objects.end(), objects_[at].known_by.begin(), objects_[at].known_by.end());
        }
        std::ranges::sort(hold.objects, {}, &AddressRange::begin);
        std::ranges::sort(hold.known_by);
        hold.known_by.erase(std::ranges::unique(hold.known_by).begin(), hold.known_by.end());
        std::erase(hold.known_by, hold.coroutine);
    }

  private:
    struct Object {
        AddressRange block;
        std::vector<std::uint32_t> known_by, leads_to;  ///< other objects
        std::vector<std::uint32_t> frames;              ///< that lead to it
        bool is_reached = false;                        ///< by something that is no object and no frame
    };
    /// A word that leads to an object.
    struct Place {
        RemoteAddress at;
        std::uint32_t object = 0;
    };

    std::vector<Place> find_places(std::span<const std::uint32_t> asked) {
        std::vector<AddressRange> ranges;
        for (const std::uint32_t i : asked) ranges.push_back(objects_[i].block);
        const FrameIndex index(ranges);
        std::mutex mutex;
        std::vector<Place> places;
        std::vector<std::size_t> counts(asked.size());
        std::vector<std::atomic<bool>> is_settled(asked.size());
        const auto look_at_word = [&](std::uint64_t word, RemoteAddress place) {
            const std::uint32_t found = index.find(word & address_bits);
            if (found == FrameIndex::none || is_settled[found].load(std::memory_order_relaxed)) return;
            if (ranges[found].contains(place)) return;
            Object& object = objects_[asked[found]];
            const std::uint32_t frame = place.is_null() ? FrameIndex::none : frames_.find(place.value());
            const std::lock_guard lock(mutex);
            if (frame != FrameIndex::none) {
                object.frames.push_back(frame);
            } else if (!place.is_null() && counts[found]++ < most_places) {
                places.push_back({place, asked[found]});
            } else {
                object.is_reached = true;
                is_settled[found].store(true, std::memory_order_relaxed);
            }
        };
        for (const std::uint64_t word : sources_.words) look_at_word(word, RemoteAddress());
        const auto look = [&, offsets = std::vector<std::uint32_t>()](const MemoryBlock& block) mutable {
            offsets.clear();
            index.sieve(block.words, address_bits, offsets);
            for (const std::uint32_t i : offsets) look_at_word(block.words[i], block.begin + i * 8ULL);
        };
        std::vector readers(workers_, look);
        read_blocks(sources_.memory, sources_.ranges, std::span(readers));
        return places;
    }

    void spread() {
        std::vector<std::uint32_t> reached;
        for (std::uint32_t i = 0; i < objects_.size(); ++i) {
            if (objects_[i].is_reached) reached.push_back(i);
        }
        while (!reached.empty()) {
            const std::uint32_t at = reached.back();
            reached.pop_back();
            for (const std::uint32_t to : objects_[at].leads_to) {
                if (std::exchange(objects_[to].is_reached, true)) continue;
                reached.push_back(to);
            }
        }
    }

    const HoldSources& sources_;
    const FrameIndex& frames_;
    unsigned workers_;
    std::vector<Object> objects_;
    std::map<RemoteAddress, std::uint32_t> known_;
    std::vector<std::uint32_t> not_asked_;
};

}  // namespace

std::vector<HoldByObjects> find_holds_by_own_objects(const HoldSources& sources,
                                                     std::span<const Frame> frames, const FrameIndex& index,
                                                     std::vector<HeldByBlocks> candidates, unsigned workers) {
    if (candidates.size() > most_candidates) return {};
    std::erase_if(candidates, [&](const HeldByBlocks& candidate) {
        return !knows_its_blocks(sources, frames[candidate.frame], candidate);
    });
    if (candidates.empty()) return {};

    std::uint64_t bytes = 0;
    for (const AddressRange& range : sources.ranges) bytes += range.size();
    ObjectGraph graph(sources, index, workers);
    std::vector<std::vector<std::uint32_t>> objects(candidates.size());
    for (std::size_t i = 0; i < candidates.size(); ++i) {
        for (const AddressRange& block : candidates[i].blocks) objects[i].push_back(graph.add(block));
    }
    const auto is_open = [&](const std::vector<std::uint32_t>& holders) {
        return std::ranges::none_of(holders, [&](std::uint32_t i) { return graph.is_reached(i); });
    };
    for (unsigned step = 1; step <= most_steps && step * bytes <= most_bytes; ++step) {
        if (graph.is_done() || std::ranges::none_of(objects, is_open)) break;
        graph.step();
    }
    graph.give_up();

    std::vector<HoldByObjects> holds;
    for (std::size_t i = 0; i < candidates.size(); ++i) {
        if (!is_open(objects[i])) continue;
        HoldByObjects& hold = holds.emplace_back();
        hold.coroutine = candidates[i].frame;
        graph.collect(objects[i], hold);
    }
    return holds;
}

}  // namespace asyncdump::cpp20

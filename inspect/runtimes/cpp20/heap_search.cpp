#include "runtimes/cpp20/heap_search.h"

#include <algorithm>
#include <numeric>

namespace asyncdump::cpp20 {
namespace {

constexpr int most_hops = 3;
constexpr std::size_t most_objects = 24;                ///< a search looks at, besides those below
constexpr std::size_t most_leading_objects = 4096;      ///< that lead to frames: a deque's blocks
constexpr std::size_t most_searched_objects = 1 << 20;  ///< all searches together
constexpr std::size_t few_ends = 16;                    ///< are found one after the other

}  // namespace

const HeapPathEnd* HeapSearch::end_in(std::uint32_t frame) const {
    if (by_frame.empty()) {
        const auto found = std::ranges::find(ends, frame, &HeapPathEnd::frame);
        return found != ends.end() ? &*found : nullptr;
    }
    const auto frame_of = [&](std::uint32_t number) { return ends[number].frame; };
    const auto found = std::ranges::lower_bound(by_frame, frame, {}, frame_of);
    return found != by_frame.end() && frame_of(*found) == frame ? &ends[*found] : nullptr;
}

/// The end of a vector stands behind its beginning: it leads to no object, or to one that has nothing to do
/// with the vector.
bool is_end_of_neighbour(const Memory& memory, std::span<const std::uint64_t> words, std::size_t i) {
    for (std::size_t back = 1; back <= 2 && back <= i; ++back) {
        const std::uint64_t begin = words[i - back];
        if (begin >= words[i] || words[i] - begin > largest_heap_block) continue;
        const std::uint64_t size = block_size(memory, RemoteAddress(begin)).value_or(0);
        if (words[i] - begin <= size) return true;
    }
    return false;
}

const HeapSearch& HeapSearcher::from(std::span<const std::uint64_t> words, std::size_t i) {
    const auto [entry, is_new] = searches_.try_emplace(words[i]);
    if (is_new) run(words[i], range_behind(words, i, 0), entry->second);
    return entry->second;
}

const HeapSearch& HeapSearcher::from_frame(std::uint32_t frame, std::uint32_t offset) {
    const auto words = set_.memory.read_words(set_.frames[frame].range(), scratch_of_frame_);
    const std::size_t i = offset / 8;
    const auto [entry, is_new] = searches_.try_emplace(words[i]);
    HeapSearch& search = entry->second;
    if (!is_new) return search;
    const std::uint32_t bytes = bytes_behind(set_, map_, frame, offset, words[i]);
    run(words[i], range_behind(words, i, bytes), search);
    // Where the class that is declared is the base of another one, as a list's node, what leads on stands
    // behind it.
    const auto is_start = [&](const HeapPathEnd& end) { return end.frame == frame; };
    if (bytes != 0 && std::ranges::all_of(search.ends, is_start)) {
        search = {};
        run(words[i], range_behind(words, i, 0), search);
    }
    return search;
}

AddressRange HeapSearcher::range_behind(std::span<const std::uint64_t> words, std::size_t i,
                                        std::uint32_t declared_bytes) const {
    return object_behind(set_.memory, map_, words, i, declared_bytes,
                         [this](std::uint64_t word) { return leads_to_frame(set_, word); });
}

void HeapSearcher::run(std::uint64_t pointer, const AddressRange& first, HeapSearch& search) {
    struct Found {
        std::uint64_t address;
        AddressRange range;
        int hops;
        std::size_t reached_from;
    };
    constexpr std::size_t none = ~std::size_t{0};
    std::vector<Found> queue{{pointer, first, 1, none}};
    std::size_t leading = 0;
    for (std::size_t i = 0; i < queue.size(); ++i) {
        const auto [address, range, hops, reached_from] = queue[i];
        if (search.objects.size() - leading >= most_objects || leading >= most_leading_objects ||
            total_objects_ >= most_searched_objects) {
            search.overflowed = true;
            break;
        }
        ++total_objects_;
        if (free_blocks_.contain(RemoteAddress(address))) continue;
        const std::size_t object = search.objects.size();
        search.objects.push_back({range, hops, reached_from == none ? object : reached_from});
        const std::size_t ends_before = search.ends.size();
        const auto words = set_.memory.read_words(range, scratch_);
        for (std::size_t w = 0; w < words.size(); ++w) {
            const std::uint64_t word = words[w];
            const std::uint32_t frame = set_.index.find(word);
            if (frame != FrameIndex::none) {
                add_end(search, frame, word, object);
            } else if (hops < most_hops && is_heap(map_, set_.stacks, word) &&
                       !is_end_of_neighbour(set_.memory, words, w) &&
                       std::ranges::find(queue, word, &Found::address) == queue.end()) {
                queue.push_back({word, range_behind(words, w, 0), hops + 1, object});
            }
        }
        if (object != 0 && search.ends.size() > ends_before) ++leading;
    }
    if (search.ends.size() <= few_ends) return;
    search.by_frame.resize(search.ends.size());
    std::iota(search.by_frame.begin(), search.by_frame.end(), 0U);
    std::ranges::sort(search.by_frame, {}, [&](std::uint32_t end) { return search.ends[end].frame; });
}

HeapPathEnd* HeapSearcher::known_end(HeapSearch& search, std::uint32_t frame) {
    if (search.ends.size() < few_ends) {
        const auto known = std::ranges::find(search.ends, frame, &HeapPathEnd::frame);
        return known != search.ends.end() ? &*known : nullptr;
    }
    if (search.ends.size() == few_ends) {
        positions_.clear();
        for (std::uint32_t end = 0; end < few_ends; ++end) positions_.emplace(search.ends[end].frame, end);
    }
    const auto [known, is_new] =
        positions_.try_emplace(frame, static_cast<std::uint32_t>(search.ends.size()));
    return is_new ? nullptr : &search.ends[known->second];
}

void HeapSearcher::add_end(HeapSearch& search, std::uint32_t frame, std::uint64_t word, std::size_t object) {
    const auto target = classify_target(set_.frames[frame], set_.views[frame], RemoteAddress(word));
    if (target == Reference::Target::interior) return;
    if (HeapPathEnd* const known = known_end(search, frame)) {
        known->lowest = std::min(known->lowest, RemoteAddress(word));
        known->highest = std::max(known->highest, RemoteAddress(word));
        return;
    }
    Reference reference;
    reference.to = frame;
    reference.target = target;
    reference.hops = static_cast<std::uint8_t>(search.objects[object].hops);
    search.ends.push_back({frame, reference, object, RemoteAddress(word), RemoteAddress(word)});
}

}  // namespace asyncdump::cpp20

#include "runtimes/cpp20/liveness.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>
#include <string_view>

#include "process/read_blocks.h"
#include "process/word_filter.h"
#include "runtimes/cpp20/glibc_heap.h"

namespace asyncdump::cpp20 {
namespace {

constexpr std::uint32_t first_word = 16;
/// Words on either side in which another frame's address makes an array of it.
constexpr std::size_t neighbourhood = 4;
/// Frames that differ here are not copies of each other: a quick sieve.
constexpr std::size_t compared_beginning = 40;

/// A bit for each frame that several threads may set.
class SharedBits {
  public:
    explicit SharedBits(std::size_t count) : words_((count + 63) / 64) {}
    void set(std::size_t bit) {
        auto& word = words_[bit / 64];
        const std::uint64_t mask = 1ULL << (bit % 64);
        if ((word.load(std::memory_order_relaxed) & mask) == 0)
            word.fetch_or(mask, std::memory_order_relaxed);
    }
    bool get(std::size_t bit) const {
        return ((words_[bit / 64].load(std::memory_order_relaxed) >> (bit % 64)) & 1) != 0;
    }

  private:
    std::vector<std::atomic<std::uint64_t>> words_;
};

/// A word that holds a frame's address among others that do.
struct ArrayEntry {
    RemoteAddress array;  ///< the first of the words before it without a null between
    RemoteAddress at;
    std::uint32_t frame = 0;
    bool is_cut = false;  ///< `array` is where the words that were read together begin
};

/// jemalloc's record of an extent (edata_t): its address, which is a page's, then its size, a multiple of the
/// page size with a serial number in the lower bits.
bool is_extent_record(std::span<const std::uint64_t> words, std::size_t i) {
    constexpr std::uint64_t page = 4096, largest_extent = 1ULL << 32;
    return words[i] % page == 0 && i + 1 < words.size() && words[i + 1] >= page &&
           words[i + 1] < largest_extent;
}

/// A container's last pointers stand behind its first: they lead behind its storage, into something that has
/// nothing to do with it.
bool ends_neighbour(std::span<const std::uint64_t> words, std::size_t i) {
    constexpr std::uint64_t largest_storage = 1 << 24;
    for (std::size_t back = 1; back <= 2 && back <= i; ++back) {
        const std::uint64_t begin = words[i - back];
        if (begin % 8 == 0 && begin < words[i] && words[i] - begin <= largest_storage) return true;
    }
    return false;
}

struct DoubtedWord {
    RemoteAddress at;
    std::uint32_t frame = 0;
    bool is_exact = false;
};

/// Finds the frames to which words outside of all frames lead.
class AnchorSearch {
  public:
    AnchorSearch(const AnchorScope& scope, std::span<const Frame> frames,
                 const std::vector<bool>& content_tells, const CoroutineCatalog& catalog,
                 const FrameIndex& index)
        : scope_(scope),
          frames_(frames),
          content_tells_(content_tells),
          catalog_(catalog),
          index_(index),
          exact_only_(frames.size()),
          anchored_(frames.size()),
          inside_(frames.size()) {
        for (std::size_t i = 0; i < frames.size(); ++i) {
            // Inside a block that is known to be in use and begins with something else: a buffer may hold a
            // piece of what once were frames, and its own pointers lead into it.
            const bool in_other_block = frames[i].found_by_registry && !frames[i].owns_block;
            exact_only_[i] = in_other_block || contains(scope.stacks, frames[i].address);
        }
    }

    void look(RemoteAddress at, std::span<const std::uint64_t> words, std::vector<std::uint32_t>& offsets) {
        offsets.clear();
        index_.sieve(words, all_bits, offsets);
        for (const std::uint32_t i : offsets) {
            const std::uint32_t frame = index_.find(words[i]);
            if (frame == FrameIndex::none || index_.find((at + i * 8ULL).value()) != FrameIndex::none)
                continue;
            const bool is_exact = words[i] == frames_[frame].address.value();
            if (!is_exact && exact_only_[frame]) continue;
            const bool is_of_glibc = scope_.allocator.empty() && frames_[frame].in_glibc_heap;
            if (is_of_glibc && is_piece_of_block(frames_[frame])) {
                if (!contains(scope_.c_library, at + i * 8ULL)) add_doubted(at + i * 8ULL, frame, is_exact);
                continue;
            }
            if (!is_of_glibc && !content_tells_[frame]) {
                if (contains(scope_.allocator, at + i * 8ULL)) continue;
                if (is_exact && is_record_of_free_block(at, words, i, frame)) continue;
            }
            set_anchored(frame, is_exact);
        }
    }

    /// Words that lead to pieces of blocks count unless they lie in free memory, and unless they lie in the
    /// very block of which nobody outside knows a frame: then it is a buffer, not an arena.
    void judge_doubted(const Memory& memory) {
        std::ranges::sort(doubted_, {}, &DoubtedWord::at);
        std::vector<RemoteAddress> places, targets;
        for (const DoubtedWord& word : doubted_) places.push_back(word.at);
        for (const Frame& frame : frames_) targets.push_back(frame.address);
        const std::vector<HeapBlock> around = find_used_blocks(memory, scope_.map, places);
        const std::vector<HeapBlock> blocks = find_heap_blocks(memory, scope_.map, targets);
        std::set<RemoteAddress> known;
        const auto believe = [&](bool is_inside_block) {
            for (std::size_t i = 0; i < doubted_.size(); ++i) {
                const DoubtedWord& word = doubted_[i];
                const AddressRange& block = blocks[word.frame].usable;
                if (around[i].state == HeapBlock::State::free || block.contains(word.at) != is_inside_block)
                    continue;
                if (is_inside_block && !known.contains(block.begin)) continue;
                if (!is_inside_block) known.insert(block.begin);
                set_anchored(word.frame, word.is_exact);
            }
        };
        believe(false);
        believe(true);
    }

    /// For a second look at all words: into which of the arrays does a pointer lead?
    void prepare_arrays(const Memory& memory) {
        std::ranges::sort(entries_, {}, &ArrayEntry::array);
        RemoteAddress last;  // before it was joined to the one before it
        for (const ArrayEntry& entry : entries_) {
            if (arrays_.empty() || last != entry.array) {
                last = entry.array;
                const RemoteAddress before = arrays_.empty() ? RemoteAddress() : arrays_.back().end;
                const RemoteAddress begin =
                    entry.is_cut ? begin_before(memory, entry.array, before) : entry.array;
                if (arrays_.empty() || begin > before) arrays_.push_back({begin, entry.at});
            }
            arrays_.back().end = std::max(arrays_.back().end, entry.at + 8);
        }
        lowest_pointers_ = std::vector<std::atomic<std::uint64_t>>(arrays_.size());
        for (auto& lowest : lowest_pointers_) lowest = ~0ULL;
    }
    bool has_doubted() const { return !doubted_.empty(); }
    bool has_arrays() const { return !entries_.empty(); }
    void look_for_pointers_into_arrays(RemoteAddress at, std::span<const std::uint64_t> words) {
        for (std::size_t i = 0; i < words.size(); ++i) {
            const auto array = find_array(RemoteAddress(words[i]));
            const RemoteAddress here = at + i * 8;
            if (!array || words[i] % 8 != 0 || ends_neighbour(words, i) || is_extent_record(words, i) ||
                contains(scope_.allocator, here) || arrays_[*array].contains(here))
                continue;
            auto& lowest = lowest_pointers_[*array];
            std::uint64_t known = lowest.load(std::memory_order_relaxed);
            while (words[i] < known && !lowest.compare_exchange_weak(known, words[i])) continue;
        }
    }
    void believe_reached_arrays() {
        for (const ArrayEntry& entry : entries_) {
            if (lowest_pointers_[*find_array(entry.at)].load() <= entry.at.value())
                anchored_.set(entry.frame);
        }
    }

    Anchor anchor_of(std::size_t frame) const {
        if (inside_.get(frame)) return Anchor::inside;
        return anchored_.get(frame) ? Anchor::exact : Anchor::none;
    }

  private:
    static bool is_piece_of_block(const Frame& frame) { return frame.block_is_known && !frame.owns_block; }

    void set_anchored(std::uint32_t frame, bool is_exact) {
        anchored_.set(frame);
        if (!is_exact) inside_.set(frame);
    }

    void add_doubted(RemoteAddress at, std::uint32_t frame, bool is_exact) {
        const std::lock_guard lock(mutex_);
        if (doubted_.size() < most_entries)
            doubted_.push_back({at, frame, is_exact});
        else
            set_anchored(frame, is_exact);
    }

    /// Where an array begins whose rest was read with the next words; not before `end`.
    RemoteAddress begin_before(const Memory& memory, RemoteAddress begin, RemoteAddress end) const {
        while (begin > end && index_.find((begin - 8).value()) == FrameIndex::none &&
               memory.read_value<std::uint64_t>(begin - 8).value_or(0) != 0)
            begin = begin - 8;
        return begin;
    }

    std::optional<std::size_t> find_array(RemoteAddress address) const {
        const AddressRange* const array = find_range(arrays_, address);
        if (array == nullptr) return std::nullopt;
        return static_cast<std::size_t>(array - arrays_.data());
    }

    bool is_record_of_free_block(RemoteAddress at, std::span<const std::uint64_t> words, std::size_t i,
                                 std::uint32_t frame) {
        if (i + 1 < words.size() && catalog_.is_destroy_entry(words[i + 1])) return true;
        if (!scope_.may_replace_malloc) return false;
        if (is_extent_record(words, i)) return true;
        const auto leads_to_another = [&](std::uint64_t word) {
            const std::uint32_t other = index_.find(word);
            return other != FrameIndex::none && other != frame && word == frames_[other].address.value();
        };
        const std::size_t first = i - std::min(i, neighbourhood);
        const std::size_t last = std::min(words.size(), i + neighbourhood + 1);
        const bool is_array = std::ranges::any_of(words.subspan(first, last - first), leads_to_another);
        const bool may_be_link = frames_[frame].done && contains(scope_.heaps, at + i * 8);
        if (!is_array && !may_be_link) return false;
        std::size_t begin = i;
        const auto continues = [&](std::size_t word) {
            return words[word] != 0 && index_.find((at + word * 8).value()) == FrameIndex::none;
        };
        while (begin > 0 && continues(begin - 1)) --begin;
        const std::lock_guard lock(mutex_);
        if (entries_.size() >= most_entries) return false;
        entries_.push_back({at + begin * 8, at + i * 8, frame, begin == 0});
        return true;
    }

    static constexpr std::size_t most_entries = 1 << 22;
    const AnchorScope& scope_;
    std::span<const Frame> frames_;
    const std::vector<bool>& content_tells_;
    const CoroutineCatalog& catalog_;
    const FrameIndex& index_;
    std::vector<bool> exact_only_;
    SharedBits anchored_, inside_;
    std::mutex mutex_;
    std::vector<DoubtedWord> doubted_;
    std::vector<ArrayEntry> entries_;
    std::vector<AddressRange> arrays_;                         ///< sorted
    std::vector<std::atomic<std::uint64_t>> lowest_pointers_;  ///< into each of them, from elsewhere
};

/// Is `copy` the content of `original`? Where the frame's size is not known, the end may differ: a block has
/// a few bytes more than its frame.
bool has_content_of(std::span<const std::uint64_t> copy, std::span<const std::uint64_t> original,
                    bool size_is_known) {
    const std::size_t slack = size_is_known ? 0 : 2;
    const std::size_t count = std::min(copy.size(), original.size());
    if (count <= first_word / 8 + slack) return false;
    return std::ranges::equal(copy.first(count - slack), original.first(count - slack));
}

/// The frame of which `words`, the content of `self`, are a copy: where the original points into itself, or
/// where a child that both seem to await knows its parent.
std::optional<std::uint32_t> original_of(const Memory& memory, std::span<const Frame> frames,
                                         std::uint32_t self, std::span<const std::uint64_t> words,
                                         const FrameIndex& index) {
    std::vector<std::uint64_t> scratch, scratch_of_target;
    const auto is_original = [&](std::uint32_t frame) {
        return frame != FrameIndex::none && frame != self &&
               frames[frame].function == frames[self].function &&
               has_content_of(words, memory.read_words(frames[frame].range(), scratch),
                              frames[self].size_is_known);
    };
    for (std::size_t i = first_word / 8; i < words.size(); ++i) {
        const std::uint32_t target = index.find(words[i]);
        if (target == FrameIndex::none || target == self) continue;
        if (is_original(target)) return target;
        for (const std::uint64_t back : memory.read_words(frames[target].range(), scratch_of_target)) {
            const std::uint32_t parent = index.find(back);
            if (parent != FrameIndex::none && back == frames[parent].address.value() && is_original(parent)) {
                return parent;
            }
        }
    }
    return std::nullopt;
}

/// Nobody knows a copy's address: to what another frame has the handle, that is one of its own. Two children
/// of one parent may be as equal as copies are.
void keep_referred_to(const Memory& memory, std::span<const Frame> frames, const FrameIndex& index,
                      std::vector<bool>& copies) {
    const std::vector<bool> seem_copies = copies;
    std::vector<std::uint64_t> scratch;
    for (std::uint32_t i = 0; i < frames.size(); ++i) {
        if (seem_copies[i]) continue;
        for (const std::uint64_t word : memory.read_words(frames[i].range(), scratch)) {
            const std::uint32_t target = index.find(word);
            if (target != FrameIndex::none && word == frames[target].address.value()) copies[target] = false;
        }
    }
}

}  // namespace

std::vector<Anchor> find_anchors(const Memory& memory, const AnchorScope& scope,
                                 std::span<const Frame> frames, const std::vector<bool>& content_tells,
                                 const CoroutineCatalog& catalog, const FrameIndex& index, unsigned workers) {
    AnchorSearch search(scope, frames, content_tells, catalog, index);
    const auto read = [&](auto look) {
        std::vector readers(workers, look);
        read_blocks(memory, scope.ranges, std::span(readers));
    };
    read([&, offsets = std::vector<std::uint32_t>()](const MemoryBlock& block) mutable {
        search.look(block.begin, block.words, offsets);
    });
    if (search.has_doubted()) search.judge_doubted(memory);
    if (search.has_arrays()) {
        search.prepare_arrays(memory);
        read([&](const MemoryBlock& block) {
            search.look_for_pointers_into_arrays(block.begin, block.words);
        });
        search.believe_reached_arrays();
    }
    std::vector<Anchor> result(frames.size());
    for (std::size_t i = 0; i < frames.size(); ++i) result[i] = search.anchor_of(i);
    return result;
}

std::vector<bool> find_copies(const Memory& memory, std::span<const Frame> frames, const FrameIndex& index,
                              LayoutCache& layouts) {
    std::vector<bool> copies(frames.size());
    struct Beginning {
        std::size_t hash;
        std::uint32_t frame;
    };
    std::vector<Beginning> beginnings;
    std::vector<std::uint64_t> scratch;
    for (std::uint32_t i = 0; i < frames.size(); ++i) {
        if (layouts.of(frames[i].function).self_handle) continue;
        const auto words = memory.read_words(frames[i].range(), scratch);
        const std::string_view beginning(reinterpret_cast<const char*>(words.data()),
                                         std::min(words.size_bytes(), compared_beginning));
        beginnings.push_back({std::hash<std::string_view>{}(beginning) ^ frames[i].function, i});
    }
    std::ranges::sort(beginnings, {}, &Beginning::hash);
    for (std::size_t i = 0; i < beginnings.size(); ++i) {
        const bool like_the_one_before = i > 0 && beginnings[i - 1].hash == beginnings[i].hash;
        const bool like_the_next = i + 1 < beginnings.size() && beginnings[i + 1].hash == beginnings[i].hash;
        if (!like_the_one_before && !like_the_next) continue;
        const std::uint32_t frame = beginnings[i].frame;
        const auto words = memory.read_words(frames[frame].range(), scratch);
        copies[frame] = original_of(memory, frames, frame, words, index).has_value();
    }
    if (std::ranges::find(copies, true) != copies.end()) keep_referred_to(memory, frames, index, copies);
    return copies;
}

}  // namespace asyncdump::cpp20

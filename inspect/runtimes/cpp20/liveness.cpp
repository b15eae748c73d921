#include "runtimes/cpp20/liveness.h"

#include <algorithm>
#include <atomic>
#include <string_view>
#include <thread>

namespace asyncdump::cpp20 {
namespace {

constexpr std::size_t block_bytes = 256 * 1024;
constexpr std::uint64_t portion_bytes = 4 * 1024 * 1024;
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

/// Finds the frames to which the words of one block of memory lead.
class AnchorSearch {
  public:
    AnchorSearch(std::span<const Frame> frames, std::span<const AddressRange> stacks,
                 const CoroutineCatalog& catalog, const FrameIndex& index)
        : frames_(frames),
          catalog_(catalog),
          index_(index),
          exact_only_(frames.size()),
          anchored_(frames.size()),
          inside_(frames.size()) {
        for (std::size_t i = 0; i < frames.size(); ++i) {
            const auto after = std::ranges::upper_bound(stacks, frames[i].address, {}, &AddressRange::begin);
            exact_only_[i] = after != stacks.begin() && (after - 1)->contains(frames[i].address);
        }
    }

    void look(const Memory& memory, AddressRange portion) {
        std::vector<std::uint64_t> words(block_bytes / 8);
        for (RemoteAddress at = portion.begin; at < portion.end;) {
            const auto bytes = std::as_writable_bytes(std::span(words))
                                   .first(std::min<std::uint64_t>(block_bytes, portion.end - at));
            const std::size_t count = memory.read(at, bytes) / 8;
            for (std::size_t i = 0; i < count; ++i) {
                const std::uint32_t frame = index_.find(words[i]);
                if (frame == FrameIndex::none || index_.find((at + i * 8).value()) != FrameIndex::none)
                    continue;
                if (!is_anchor(std::span<const std::uint64_t>(words).first(count), i, frame)) continue;
                anchored_.set(frame);
                if (words[i] != frames_[frame].address.value()) inside_.set(frame);
            }
            const bool whole = count * 8 == bytes.size() && count > 0;
            at = whole ? at + bytes.size() : RemoteAddress(((at + count * 8).value() | 0xFFF) + 1);
        }
    }

    Anchor anchor_of(std::size_t frame) const {
        if (inside_.get(frame)) return Anchor::inside;
        return anchored_.get(frame) ? Anchor::exact : Anchor::none;
    }

  private:
    bool is_anchor(std::span<const std::uint64_t> words, std::size_t i, std::uint32_t frame) const {
        const bool is_exact = words[i] == frames_[frame].address.value();
        if (!is_exact) return !exact_only_[frame];
        if (frames_[frame].in_glibc_heap) return true;
        if (i + 1 < words.size() && catalog_.is_destroy_entry(words[i + 1])) return false;
        const auto leads_to_another = [&](std::uint64_t word) {
            const std::uint32_t other = index_.find(word);
            return other != FrameIndex::none && other != frame && word == frames_[other].address.value();
        };
        const std::size_t begin = i - std::min(i, neighbourhood);
        const std::size_t end = std::min(words.size(), i + neighbourhood + 1);
        return std::ranges::none_of(words.subspan(begin, end - begin), leads_to_another);
    }

    std::span<const Frame> frames_;
    const CoroutineCatalog& catalog_;
    const FrameIndex& index_;
    std::vector<bool> exact_only_;
    SharedBits anchored_, inside_;
};

/// Is `copy` the content of `original`? The end may differ: a block has a few bytes more than its frame.
bool has_content_of(std::span<const std::uint64_t> copy, std::span<const std::uint64_t> original) {
    constexpr std::size_t slack = 2;
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
               has_content_of(words, memory.read_words(frames[frame].range(), scratch));
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

}  // namespace

std::vector<Anchor> find_anchors(const Memory& memory, std::span<const AddressRange> ranges,
                                 std::span<const AddressRange> stacks, std::span<const Frame> frames,
                                 const CoroutineCatalog& catalog, const FrameIndex& index, unsigned workers) {
    std::vector<AddressRange> portions;
    for (const AddressRange& range : ranges) {
        for (RemoteAddress at = range.begin; at < range.end; at = at + portion_bytes) {
            portions.push_back({at, std::min(at + portion_bytes, range.end)});
        }
    }
    AnchorSearch search(frames, stacks, catalog, index);
    std::atomic<std::size_t> next{0};
    const auto work = [&] {
        for (std::size_t i = next.fetch_add(1); i < portions.size(); i = next.fetch_add(1)) {
            search.look(memory, portions[i]);
        }
    };
    std::vector<std::jthread> helpers;
    for (std::size_t i = 1; i < std::min<std::size_t>(workers, portions.size()); ++i)
        helpers.emplace_back(work);
    work();
    helpers.clear();

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
    return copies;
}

}  // namespace asyncdump::cpp20

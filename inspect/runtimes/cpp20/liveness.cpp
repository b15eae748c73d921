#include "runtimes/cpp20/liveness.h"

#include <algorithm>
#include <atomic>
#include <string_view>
#include <thread>
#include <unordered_map>

namespace asyncdump::cpp20 {
namespace {

constexpr std::size_t block_bytes = 256 * 1024;
constexpr std::uint64_t portion_bytes = 4 * 1024 * 1024;
constexpr std::uint32_t first_word = 16;

std::vector<std::uint64_t> words_of(const Memory& memory, const Frame& frame) {
    std::vector<std::uint64_t> words(frame.extent / 8);
    words.resize(memory.read(frame.address, std::as_writable_bytes(std::span(words))) / 8);
    return words;
}

/// A bit for each frame that several threads may set.
class SharedBits {
  public:
    explicit SharedBits(std::size_t count) : words_((count + 63) / 64) {}
    void set(std::size_t bit) {
        auto& word = words_[bit / 64];
        const std::uint64_t mask = 1ULL << (bit % 64);
        if ((word.load(std::memory_order_relaxed) & mask) == 0) word.fetch_or(mask, std::memory_order_relaxed);
    }
    bool get(std::size_t bit) const { return ((words_[bit / 64].load(std::memory_order_relaxed) >> (bit % 64)) & 1) != 0; }

  private:
    std::vector<std::atomic<std::uint64_t>> words_;
};

void note_anchors(const Memory& memory, AddressRange portion, const FrameIndex& index, SharedBits& anchored) {
    std::vector<std::uint64_t> words(block_bytes / 8);
    for (RemoteAddress at = portion.begin; at < portion.end;) {
        const auto bytes = std::as_writable_bytes(std::span(words)).first(std::min<std::uint64_t>(block_bytes, portion.end - at));
        const std::size_t count = memory.read(at, bytes) / 8;
        for (std::size_t i = 0; i < count; ++i) {
            const std::uint32_t frame = index.find(words[i]);
            if (frame == FrameIndex::none) continue;
            if (index.find((at + i * 8).value()) == FrameIndex::none) anchored.set(frame);
        }
        const bool whole = count * 8 == bytes.size() && count > 0;
        at = whole ? at + bytes.size() : RemoteAddress(((at + count * 8).value() | 0xFFF) + 1);
    }
}

/// The frame to which equal content belongs, found by pointers into one of the group; none when there are no such pointers.
std::optional<std::uint32_t> original_of(const Memory& memory, std::span<const Frame> frames,
                                         std::span<const std::uint32_t> group, const FrameIndex& index) {
    const auto is_in_group = [&](std::uint32_t frame) { return std::ranges::find(group, frame) != group.end(); };
    const auto words = words_of(memory, frames[group.front()]);
    for (std::size_t i = first_word / 8; i < words.size(); ++i) {
        const std::uint32_t target = index.find(words[i]);
        if (target == FrameIndex::none) continue;
        if (is_in_group(target)) return target;
        // A child that all of them seem to await knows its real parent.
        for (const std::uint64_t back : words_of(memory, frames[target])) {
            const std::uint32_t parent = index.find(back);
            if (parent != FrameIndex::none && is_in_group(parent) && back == frames[parent].address.value()) {
                return parent;
            }
        }
    }
    return std::nullopt;
}

}  // namespace

std::vector<bool> find_anchors(const Memory& memory, std::span<const AddressRange> ranges,
                               std::span<const Frame> frames, const FrameIndex& index, unsigned workers) {
    std::vector<AddressRange> portions;
    for (const AddressRange& range : ranges) {
        for (RemoteAddress at = range.begin; at < range.end; at = at + portion_bytes) {
            portions.push_back({at, std::min(at + portion_bytes, range.end)});
        }
    }
    SharedBits anchored(frames.size());
    std::atomic<std::size_t> next{0};
    const auto work = [&] {
        for (std::size_t i = next.fetch_add(1); i < portions.size(); i = next.fetch_add(1)) {
            note_anchors(memory, portions[i], index, anchored);
        }
    };
    std::vector<std::jthread> helpers;
    for (std::size_t i = 1; i < std::min<std::size_t>(workers, portions.size()); ++i) helpers.emplace_back(work);
    work();
    helpers.clear();

    std::vector<bool> result(frames.size());
    for (std::size_t i = 0; i < frames.size(); ++i) result[i] = anchored.get(i);
    return result;
}

std::vector<bool> find_copies(const Memory& memory, std::span<const Frame> frames, const FrameIndex& index,
                              LayoutCache& layouts) {
    std::vector<bool> copies(frames.size());
    std::unordered_map<std::size_t, std::vector<std::uint32_t>> by_content;
    for (std::uint32_t i = 0; i < frames.size(); ++i) {
        if (layouts.of(frames[i].function).self_handle) continue;
        const auto words = words_of(memory, frames[i]);
        const std::string_view content(reinterpret_cast<const char*>(words.data()), words.size() * 8);
        by_content[std::hash<std::string_view>{}(content) ^ frames[i].function].push_back(i);
    }
    for (const auto& [hash, group] : by_content) {
        if (group.size() < 2) continue;
        const auto original = original_of(memory, frames, group, index);
        if (!original) continue;
        for (const std::uint32_t frame : group) copies[frame] = frame != *original;
    }
    return copies;
}

}  // namespace asyncdump::cpp20

#include "runtimes/cpp20/frame_index.h"

#include <algorithm>

#include "process/word_filter.h"

namespace asyncdump::cpp20 {
namespace {

/// A few frames stand in so many bytes: a search looks at each of them.
constexpr std::uint64_t page = 512;
/// Frames further apart than this begin a new region, so that the page table stays small.
constexpr std::uint64_t largest_hole = 1 << 16;
constexpr std::uint64_t largest_hole_of_reach = 1 << 30;
constexpr std::size_t most_reaches = 4;

}  // namespace

FrameIndex::FrameIndex(std::span<const AddressRange> frames) : frames_(frames) {
    if (frames.empty()) return;
    low_ = frames.front().begin.value();
    for (std::size_t i = 0; i < frames.size(); ++i) {
        const std::uint64_t begin = frames[i].begin.value();
        const std::uint64_t end = frames[i].end.value();
        high_ = std::max(high_, end);
        if (regions_.empty() || begin > regions_.back().end + largest_hole) {
            regions_.push_back({begin, end, static_cast<std::uint32_t>(pages_.size())});
        }
        if (reaches_.empty() || frames[i].begin > reaches_.back().end + largest_hole_of_reach)
            reaches_.push_back(frames[i]);
        reaches_.back().end = std::max(reaches_.back().end, frames[i].end);
        Region& region = regions_.back();
        region.end = std::max(region.end, end);
        const std::uint64_t pages = (region.end - region.begin) / page + 1;
        // The first frame that reaches into a page is the one to begin a search with.
        pages_.resize(region.first_page + pages, static_cast<std::uint32_t>(i));
    }
    if (reaches_.size() > most_reaches) reaches_ = {{reaches_.front().begin, reaches_.back().end}};
}

void FrameIndex::sieve(std::span<const std::uint64_t> words, std::uint64_t mask,
                       std::vector<std::uint32_t>& offsets) const {
    for (const AddressRange& reach : reaches_)
        find_words_in_range(words, reach.begin.value(), reach.end.value(), mask, offsets);
}

std::uint32_t FrameIndex::find_in_regions(std::uint64_t address) const {
    const auto after = std::ranges::upper_bound(regions_, address, {}, &Region::begin);
    if (after == regions_.begin()) return none;
    const Region& region = *(after - 1);
    if (address >= region.end) return none;
    std::uint32_t best = none;
    for (std::size_t i = pages_[region.first_page + (address - region.begin) / page]; i < frames_.size();
         ++i) {
        if (frames_[i].begin.value() > address) break;
        if (address < frames_[i].end.value()) best = static_cast<std::uint32_t>(i);
    }
    return best;
}

}  // namespace asyncdump::cpp20

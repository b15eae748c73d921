#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/remote_address.h"

namespace asyncdump::cpp20 {

/// Which frame does an address point into? Answers in a few nanoseconds for a million frames: most words of
/// memory point to none of them. Ranges may nest (a frame with elided allocation inside another frame): the
/// innermost answers.
class FrameIndex {
  public:
    static constexpr std::uint32_t none = 0xFFFFFFFF;

    /// `frames` are sorted by begin; the index of a frame is its place in it.
    explicit FrameIndex(std::span<const AddressRange> frames);

    /// Appends the offsets of those of `words` that may point to a frame, with marks in bits outside of
    /// `mask`: a quick sieve before find().
    void sieve(std::span<const std::uint64_t> words, std::uint64_t mask,
               std::vector<std::uint32_t>& offsets) const;

    std::uint32_t find(std::uint64_t address) const {
        if (address - low_ >= high_ - low_) return none;
        return find_in_regions(address);
    }

  private:
    /// A stretch of memory without large holes, with the first frame that can reach into each of its pages.
    struct Region {
        std::uint64_t begin = 0, end = 0;
        std::uint32_t first_page = 0;  ///< in pages_
    };
    std::uint32_t find_in_regions(std::uint64_t address) const;

    std::span<const AddressRange> frames_;
    std::uint64_t low_ = 0, high_ = 0;
    std::vector<AddressRange> reaches_;  ///< few that cover all frames: heap, mappings, stacks
    std::vector<Region> regions_;
    std::vector<std::uint32_t> pages_;
};

}  // namespace asyncdump::cpp20

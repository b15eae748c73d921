#include "cli/registered_frames.h"

#include <algorithm>

namespace asyncdump {
namespace {

constexpr std::uint64_t page = 4096;
/// Copied while the target is stopped: at several GB/s some ten milliseconds.
constexpr std::uint64_t most_changed_bytes = 64 << 20;

/// Advances through sorted ranges as growing addresses are asked for.
class Cursor {
  public:
    explicit Cursor(std::span<const AddressRange> ranges) : ranges_(ranges) {}
    /// The first range that ends behind `address`; nullptr when there is none.
    const AddressRange* seek(RemoteAddress address) {
        while (at_ < ranges_.size() && ranges_[at_].end <= address) ++at_;
        return at_ < ranges_.size() ? &ranges_[at_] : nullptr;
    }

  private:
    std::span<const AddressRange> ranges_;
    std::size_t at_ = 0;
};

}  // namespace

LookedInside::LookedInside(std::span<const RegisteredBlock> blocks, std::span<const AddressRange> ordinary) {
    Cursor memory(ordinary);
    ranges_.reserve(blocks.size());
    for (const RegisteredBlock& block : blocks) {
        const bool whole = block.size != 0 && block.size <= largest_whole;
        AddressRange range{block.address, block.address + (whole ? block.size : part_of_larger)};
        const AddressRange* const mapped = memory.seek(range.begin);
        if (mapped == nullptr || !mapped->contains(range.begin)) continue;
        range.end = std::min(range.end, mapped->end);
        ranges_.push_back(range);
    }
}

std::vector<AddressRange> LookedInside::coarse_ranges(std::span<const AddressRange> resident) const {
    std::vector<AddressRange> joined;
    for (const AddressRange& range : ranges_) {
        const AddressRange pages{RemoteAddress(range.begin.value() & ~(page - 1)),
                                 RemoteAddress((range.end.value() + page - 1) & ~(page - 1))};
        if (!joined.empty() && pages.begin <= joined.back().end) {
            joined.back().end = std::max(joined.back().end, pages.end);
        } else {
            joined.push_back(pages);
        }
    }
    std::vector<AddressRange> touched;
    Cursor parts(resident);
    for (AddressRange rest : joined) {
        for (const AddressRange* part = parts.seek(rest.begin); part != nullptr && part->begin < rest.end;
             part = parts.seek(rest.begin)) {
            touched.push_back({std::max(part->begin, rest.begin), std::min(part->end, rest.end)});
            rest.begin = touched.back().end;
            if (rest.begin == rest.end) break;
        }
    }
    return touched;
}

std::vector<RemoteAddress> LookedInside::only_inside(std::span<const RemoteAddress> addresses) const {
    std::vector<RemoteAddress> inside;
    Cursor blocks(ranges_);
    for (const RemoteAddress address : addresses) {
        const AddressRange* const block = blocks.seek(address);
        if (block != nullptr && block->contains(address)) inside.push_back(address);
    }
    return inside;
}

ChangedBlocks changed_blocks(std::span<const RegisteredBlock> before, std::span<const RegisteredBlock> now,
                             std::span<const cpp20::Frame> frames, std::span<const AddressRange> ordinary) {
    std::vector<RegisteredBlock> changed;
    std::size_t old = 0, frame = 0;
    for (const RegisteredBlock& block : now) {
        while (old < before.size() && before[old].address < block.address) ++old;
        while (frame < frames.size() && frames[frame].address < block.address) ++frame;
        const bool is_known = old < before.size() && before[old] == block;
        const bool held_frame = frame < frames.size() && block.range().contains(frames[frame].address);
        if (!is_known || !held_frame) changed.push_back(block);
    }
    ChangedBlocks result;
    std::uint64_t bytes = 0;
    const LookedInside inside(changed, ordinary);
    for (const AddressRange& range : inside.ranges()) {
        bytes += range.size();
        result.too_many = bytes > most_changed_bytes;
        if (result.too_many) break;
        result.ranges.push_back(range);
    }
    return result;
}

}  // namespace asyncdump

#pragma once

#include <span>
#include <vector>

#include "runtimes/cpp20/frames.h"
#include "runtimes/registry/agent_registry.h"

namespace asyncdump {

/// The blocks of the agent's registry as memory in which frames are looked for. A block may hold a frame at
/// its beginning, behind a header, and others nested inside (elided allocations), so all of it is looked at.
/// Of blocks over 1 MiB, which are arenas or plain data at a place that is still being judged, only the
/// beginning is: frames further inside need a scan.
class LookedInside {
  public:
    static constexpr std::uint64_t largest_whole = 1 << 20;
    static constexpr std::uint64_t part_of_larger = 64 * 1024;

    /// `blocks` sorted by address, `ordinary` (sorted): memory that may be read; what a block claims beyond
    /// is left out.
    LookedInside(std::span<const RegisteredBlock> blocks, std::span<const AddressRange> ordinary);

    /// One a block, sorted.
    const std::vector<AddressRange>& ranges() const { return ranges_; }
    /// The same in whole pages, joined where they are neighbours, as far as they lie in `resident` (sorted):
    /// quicker to read from a process.
    std::vector<AddressRange> coarse_ranges(std::span<const AddressRange> resident) const;
    /// Those of `addresses` (sorted) that lie in ranges().
    std::vector<RemoteAddress> only_inside(std::span<const RemoteAddress> addresses) const;

  private:
    std::vector<AddressRange> ranges_;
};

struct ChangedBlocks {
    std::vector<AddressRange> ranges;  ///< what has to be copied beyond the frames that were known before
    bool too_many = false;             ///< they are not all there
};

/// What may hold frames that were not there when `before` was read: blocks that are new or other ones now,
/// and those in which no frame was found then. Both sorted; `frames` sorted by address.
ChangedBlocks changed_blocks(std::span<const RegisteredBlock> before, std::span<const RegisteredBlock> now,
                             std::span<const cpp20::Frame> frames, std::span<const AddressRange> ordinary);

}  // namespace asyncdump

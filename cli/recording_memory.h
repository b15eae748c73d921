#pragma once

#include <array>
#include <bitset>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "process/copied_memory.h"
#include "process/live_memory.h"
#include "process/page.h"

namespace asyncdump {

/// The running target's memory, with a note of everything that was read beyond what is held already. The
/// explanation is tried on it before the stop: what it read is what has to be copied while the target is
/// stopped.
class RecordingMemory final : public Memory {
  public:
    RecordingMemory(const CopiedMemory& held, const LiveMemory& live) : held_(held), live_(live) {}

    std::size_t read(RemoteAddress address, std::span<std::byte> destination) const override;
    std::span<const std::byte> view(RemoteAddress address) const override { return held_.view(address); }

    /// What was read from the live target. At most `most_ranges`; beyond that nothing is noted.
    std::vector<AddressRange> take_recorded();

    static constexpr std::size_t most_ranges = 1 << 20;

  private:
    /// Explaining many coroutines looks at the same objects again and again: system calls for each word would
    /// take most of the time. What it sees may be older than the target by then, as everything in a trial.
    struct Page {
        std::array<std::byte, page_size> bytes;
        std::bitset<page_size / 8> noted;  ///< words of which a note was taken
    };
    static constexpr std::size_t most_pages = 8192;  ///< 32 MiB

    bool read_from_page(RemoteAddress address, std::span<std::byte> destination) const;
    void note(AddressRange range) const;

    const CopiedMemory& held_;
    const LiveMemory& live_;
    mutable std::mutex mutex_;
    mutable std::vector<AddressRange> recorded_;
    mutable std::unordered_map<std::uint64_t, std::unique_ptr<Page>> pages_;
};

}  // namespace asyncdump

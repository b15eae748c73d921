#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "process/live_memory.h"
#include "process/memory.h"

namespace asyncdump {

/// Bytes copied while the target was stopped. Segments may be added in any order and may overlap; a read is
/// served across adjacent segments. Where two segments overlap either may answer: both hold the bytes of the
/// same stop. Adding is not safe beside reading.
class CopiedMemory final : public Memory {
  public:
    CopiedMemory() = default;
    CopiedMemory(CopiedMemory&&) = default;
    CopiedMemory& operator=(CopiedMemory&&) = default;

    std::size_t read(RemoteAddress address, std::span<std::byte> destination) const override;

    /// Does before the stop what a copy of these ranges needs beside the copying: sorting, room, page faults.
    /// Nothing may be held yet, and nothing else may be called before copy_prepared().
    void prepare(std::vector<AddressRange> ranges);
    /// Copies what was prepared. Returns the number of bytes copied.
    std::uint64_t copy_prepared(const LiveMemory& memory);

    void add(RemoteAddress address, std::vector<std::byte> bytes);

    /// Copies ranges from a live process: neighbours closer than a page are merged into one copy. What cannot
    /// be read is left out. Returns the number of bytes copied by this call. Bytes that are held already are
    /// not copied again. Many ranges in one call cost much less than many calls, and sorted ones are not
    /// sorted again.
    std::uint64_t copy_from(const LiveMemory& memory, std::vector<AddressRange> ranges);

    /// From then on nothing more is copied: what was asked for later, or is on its way in large calls, is
    /// left out.
    void set_deadline(std::chrono::steady_clock::time_point deadline) { deadline_ = deadline; }
    /// Bytes that were left out because of a deadline.
    std::uint64_t bytes_left_out() const { return bytes_left_out_; }

    bool covers(AddressRange range) const;
    std::uint64_t total_bytes() const { return total_bytes_; }

    /// The bytes at `address` without copying, up to the end of their segment; empty when not held.
    std::span<const std::byte> view(RemoteAddress address) const override;

  private:
    struct Segment {
        RemoteAddress address;
        std::span<const std::byte> bytes;  ///< part of one of blocks_ or added_

        RemoteAddress end() const { return address + bytes.size(); }
    };
    const Segment* find(RemoteAddress address) const;
    std::vector<AddressRange> not_held(const std::vector<AddressRange>& ranges) const;
    std::byte* allocate(std::uint64_t bytes);
    void make_requests(const std::vector<AddressRange>& ranges);
    std::size_t read_until_deadline(const LiveMemory& memory);
    std::uint64_t run_requests(const LiveMemory& memory);
    void insert(std::vector<Segment> added);

    std::vector<Segment> segments_;  ///< sorted by address, never overlapping
    std::vector<std::unique_ptr<std::byte[]>> blocks_;
    std::vector<std::vector<std::byte>> added_;
    std::span<std::byte> free_;          ///< the part of the newest block that holds nothing yet
    std::vector<CopyRequest> requests_;  ///< made, not run yet
    std::vector<Segment> found_;         ///< room for what they bring
    std::uint64_t total_bytes_ = 0;
    std::chrono::steady_clock::time_point deadline_ = std::chrono::steady_clock::time_point::max();
    std::uint64_t bytes_left_out_ = 0;
};

}  // namespace asyncdump

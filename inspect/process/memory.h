// inspect/process: what the kernel lends us of another process: its threads, registers, mappings and bytes.
// It stops and resumes, copies and parses /proc. It knows nothing of ELF, DWARF or coroutines, and it never
// writes into the target.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "base/remote_address.h"

namespace asyncdump {

/// Bytes of a target, wherever they come from: the live process, bytes copied while it was stopped, a core
/// file. Implementations are safe for concurrent reads.
class Memory {
  public:
    virtual ~Memory() = default;

    /// Copies up to `destination.size()` bytes that begin at `address`. Returns how many leading bytes were
    /// copied: less than asked where memory ends or is missing. Never throws; what lies behind the returned
    /// count is unspecified.
    virtual std::size_t read(RemoteAddress address, std::span<std::byte> destination) const = 0;

    /// The bytes that begin at `address`, where they are held one behind another in this process: at least
    /// one, or none. Valid as long as the object and what it holds.
    virtual std::span<const std::byte> view(RemoteAddress) const { return {}; }

    /// The words that lie whole in `range` and can be read, from its (aligned) beginning up to the last that
    /// can: in place, or copied to `scratch`, which has to live as long as the answer is used. Those of pages
    /// that are missing in between (pages that the target never touched are not copied) are 0.
    std::span<const std::uint64_t> read_words(AddressRange range, std::vector<std::uint64_t>& scratch) const {
        const std::size_t count = range.size() / sizeof(std::uint64_t);
        const auto held = view(range.begin);
        const bool is_aligned = reinterpret_cast<std::uintptr_t>(held.data()) % alignof(std::uint64_t) == 0;
        if (is_aligned && held.size() / sizeof(std::uint64_t) >= count)
            return {reinterpret_cast<const std::uint64_t*>(held.data()), count};
        scratch.resize(count);
        scratch.resize(read_over_holes(range.begin, std::as_writable_bytes(std::span(scratch))) /
                       sizeof(std::uint64_t));
        return scratch;
    }

    bool read_all(RemoteAddress address, std::span<std::byte> destination) const {
        return read(address, destination) == destination.size();
    }

    template <class T>
    requires std::is_trivially_copyable_v<T> std::optional<T> read_value(RemoteAddress address)
    const {
        T value;
        if (!read_all(address, std::as_writable_bytes(std::span(&value, 1)))) return std::nullopt;
        return value;
    }

    std::optional<RemoteAddress> read_pointer(RemoteAddress address) const {
        const auto value = read_value<std::uint64_t>(address);
        if (!value) return std::nullopt;
        return RemoteAddress(*value);
    }

  private:
    /// As read(), but goes on behind missing pages, of which the bytes become 0. Returns where the last byte
    /// that could be read ends.
    std::size_t read_over_holes(RemoteAddress address, std::span<std::byte> destination) const;
};

}  // namespace asyncdump

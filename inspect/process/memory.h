// inspect/process: what the kernel lends us of another process: its threads, registers, mappings and bytes.
// It stops and resumes, copies and parses /proc. It knows nothing of ELF, DWARF or coroutines, and it never
// writes into the target.
#pragma once

#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <type_traits>

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
};

}  // namespace asyncdump

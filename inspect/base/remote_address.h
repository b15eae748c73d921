// inspect/base: what every stage needs and what knows nothing of processes: errors as values, owned
// descriptors, addresses of the target as a type of their own, harmless text.
// It never touches a target and includes no other stage.
#pragma once

#include <algorithm>
#include <compare>
#include <cstdint>
#include <functional>
#include <span>

namespace asyncdump {

/// An address in the target's address space. It is never dereferenced here and does not convert to a pointer
/// or to a number by itself, so that it cannot be mixed up with an address of our own.
class RemoteAddress {
  public:
    constexpr RemoteAddress() = default;
    constexpr explicit RemoteAddress(std::uint64_t value) : value_(value) {}

    constexpr std::uint64_t value() const { return value_; }
    constexpr bool is_null() const { return value_ == 0; }

    friend constexpr auto operator<=>(RemoteAddress, RemoteAddress) = default;
    friend constexpr RemoteAddress operator+(RemoteAddress address, std::uint64_t bytes) {
        return RemoteAddress(address.value_ + bytes);
    }
    friend constexpr RemoteAddress operator-(RemoteAddress address, std::uint64_t bytes) {
        return RemoteAddress(address.value_ - bytes);
    }
    /// Distance in bytes; wraps when `to` lies below `from`.
    friend constexpr std::uint64_t operator-(RemoteAddress to, RemoteAddress from) {
        return to.value_ - from.value_;
    }

  private:
    std::uint64_t value_ = 0;
};

/// Half-open: [begin, end). Empty when begin == end; begin > end is not a valid range.
struct AddressRange {
    RemoteAddress begin;
    RemoteAddress end;

    constexpr std::uint64_t size() const { return end - begin; }
    constexpr bool contains(RemoteAddress address) const { return begin <= address && address < end; }
    friend constexpr auto operator<=>(AddressRange, AddressRange) = default;
};

/// The range that contains `address`, of ranges that are sorted and do not overlap; null when none does.
inline const AddressRange* find_range(std::span<const AddressRange> sorted, RemoteAddress address) {
    const auto after = std::ranges::upper_bound(sorted, address, {}, &AddressRange::begin);
    return after != sorted.begin() && (after - 1)->contains(address) ? &*(after - 1) : nullptr;
}

inline bool contains(std::span<const AddressRange> sorted, RemoteAddress address) {
    return find_range(sorted, address) != nullptr;
}

}  // namespace asyncdump

template <>
struct std::hash<asyncdump::RemoteAddress> {
    std::size_t operator()(asyncdump::RemoteAddress address) const noexcept {
        return std::hash<std::uint64_t>{}(address.value());
    }
};

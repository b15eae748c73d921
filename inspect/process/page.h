// The target's pages. asyncdump runs on the same kernel as its target, on x86-64: the
// size is fixed.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/remote_address.h"

namespace asyncdump {

inline constexpr std::uint64_t page_size = 4096;

constexpr RemoteAddress page_begin(RemoteAddress address) {
    return RemoteAddress(address.value() & ~(page_size - 1));
}

/// At least 1, at most page_size.
constexpr std::size_t bytes_to_page_end(RemoteAddress address) {
    return static_cast<std::size_t>(page_size - address.value() % page_size);
}

/// The end of the page that holds the last byte before `end`; the address space's end for what lies in its
/// last page.
constexpr RemoteAddress page_end(RemoteAddress end) {
    const RemoteAddress begin = page_begin(end);
    return begin == end || begin.value() > ~page_size ? end : begin + page_size;
}

}  // namespace asyncdump

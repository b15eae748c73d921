#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace asyncdump {

/// The bits of an address; programs keep marks of their own in the others (tagged pointers).
inline constexpr std::uint64_t address_bits = (1ULL << 48) - 1;
inline constexpr std::uint64_t all_bits = ~0ULL;

/// Appends the offsets (of 8-byte words) at which a word, reduced to the bits of `mask`, lies in [low, high).
/// As fast as memory can be read, where the processor has AVX2: nearly all words of a process are none of
/// those that are looked for. `low` and `high` are below 2^63 (user space is).
void find_words_in_range(std::span<const std::uint64_t> words, std::uint64_t low, std::uint64_t high,
                         std::uint64_t mask, std::vector<std::uint32_t>& offsets);

}  // namespace asyncdump

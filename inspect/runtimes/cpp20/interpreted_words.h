// Words of 1 to 8 bytes as a processor has them.
#pragma once

#include <cstdint>

namespace asyncdump::cpp20 {

inline std::uint64_t mask_of(unsigned bytes) {
    return bytes >= 8 ? ~0ULL : (1ULL << (bytes * 8)) - 1;
}

inline std::uint64_t sign_bit_of(unsigned bytes) {
    return 1ULL << (bytes * 8 - 1);
}

inline std::uint64_t sign_extended(std::uint64_t bits, unsigned bytes) {
    if (bytes >= 8) return bits;
    bits &= mask_of(bytes);
    return (bits & sign_bit_of(bytes)) != 0 ? bits | ~mask_of(bytes) : bits;
}

}  // namespace asyncdump::cpp20

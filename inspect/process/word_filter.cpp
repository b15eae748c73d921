#include "process/word_filter.h"

#include <immintrin.h>

namespace asyncdump {
namespace {

void find_words_scalar(std::span<const std::uint64_t> words, std::size_t first, std::uint64_t low,
                       std::uint64_t high, std::uint64_t mask, std::vector<std::uint32_t>& offsets) {
    for (std::size_t i = first; i < words.size(); ++i) {
        if ((words[i] & mask) - low < high - low) offsets.push_back(static_cast<std::uint32_t>(i));
    }
}

/// Signed comparison serves: a word with the top bit set is below `low`, as both bounds are positive.
__attribute__((target("avx2"))) void find_words_avx2(std::span<const std::uint64_t> words, std::uint64_t low,
                                                     std::uint64_t high, std::uint64_t mask,
                                                     std::vector<std::uint32_t>& offsets) {
    const __m256i below = _mm256_set1_epi64x(static_cast<long long>(low) - 1);
    const __m256i above = _mm256_set1_epi64x(static_cast<long long>(high));
    const __m256i bits = _mm256_set1_epi64x(static_cast<long long>(mask));
    const auto in_range = [&](std::size_t index) __attribute__((target("avx2"))) {
        const __m256i four = _mm256_and_si256(
            bits, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(words.data() + index)));
        return _mm256_and_si256(_mm256_cmpgt_epi64(four, below), _mm256_cmpgt_epi64(above, four));
    };
    std::size_t i = 0;
    for (; i + 16 <= words.size(); i += 16) {
        const __m256i a = in_range(i), b = in_range(i + 4), c = in_range(i + 8), d = in_range(i + 12);
        const __m256i any = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));
        if (_mm256_testz_si256(any, any)) continue;
        find_words_scalar(words.first(i + 16), i, low, high, mask, offsets);
    }
    find_words_scalar(words, i, low, high, mask, offsets);
}

}  // namespace

void find_words_in_range(std::span<const std::uint64_t> words, std::uint64_t low, std::uint64_t high,
                         std::uint64_t mask, std::vector<std::uint32_t>& offsets) {
    static const bool has_avx2 = __builtin_cpu_supports("avx2");
    if (has_avx2) {
        find_words_avx2(words, low, high, mask, offsets);
    } else {
        find_words_scalar(words, 0, low, high, mask, offsets);
    }
}

}  // namespace asyncdump

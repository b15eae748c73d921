#include "process/word_filter.h"

#include <catch2/catch.hpp>
#include <random>

using namespace asyncdump;

namespace {

using Offsets = std::vector<std::uint32_t>;

Offsets naive_find(std::span<const std::uint64_t> words, std::uint64_t low, std::uint64_t high,
                   std::uint64_t mask) {
    Offsets offsets;
    for (std::uint32_t i = 0; i < words.size(); ++i) {
        const std::uint64_t word = words[i] & mask;
        if (word >= low && word < high) offsets.push_back(i);
    }
    return offsets;
}

Offsets find(std::span<const std::uint64_t> words, std::uint64_t low, std::uint64_t high,
             std::uint64_t mask = all_bits) {
    Offsets offsets;
    find_words_in_range(words, low, high, mask, offsets);
    return offsets;
}

}  // namespace

TEST_CASE("words in a range are found as a naive loop finds them", "[word_filter]") {
    std::mt19937_64 random(11);
    const std::uint64_t low = 0x5555'5555'4000, high = 0x5555'5556'0000;
    const std::uint64_t interesting[] = {0,
                                         1,
                                         low - 1,
                                         low,
                                         low + 1,
                                         high - 1,
                                         high,
                                         high + 1,
                                         low | 1ULL << 63,
                                         (high - 1) | 1ULL << 63,
                                         ~0ULL,
                                         1ULL << 63,
                                         0x7FFF'FFFF'FFFF'FFFF};
    std::vector<std::uint64_t> words(80);
    for (int round = 0; round < 40; ++round) {
        const std::uint64_t density = 1 + random() % 30;
        for (std::uint64_t& word : words) {
            word = random() % density == 0 ? interesting[random() % std::size(interesting)] : random();
        }
        for (std::size_t begin = 0; begin < 9; ++begin) {
            for (std::size_t length = 0; begin + length <= words.size(); ++length) {
                const auto part = std::span<const std::uint64_t>(words).subspan(begin, length);
                REQUIRE(find(part, low, high) == naive_find(part, low, high, all_bits));
                REQUIRE(find(part, low, high, address_bits) == naive_find(part, low, high, address_bits));
            }
        }
    }
}

TEST_CASE("borders of the range, one place after the other", "[word_filter]") {
    const std::uint64_t low = 0x1000, high = 0x2000;
    for (std::size_t length : {1, 4, 15, 16, 17, 31, 32, 48, 67}) {
        for (std::size_t place = 0; place < length; ++place) {
            std::vector<std::uint64_t> words(length, high);
            for (const std::uint64_t word : {low, high - 1}) {
                words[place] = word;
                REQUIRE(find(words, low, high) == Offsets{static_cast<std::uint32_t>(place)});
            }
            for (const std::uint64_t word : {low - 1, high, low | std::uint64_t{1} << 63}) {
                words[place] = word;
                REQUIRE(find(words, low, high).empty());
            }
        }
    }
    // A range that begins at zero, and an empty one.
    CHECK(find(std::vector<std::uint64_t>(20, 0), 0, 1).size() == 20);
    CHECK(find(std::vector<std::uint64_t>(20, ~0ULL), 0, 1).empty());
    CHECK(find(std::vector<std::uint64_t>(20, low), low, low).empty());
    // What was found before stays.
    Offsets offsets{7};
    find_words_in_range(std::vector<std::uint64_t>(1, low), low, high, all_bits, offsets);
    CHECK(offsets == Offsets{7, 0});
}

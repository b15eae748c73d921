#include "runtimes/cpp20/frame_index.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>

using namespace asyncdump;
using cpp20::FrameIndex;

namespace {

AddressRange range(std::uint64_t begin, std::uint64_t size) {
    return {RemoteAddress(begin), RemoteAddress(begin + size)};
}

/// The last range that begins at or before the address and contains it: of nested ones the innermost.
std::uint32_t naive_find(const std::vector<AddressRange>& frames, std::uint64_t address) {
    std::uint32_t found = FrameIndex::none;
    for (std::uint32_t i = 0; i < frames.size(); ++i) {
        if (frames[i].contains(RemoteAddress(address))) found = i;
    }
    return found;
}

}  // namespace

TEST_CASE("an index of no frames finds nothing", "[frame_index]") {
    const FrameIndex index({});
    CHECK(index.find(0) == FrameIndex::none);
    CHECK(index.find(0x1000) == FrameIndex::none);
    CHECK(index.find(~std::uint64_t{0}) == FrameIndex::none);
}

TEST_CASE("a frame's first byte belongs to it and its end does not", "[frame_index]") {
    const std::vector<AddressRange> frames{range(0x10010, 0x40), range(0x10050, 0x20), range(0x10100, 8)};
    const FrameIndex index(frames);
    CHECK(index.find(0x1000F) == FrameIndex::none);
    CHECK(index.find(0x10010) == 0);
    CHECK(index.find(0x1004F) == 0);
    CHECK(index.find(0x10050) == 1);
    CHECK(index.find(0x1006F) == 1);
    CHECK(index.find(0x10070) == FrameIndex::none);
    CHECK(index.find(0x100FF) == FrameIndex::none);
    CHECK(index.find(0x10100) == 2);
    CHECK(index.find(0x10107) == 2);
    CHECK(index.find(0x10108) == FrameIndex::none);
    CHECK(index.find(0) == FrameIndex::none);
    CHECK(index.find(~std::uint64_t{0}) == FrameIndex::none);
}

TEST_CASE("of nested frames the innermost answers", "[frame_index]") {
    // One of several pages holds one that holds another; beside it stands one of its own.
    const std::vector<AddressRange> frames{range(0x20000, 0x5000), range(0x21000, 0x1800),
                                           range(0x21800, 0x100), range(0x24FF0, 0x10), range(0x25000, 0x40)};
    const FrameIndex index(frames);
    CHECK(index.find(0x20FFF) == 0);
    CHECK(index.find(0x21000) == 1);
    CHECK(index.find(0x217FF) == 1);
    CHECK(index.find(0x21800) == 2);
    CHECK(index.find(0x218FF) == 2);
    CHECK(index.find(0x21900) == 1);
    CHECK(index.find(0x22800) == 0);
    CHECK(index.find(0x24FEF) == 0);
    CHECK(index.find(0x24FF0) == 3);
    CHECK(index.find(0x25000) == 4);
}

TEST_CASE("frames far from each other", "[frame_index]") {
    const std::vector<AddressRange> frames{range(0x1000, 0x80), range(0x5555'0000'0010, 0x80),
                                           range(0x5555'0010'0080, 0x80), range(0x5555'0040'0000, 0x80),
                                           range(0x7FFF'FFFF'EFF0, 0x1000)};
    const FrameIndex index(frames);
    for (std::uint32_t i = 0; i < frames.size(); ++i) {
        const std::uint64_t begin = frames[i].begin.value(), end = frames[i].end.value();
        CHECK(index.find(begin) == i);
        CHECK(index.find(end - 1) == i);
        CHECK(index.find(begin - 1) == FrameIndex::none);
        CHECK(index.find(end) == FrameIndex::none);
        CHECK(index.find(end + 0x8000) == FrameIndex::none);
    }
}

TEST_CASE("the index answers as a naive search does", "[frame_index]") {
    std::mt19937_64 random(3);
    for (int round = 0; round < 60; ++round) {
        std::vector<AddressRange> frames;
        std::uint64_t at = 0x5555'5555'0000 + random() % 4096;
        for (int i = 0; i < 80; ++i) {
            const std::uint64_t kind = random() % 100;
            // Mostly neighbours; sometimes a hole of up to 3 MiB, sometimes one far away.
            at += kind < 80 ? random() % 200 : kind < 97 ? random() % (3 << 20) : random() % (1ULL << 40);
            const std::uint64_t size = 16 + (kind % 7 == 0 ? random() % 20'000 : random() % 400);
            frames.push_back(range(at, size));
            for (std::uint64_t inside = at + random() % 64; random() % 3 == 0 && inside + 32 <= at + size;
                 inside += 40) {
                frames.push_back(range(inside, 16 + random() % 16));
            }
            at += size;
        }
        std::ranges::sort(frames);
        const FrameIndex index(frames);
        for (const AddressRange& frame : frames) {
            for (const std::uint64_t around : {frame.begin.value(), frame.end.value()}) {
                for (const std::uint64_t address :
                     {around - 4096, around - 1, around, around + 1, around + 4096}) {
                    REQUIRE(index.find(address) == naive_find(frames, address));
                }
            }
            const std::uint64_t anywhere = frame.begin.value() + random() % (1 << 21);
            REQUIRE(index.find(anywhere) == naive_find(frames, anywhere));
        }
    }
}

TEST_CASE("the sieve lets every pointer to a frame through, and nothing far away", "[frame_index]") {
    constexpr std::uint64_t far = std::uint64_t{1} << 33;
    const std::uint64_t count = GENERATE(1, 2, 4, 5, 9);
    std::vector<AddressRange> frames;
    for (std::uint64_t i = 1; i <= count; ++i) frames.push_back(range(i * far, 0x40));
    const FrameIndex index(frames);
    std::vector<std::uint64_t> words;
    for (const AddressRange& frame : frames) words.push_back(frame.begin.value() + 0x38);
    words.push_back(far - 8);
    words.push_back((count + 1) * far);
    words.push_back(far | std::uint64_t{0xFF} << 56);
    std::vector<std::uint32_t> offsets;
    index.sieve(words, ~std::uint64_t{0}, offsets);
    std::ranges::sort(offsets);
    REQUIRE(offsets.size() == count);
    CHECK(offsets.front() == 0);
    CHECK(offsets.back() == count - 1);
    offsets.clear();
    index.sieve(words, (std::uint64_t{1} << 48) - 1, offsets);
    CHECK(offsets.size() == count + 1);

    offsets.clear();
    FrameIndex({}).sieve(words, ~std::uint64_t{0}, offsets);
    CHECK(offsets.empty());
}

#include "runtimes/cpp20/holds.h"

#include <catch2/catch.hpp>
#include <map>

using namespace asyncdump;
using namespace asyncdump::cpp20;

namespace {

constexpr std::uint64_t data = 0x10000, frame_address = 0x20000;
constexpr std::uint32_t frame_bytes = 0x60;

/// A page of words that are zero where nothing is said.
class Pages final : public Memory {
  public:
    std::map<std::uint64_t, std::uint64_t> words;

    std::size_t read(RemoteAddress address, std::span<std::byte> destination) const override {
        const std::uint64_t page = address.value() & ~0xFFFULL;
        if (page != data && page != frame_address) return 0;
        const std::size_t count =
            std::min<std::size_t>(destination.size(), 0x1000 - (address.value() & 0xFFF));
        std::fill_n(destination.begin(), count, std::byte{0});
        for (const auto& [place, word] : words) {
            if (place >= address.value() && place + 8 <= address.value() + count)
                std::memcpy(destination.data() + (place - address.value()), &word, 8);
        }
        return count;
    }
};

struct Search {
    Pages memory;
    std::vector<std::uint64_t> registers;
    bool rested = true;
    Frame frame;

    Search() {
        frame.address = RemoteAddress(frame_address);
        frame.extent = frame_bytes;
        frame.owns_block = true;
    }

    Hold hold() const {
        const MemoryMap map =
            MemoryMap::parse("10000-11000 rw-p 00000000 00:00 0\n20000-21000 rw-p 00000000 00:00 0\n");
        const std::vector<AddressRange> ranges = {
            {RemoteAddress(data), RemoteAddress(data + 0x1000)},
            {RemoteAddress(frame_address), RemoteAddress(frame_address + 0x1000)}};
        const std::vector<Frame> frames = {frame};
        const std::vector<AddressRange> extents = {frame.range()};
        const FrameIndex index(extents);
        const Holds holds =
            find_holds({memory, map, ranges, registers, [this] { return rested; }}, frames, index, 2);
        REQUIRE(holds.of_frames.size() == 1);
        return holds.of_frames[0];
    }
};

}  // namespace

TEST_CASE("a frame to which no word leads") {
    Search search;
    CHECK(search.hold() == Hold::none);
    SECTION("its own words do not count") {
        search.memory.words[frame_address + 0x20] = frame_address;
        search.memory.words[frame_address + frame_bytes - 8] = frame_address + 0x18;
        CHECK(search.hold() == Hold::none);
    }
    SECTION("while threads run a word may have moved about") {
        search.rested = false;
        CHECK(search.hold() == Hold::unknown);
    }
    SECTION("nor does one beside it") {
        search.memory.words[data + 8] = frame_address - 1;
        search.memory.words[data + 16] = frame_address + frame_bytes;
        CHECK(search.hold() == Hold::none);
    }
}

TEST_CASE("a handle holds it, and a pointer to the inside says more") {
    Search search;
    search.memory.words[data + 8] = frame_address;
    CHECK(search.hold() == Hold::handle);
    SECTION("also while threads run") {
        search.rested = false;
        CHECK(search.hold() == Hold::handle);
    }
    SECTION("with a mark in the upper bits") {
        search.memory.words[data + 8] = frame_address | 0x8001'0000'0000'0000;
        CHECK(search.hold() == Hold::handle);
    }
    SECTION("an inner one") {
        search.memory.words[data + 0xff8] = frame_address + 0x18;
        CHECK(search.hold() == Hold::inside);
    }
    SECTION("one of very many") {
        for (std::uint64_t i = 0; i < 100; ++i) search.memory.words[data + i * 8] = frame_address;
        CHECK(search.hold() == Hold::handle);
        search.memory.words[data + 100 * 8] = frame_address + 1;
        CHECK(search.hold() == Hold::inside);
    }
}

TEST_CASE("a register, or what the kernel keeps, holds it") {
    Search search;
    search.registers = {1, frame_address};
    CHECK(search.hold() == Hold::handle);
    search.registers = {frame_address + 0x30};
    CHECK(search.hold() == Hold::inside);
}

TEST_CASE("only a frame that is certainly alive is judged") {
    Search search;
    SECTION("not the owner of its block") {
        search.frame.owns_block = false;
        CHECK(search.hold() == Hold::unknown);
    }
    SECTION("inside another frame, where dead ones may stand") {
        search.frame.owns_block = false;
        search.frame.elided = true;
        CHECK(search.hold() == Hold::none);
    }
}

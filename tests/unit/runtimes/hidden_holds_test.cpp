#include "runtimes/cpp20/hidden_holds.h"

#include <catch2/catch.hpp>
#include <cstring>

using namespace asyncdump;
using namespace asyncdump::cpp20;

namespace {

constexpr std::uint64_t begin = 0x10000;
constexpr std::uint64_t frame = 0x7f0000001000;

class Bytes final : public Memory {
  public:
    std::vector<std::byte> bytes = std::vector<std::byte>(1 << 20);

    void put(std::size_t offset, std::uint64_t word) { std::memcpy(bytes.data() + offset, &word, 8); }

    std::size_t read(RemoteAddress address, std::span<std::byte> destination) const override {
        const std::uint64_t offset = address.value() - begin;
        if (offset >= bytes.size()) return 0;
        const std::size_t count = std::min<std::size_t>(destination.size(), bytes.size() - offset);
        std::memcpy(destination.data(), bytes.data() + offset, count);
        return count;
    }
};

bool is_held(const Bytes& memory, bool whole_words_too, AddressRange frame_range) {
    const std::vector<AddressRange> ranges = {
        {RemoteAddress(begin), RemoteAddress(begin + memory.bytes.size())}};
    return find_hidden_holds({memory, ranges, whole_words_too}, std::span(&frame_range, 1), 2).front();
}

const AddressRange elsewhere{RemoteAddress(frame), RemoteAddress(frame + 0x60)};

}  // namespace

TEST_CASE("an address between words holds a frame", "[hidden_holds]") {
    // Also over the end of a block that is read in one piece.
    for (const std::size_t offset : {0x101U, 0x104U, 0x107U, 0x3FFFDU, 0x40003U}) {
        Bytes memory;
        CHECK_FALSE(is_held(memory, false, elsewhere));
        memory.put(offset, frame + 0x10);
        INFO(offset);
        CHECK(is_held(memory, false, elsewhere));
    }
}

TEST_CASE("whole words count where nobody has looked at them", "[hidden_holds]") {
    Bytes memory;
    memory.put(0x200, frame);
    CHECK_FALSE(is_held(memory, false, elsewhere));
    CHECK(is_held(memory, true, elsewhere));
    memory.put(0x200, frame + 0x60);
    CHECK_FALSE(is_held(memory, true, elsewhere));
}

TEST_CASE("a frame does not hold itself", "[hidden_holds]") {
    Bytes memory;
    memory.put(0x503, begin + 0x500);
    CHECK_FALSE(is_held(memory, false, {RemoteAddress(begin + 0x500), RemoteAddress(begin + 0x560)}));
    CHECK(is_held(memory, false, {RemoteAddress(begin + 0x4C0), RemoteAddress(begin + 0x501)}));
}

#include "values/location.h"

#include <catch2/catch.hpp>

#include "sample_objects.h"
#include "values/function_variables.h"
#include "values/pieced_memory.h"

using namespace asyncdump;

TEST_CASE("memory with an object in pieces answers for the object and for memory", "[values]") {
    class Ones final : public Memory {
      public:
        std::size_t read(RemoteAddress, std::span<std::byte> destination) const override {
            std::ranges::fill(destination, std::byte{1});
            return destination.size();
        }
    };
    const Ones ones;
    PiecedMemory memory(ones);
    const std::array<std::byte, 4> bytes{std::byte{7}, std::byte{8}, std::byte{9}, std::byte{10}};
    memory.add(bytes);
    memory.add_unknown(4);
    memory.add(bytes);
    REQUIRE(memory.size() == 12);
    CHECK(memory.read_value<std::uint8_t>(PiecedMemory::object + 3) == 10);
    CHECK(memory.read_value<std::uint8_t>(PiecedMemory::object + 8) == 7);
    std::array<std::byte, 8> destination{};
    CHECK(memory.read(PiecedMemory::object + 2, destination) == 2);
    CHECK(memory.read(PiecedMemory::object + 4, destination) == 0);
    CHECK(memory.read(PiecedMemory::object + 12, destination) == 0);
    CHECK(memory.read(PiecedMemory::object + (PiecedMemory::largest_object - 1), destination) == 0);
    CHECK(memory.read_value<std::uint8_t>(RemoteAddress(4096)) == 1);
}

TEST_CASE("a variable without a place has no location", "[values]") {
    const test::OwnProcess process;
    Dwarf_Die nothing{};
    const LocationContext context{process.memory(), 0, 0, {}, {}, std::nullopt, std::nullopt};
    CHECK(locate(nothing, context).empty());
    CHECK_FALSE(has_location(nothing, 0));
}

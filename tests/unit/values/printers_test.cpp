#include <catch2/catch.hpp>

#include "sample_objects.h"
#include "values/located_value.h"
#include "values/pieced_memory.h"

using namespace asyncdump;
using namespace asyncdump::test;

TEST_CASE("objects are written as a person expects them", "[values]") {
    OwnProcess process;
    std::size_t count = 0;
    with_sample_objects([&](const std::string& name, RemoteAddress object, const std::string& expected) {
        const std::string text = print_value(process.memory(), {&process.type_of(name), object});
        INFO(name << " is written as " << text << ", not as " << expected);
        CHECK(is_like(text, expected));
        ++count;
    });
    CHECK(count > 60);
}

TEST_CASE("a handle is named by the coroutine that it leads to", "[values]") {
    OwnProcess process;
    ValueNames names;
    names.coroutine = [](RemoteAddress) { return std::string("count(int)"); };
    with_sample_objects([&](const std::string& name, RemoteAddress object, const std::string&) {
        if (name != "noop") return;
        CHECK(is_like(print_value(process.memory(), {&process.type_of(name), object}, names),
                      "count(int) 0x{}"));
    });
}

TEST_CASE("an object may lie in pieces, and parts of it nowhere", "[values]") {
    OwnProcess process;
    with_sample_objects([&](const std::string& name, RemoteAddress object, const std::string&) {
        if (name != "string") return;
        const ValueType& type = process.type_of(name);
        using Kind = LocationPiece::Kind;
        const std::uint64_t length = 4;
        const auto bytes = std::as_bytes(std::span(&length, 1));
        // Pointer in memory, length in a register, the rest unknown.
        std::vector<LocationPiece> pieces{{Kind::memory, object, {}, 8},
                                          {Kind::value, {}, {bytes.begin(), bytes.end()}, 8},
                                          {Kind::unknown, {}, {}, 16}};
        CHECK(print_located(process.memory(), type, pieces) == "\"a st\"");
        pieces[1].kind = Kind::unknown;
        CHECK(print_located(process.memory(), type, pieces) == "<optimized out>");
        CHECK(print_located(process.memory(), type, {}) == "<optimized out>");
    });
}

#include "options.h"

#include <catch2/catch.hpp>

using asyncdump::agent::parse_options;

TEST_CASE("Options have defaults") {
    for (const char* text : {static_cast<const char*>(nullptr), "", ",,"}) {
        const auto options = parse_options(text);
        CHECK(options.stack_depth == 8);
        CHECK_FALSE(options.malloc);
        CHECK_FALSE(options.children);
    }
}

TEST_CASE("Options are read") {
    const auto options = parse_options("stack=32,malloc=1,children=1");
    CHECK(options.stack_depth == 32);
    CHECK(options.malloc);
    CHECK(options.children);
    CHECK(parse_options("stack=0").stack_depth == 0);
}

TEST_CASE("What is wrong keeps its default and spoils nothing else") {
    for (const char* wrong :
         {"stack=33", "stack=", "stack", "stack=-1", "stack=8x", "stack=4294967297", "Stack=3"}) {
        const auto options = parse_options((std::string(wrong) + ",malloc=1").c_str());
        CHECK(options.stack_depth == 8);
        CHECK(options.malloc);
    }
    CHECK_FALSE(parse_options("malloc=2").malloc);
}

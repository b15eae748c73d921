#include "options.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <string>

using asyncdump::agent::parse_options;

namespace {

/// What is said on standard error, which is a file meanwhile.
std::string told_about(const char* text) {
    std::FILE* const file = std::tmpfile();
    REQUIRE(file != nullptr);
    const int standard_error = ::dup(STDERR_FILENO);
    ::dup2(::fileno(file), STDERR_FILENO);
    parse_options(text);
    ::dup2(standard_error, STDERR_FILENO);
    ::close(standard_error);
    std::string told(4096, 0);
    const ssize_t length = ::pread(::fileno(file), told.data(), told.size(), 0);
    told.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
    std::fclose(file);
    return told;
}

}  // namespace

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

TEST_CASE("Each mistake is told once") {
    CHECK(told_about("stack=3,malloc=1,,stack=4").empty());
    const auto line = [](const std::string& wrong) {
        return "asyncdump: ASYNCDUMP_AGENT: ignoring \"" + wrong +
               "\"; known are stack=0..32, malloc=0|1, children=0|1\n";
    };
    CHECK(told_about("stack=99,malloc=1,frob,stack=99,malloc=x,frob,stack=9") ==
          line("stack=99") + line("frob") + line("malloc=x"));
    CHECK(told_about("stac,stack,stack=,stac") == line("stac") + line("stack") + line("stack="));
}

#include "cli/configuration.h"

#include <catch2/catch.hpp>

using namespace asyncdump;

TEST_CASE("a configuration is read") {
    const auto knowledge = parse_configuration(
        "[functions]\n"
        "internal = ['lib::detail::*', 'lib::run']\n"
        "[promise]\n"
        "continuation = ['lib::Promise<*>::owner']\n"
        "[[wait]]\n"
        "type = 'lib::Gate*'\n"
        "kind = 'lock'\n"
        "summary = 'a gate'\n"
        "[[wait]]\n"
        "type = '*'\n",
        "file");
    REQUIRE(knowledge);
    CHECK(knowledge->is_internal("lib::Job lib::detail::helper<int>(std::vector<int> const&)"));
    CHECK(knowledge->is_internal("lib::run(int)"));
    CHECK_FALSE(knowledge->is_internal("lib::run_all(int)"));
    CHECK(knowledge->is_continuation("lib::Promise<int>::owner"));
    CHECK_FALSE(knowledge->is_continuation("lib::Promise<int>::other"));
    REQUIRE(knowledge->wait_of("lib::Gate::Awaiter") != nullptr);
    CHECK(knowledge->wait_of("lib::Gate::Awaiter")->kind == WaitKind::lock);
    CHECK(knowledge->wait_of("lib::Gate::Awaiter")->summary == "a gate");
    CHECK_FALSE(knowledge->wait_of("else")->kind);
    CHECK(parse_configuration("", "file"));
}

TEST_CASE("mistakes in a configuration are told with their line") {
    const auto message = [](const char* text) {
        const auto knowledge = parse_configuration(text, "file");
        return knowledge ? "" : knowledge.error().message;
    };
    CHECK_THAT(message("[functions\n"), Catch::StartsWith("file:1: "));
    CHECK_THAT(message("\n[other]\n"), Catch::StartsWith("file:2: 'other' is unknown"));
    CHECK_THAT(message("[functions]\nall = []\n"), Catch::StartsWith("file:2: 'all' is unknown"));
    CHECK_THAT(message("[promise]\ncontinuation = [1]\n"), Catch::StartsWith("file:2: "));
    CHECK_THAT(message("wait = 3\n"), Catch::StartsWith("file:1: waits are written"));
    CHECK_THAT(message("[[wait]]\nkind = 'lock'\n"), Catch::Contains("needs the type"));
    CHECK_THAT(message("[[wait]]\ntype = 'a'\nkind = 'b'\n"), Catch::StartsWith("file:3: kind 'b'"));
}

TEST_CASE("the qualified name inside a readable one") {
    using cpp20::qualified_function_name;
    CHECK(qualified_function_name("main") == "main");
    CHECK(qualified_function_name("a::f(int, b::c)") == "a::f");
    CHECK(qualified_function_name("Task<std::pair<int, int> > a::f<int (*)(int)>(int)") ==
          "a::f<int (*)(int)>");
    CHECK(qualified_function_name("(anonymous namespace)::f(int)") == "(anonymous namespace)::f");
    CHECK(qualified_function_name("a::B::operator()(int) const") == "a::B::operator()");
}

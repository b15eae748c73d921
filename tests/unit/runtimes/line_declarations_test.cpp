#include <catch2/catch.hpp>

#include "runtimes/cpp20/line_declarations.h"

using namespace asyncdump::cpp20;

namespace {

/// `line` has a `@` where the statement begins; it is taken out.
bool is_visible(std::string line, std::string_view name, std::uint32_t column = 0) {
    const std::size_t at = line.find('@');
    REQUIRE(at != std::string::npos);
    line.erase(at, 1);
    return is_visible_at_statement(declared_names(line, static_cast<std::uint32_t>(at + 1)), name, column);
}

}  // namespace

TEST_CASE("what a line declares before a statement is visible there, what the statement declares is not") {
    const std::string line = "auto g = co_await x.lock(); co_await yield(); @auto h = co_await y.lock();";
    CHECK(is_visible(line, "g"));
    CHECK(is_visible(line, "g", 6));
    CHECK_FALSE(is_visible(line, "g", 7));
    CHECK_FALSE(is_visible(line, "h"));
    CHECK_FALSE(is_visible(line, "x"));
    CHECK_FALSE(is_visible("@auto g = co_await x.lock();", "g"));
    CHECK_FALSE(is_visible("@co_await x.lock(); auto g = 1;", "g"));
}

TEST_CASE("declarations of many shapes are seen") {
    CHECK(is_visible("std::lock_guard<std::mutex> g(m); @co_await a;", "g"));
    CHECK(is_visible("std::lock_guard g{m}; @co_await a;", "g"));
    CHECK(is_visible("Guard g; @co_await a;", "g"));
    CHECK(is_visible("const auto& g = f(); @co_await a;", "g"));
    CHECK(is_visible("auto&& g = f(); @co_await a;", "g"));
    CHECK(is_visible("int a = 1, *g = &a; @co_await a;", "g"));
    CHECK(is_visible("int g[3]; @co_await a;", "g"));
    CHECK(is_visible("decltype(a) g = b; @co_await a;", "g"));
    CHECK(is_visible("auto [f, g] = pair(); @co_await a;", "g"));
    CHECK(is_visible("Job<> run(A& a) { auto g = a.guard(); @co_await a; }", "g"));
}

TEST_CASE("what was declared in a block that has ended is not visible") {
    CHECK_FALSE(is_visible("{ auto g = co_await x.lock(); } @auto h = co_await y.lock();", "g"));
    CHECK_FALSE(is_visible("{ auto g = co_await x.lock(); } @auto h = co_await y.lock();", "g", 8));
    CHECK_FALSE(is_visible("if (c) { { auto g = f(); } @co_await y; }", "g"));
    CHECK(is_visible("auto g = f(); { h(); } if (c) { @co_await y; }", "g"));
    CHECK_FALSE(is_visible("for (auto g : gs) { f(g); } @co_await y;", "g"));
    CHECK_FALSE(is_visible("for (auto g : gs) f(g); @co_await y;", "g"));
    CHECK(is_visible("for (auto g : gs) { @co_await y; }", "g"));
    CHECK(is_visible("if (auto g = f(); g.ok()) { h(); @co_await y; }", "g"));
    CHECK_FALSE(is_visible("if (auto g = f()) { h(); } else { @co_await y; }", "g"));
}

TEST_CASE("what a head declares lives in the one statement behind it, and behind its semicolons") {
    CHECK(is_visible("for (int g = 0; g < n; ++g) @co_await y;", "g"));
    CHECK(is_visible("for (int g = 0; @co_await y(g); ++g) f();", "g"));
    CHECK_FALSE(is_visible("@for (int g = co_await y; g < n; ++g) f();", "g"));
    CHECK(is_visible("while (auto g = f()) if (g.ok()) @co_await y;", "g"));
    CHECK(is_visible("if (auto g = f(); g.ok()) h(); else @co_await y;", "g"));
    CHECK(is_visible("for (auto g : gs) for (int i : g) { f(i); @co_await y; }", "g"));
    CHECK_FALSE(is_visible("for (auto g : gs) for (int i : g) { f(i); } h(); @co_await y;", "g"));
    CHECK_FALSE(is_visible("for (auto g : gs) if (g) { f(g); } co_await x; @co_await y;", "g"));
    CHECK(is_visible("if (c) { h(); } for (auto g : gs) @co_await y;", "g"));
}

TEST_CASE("of two declarations of one name the column tells which is meant") {
    const std::string twice = "{ auto g = f(); } { auto g = h(); @co_await y; }";
    CHECK_FALSE(is_visible(twice, "g"));
    CHECK_FALSE(is_visible(twice, "g", 8));
    CHECK(is_visible(twice, "g", 26));
    const std::string shadowed = "auto g = f(); { @auto g = co_await y; }";
    CHECK_FALSE(is_visible(shadowed, "g"));
    CHECK(is_visible(shadowed, "g", 6));
    CHECK_FALSE(is_visible(shadowed, "g", 22));
}

TEST_CASE("uses, parameters and members of a name are no declarations") {
    CHECK(is_visible("auto g = f(); h(g), k(a, g); (void)g; @co_await y(g);", "g"));
    CHECK(is_visible("auto g = f(); @co_await y; return g;", "g"));
    CHECK(is_visible("auto g = f(); @co_await y; x.g = g.x;", "g"));
    CHECK(is_visible("run([](auto g) { return g; }); auto g = f(); @co_await y;", "g"));
    CHECK_FALSE(is_visible("g.unlock(); @co_await y;", "g"));
}

TEST_CASE("what stands in comments and literals is no declaration") {
    CHECK_FALSE(is_visible("f(\"auto g = 1;\"); /* auto g = 1; */ @co_await y;", "g"));
    CHECK(is_visible("auto g = f(); @co_await y;  // auto g = 1;", "g"));
}

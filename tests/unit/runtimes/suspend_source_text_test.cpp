#include <catch2/catch.hpp>
#include <random>

#include "runtimes/cpp20/source_text.h"

using namespace asyncdump::cpp20;

namespace {

SourceText parse(std::string text) {
    auto parsed = SourceText::parse(std::move(text));
    REQUIRE(parsed);
    return std::move(*parsed);
}

std::vector<std::uint32_t> keyword_lines(const SourceText& text) {
    std::vector<std::uint32_t> lines;
    for (const AwaitExpression& await : text.awaits()) lines.push_back(await.keyword.line);
    return lines;
}

}  // namespace

TEST_CASE("comments, literals, directives and operator co_await are no awaits") {
    const SourceText text = parse(
        "// co_await a\n"
        "/* co_await\n co_await */ co_await b;\n"
        "f(\"co_await\", 'x', R\"x(co_await )\" )x\");\n"
        "#define A co_await c \\\n co_await d\n"
        "T operator co_await(X);\n"
        "int co_await_count = 1'000; co_yield e;\n");
    CHECK(keyword_lines(text) == std::vector<std::uint32_t>{3, 8});
    CHECK(text.awaits()[1].is_yield);
}

TEST_CASE("an operand's position belongs to the innermost await around it") {
    const SourceText text = parse(
        "void f() {\n"
        "    work(co_await outer(1,\n"
        "                        co_await inner(2),\n"
        "                        3) + other(4));\n"
        "}\n");
    const auto line_of = [&](std::uint32_t line, std::uint32_t column) {
        const AwaitExpression* found = text.covering({line, column});
        return found == nullptr ? 0 : found->keyword.line;
    };
    CHECK(line_of(2, 19) == 2);  // outer
    CHECK(line_of(3, 34) == 3);  // inner
    CHECK(line_of(4, 26) == 2);  // the outer call's closing parenthesis
    CHECK(line_of(4, 30) == 0);  // other: not awaited
    CHECK(line_of(2, 5) == 0);   // work
}

TEST_CASE("operands: templates, braces, members, casts, lambdas, nested awaits") {
    const SourceText text = parse(
        "co_await ns::Type<int, 4>{1,\n 2}.then<X>(3)[4]->go(\n)  + 1;\n"
        "co_await [&] { return 1; }(\n);\n"
        "co_await co_await twice(\n);\n"
        "if (a < co_await b) c > (d);\n"
        "co_yield {1,\n 2};\n");
    CHECK(text.awaits()[0].operand_end == TextPosition{3, 1});
    CHECK(text.awaits()[1].operand_end.line == 5);
    CHECK(text.covering({7, 1}) == &text.awaits()[3]);
    CHECK(text.awaits()[4].operand_end.line == 8);
    CHECK(text.awaits()[5].operand_end.line == 10);
}

TEST_CASE("the only await of a statement, and lines that hold whole statements") {
    const SourceText text = parse(
        "void f() {\n"                      // 1
        "    int a = g(1,\n"                // 2
        "              co_await b);\n"      // 3
        "    co_await c; co_await d;\n"     // 4
        "    if (a)\n"                      // 5
        "        co_await e;\n"             // 6
        "    else co_await\n"               // 7
        "        g;\n"                      // 8
        "    spawn([&] {\n"                 // 9
        "        co_await h;\n"             // 10
        "    }, co_await i,\n"              // 11
        "       co_await j);\n"             // 12
        "    co_await k([] {\n"             // 13
        "        return 1;\n"               // 14
        "    }, 3);\n"                      // 15
        "    l([] { m();\n"                 // 16
        "           n(); }, co_await o,\n"  // 17
        "      3);\n"                       // 18
        "    for (;;) { co_await p;\n"      // 19
        "        co_await q; }\n"           // 20
        "}\n");
    const AwaitExpression* only = text.only_one_in_statement({2, 5});
    REQUIRE(only != nullptr);
    CHECK(only->keyword.line == 3);
    CHECK(text.only_one_in_statement({11, 8}) == nullptr);
    CHECK_FALSE(text.is_one_line(2));
    CHECK_FALSE(text.is_one_line(3));
    CHECK(text.is_one_line(4));
    CHECK(text.is_one_line(6));
    CHECK_FALSE(text.is_one_line(7));
    CHECK_FALSE(text.is_one_line(8));
    CHECK(text.is_one_line(10));
    CHECK_FALSE(text.is_one_line(11));
    for (const std::uint32_t line : {13U, 15U, 16U, 17U, 18U}) CHECK_FALSE(text.is_one_line(line));
    CHECK(text.is_one_line(19));
    CHECK(text.is_one_line(20));
}

TEST_CASE("the awaits of a body are without those of lambdas and local classes") {
    const SourceText text = parse(
        "Task f(int n) {\n"                                       // 1
        "    for (int i = 0; i < n; i += co_await a) {\n"         // 2
        "        co_await b;\n"                                   // 3
        "    }\n"                                                 // 4
        "    auto l = [n](int) -> Task { co_await c; };\n"        // 5
        "    struct Local { Task g() const { co_await d; } };\n"  // 6
        "    try { co_await e; } catch (...) { }\n"               // 7
        "    x = co_await h(Type{co_await i});\n"                 // 8
        "}\n");
    const SourceText::Body* body = text.body_closed_at({9, 1});
    REQUIRE(body != nullptr);
    CHECK(body == text.body_declared_at(1, "f"));
    std::vector<std::uint32_t> lines;
    for (const AwaitExpression* await : text.in_body(*body)) lines.push_back(await->keyword.line);
    CHECK(lines == std::vector<std::uint32_t>{2, 3, 7, 8, 8});
    CHECK(text.awaits()[0].in_for_increment);
    CHECK_FALSE(text.awaits()[1].in_for_increment);
    CHECK(text.body_closed_at({9, 2}) == nullptr);
    CHECK(text.body_declared_at(6, "operator()") == nullptr);
    REQUIRE(text.body_declared_at(6, "g") != nullptr);
    CHECK(text.in_body(*text.body_declared_at(6, "g")).size() == 1);
}

TEST_CASE("random text neither hangs nor crashes") {
    const std::string_view pieces[] = {"co_await ", "co_yield ", "(",  ")",    "{",     "}",    "[",   "]",
                                       "<",         ">",         ";",  ",",    "\n",    "x",    "::",  "\"",
                                       "'",         "R\"a(",     "/*", "//",   "#",     "\\\n", "for", "if",
                                       "struct",    "=",         "->", "\xff", "return"};
    std::mt19937 random(7);
    for (int round = 0; round < 300; ++round) {
        std::string text;
        for (int i = 0; i < 600; ++i) text += pieces[random() % std::size(pieces)];
        const auto parsed = SourceText::parse(text);
        if (!parsed) continue;
        for (std::uint32_t line = 0; line < 40; ++line) {
            parsed->covering({line, line});
            parsed->only_one_in_statement({line, 3});
            if (const auto* body = parsed->body_declared_at(line, "x")) parsed->in_body(*body);
        }
    }
}

TEST_CASE("deep and repetitive text stays cheap") {
    std::string brackets, awaits;
    for (int i = 0; i < 200'000; ++i) brackets += "({[";
    for (int i = 0; i < 40'000; ++i) awaits += "co_await ";
    CHECK(SourceText::parse(brackets));
    CHECK(SourceText::parse(awaits));
    CHECK(SourceText::parse("for(" + awaits));
}

TEST_CASE("a macro that the text defines without an await hides none") {
    const SourceText text = parse(
        "#define LOG(x) \\\n  print(x, __LINE__)\n"
        "#define TWICE(x) LOG(x); LOG(x)\n"
        "#define GET(x) co_await x\n"
        "#define USE(x) GET(x)\n"
        "LOG(1); TWICE(2); co_await x;\n"
        "USE(3); co_await y;\n"
        "CHECK(4); co_await z;\n");
    CHECK_FALSE(text.has_macros_on(6));
    CHECK(text.has_macros_on(7));
    CHECK(text.has_macros_on(8));
    REQUIRE(text.awaits().size() == 3);
    const AwaitExpression& last = text.awaits().back();
    CHECK_FALSE(text.has_macros(last.statement_begin, last.statement_end));
}

TEST_CASE("which await awaits the result of another one") {
    const SourceText text = parse("a = co_await\n co_await b;\nco_await f(co_await c);\n");
    REQUIRE(text.awaits().size() == 4);
    CHECK(text.awaiting_result_of(text.awaits()[1]) == &text.awaits()[0]);
    CHECK(text.awaiting_result_of(text.awaits()[0]) == nullptr);
    CHECK(text.awaiting_result_of(text.awaits()[3]) == nullptr);
}

TEST_CASE("where a body calls a function, seen from one of its awaits") {
    using Calls = SourceText::Calls;
    const auto calls_of = [](const std::string& body, const char* name = "child") {
        const SourceText text = parse("Task f() {\n" + body + "\n}\n");
        for (const AwaitExpression& await : text.awaits()) {
            if (text.line(await.keyword.line).substr(await.keyword.column - 1).starts_with("co_await here"))
                return text.calls_of(name, await);
        }
        FAIL("nothing is awaited here");
        return Calls::unknown;
    };
    SECTION("in other statements, awaited at once") {
        CHECK(calls_of("co_await child(1); co_await here;") == Calls::elsewhere);
        CHECK(calls_of("for (;;) { x += co_await a::b(1).c->child(2); co_await here; }") == Calls::elsewhere);
        CHECK(calls_of("if (co_await ::child<int>(1)) co_await here; co_await child(2);") ==
              Calls::elsewhere);
    }
    SECTION("in the same statement, before it or in its operand") {
        CHECK(calls_of("return co_await child(1) + co_await here();") == Calls::before);
        CHECK(calls_of("g(child(1), co_await here(child(2)), co_await child(3));") == Calls::before);
    }
    SECTION("what it returned may be kept") {
        CHECK(calls_of("auto task = child(1); co_await task; co_await here;") == Calls::unknown);
        CHECK(calls_of("co_await all(child(1), child(2)); co_await here;") == Calls::unknown);
        CHECK(calls_of("AWAIT(child(1)); co_await here;") == Calls::unknown);
        CHECK(calls_of("co_await child(1); auto task = child(2); co_await here;") == Calls::unknown);
    }
    SECTION("not at all, or not only in one way") {
        CHECK(calls_of("co_await here;") == Calls::unknown);
        CHECK(calls_of("co_await here + co_await child(1);") == Calls::unknown);
        CHECK(calls_of("co_await child(1); g(co_await child(2), co_await here);") == Calls::unknown);
        CHECK(calls_of("co_await grandchild(1); co_await here; child = 1;") == Calls::unknown);
    }
    SECTION("a lambda inside counts as a part of the body") {
        CHECK(calls_of("auto g = []() -> Task { co_await child(1); }; co_await here;") == Calls::elsewhere);
    }
}

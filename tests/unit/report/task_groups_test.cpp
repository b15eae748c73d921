#include "report/task_groups.h"

#include <catch2/catch.hpp>

#include "dump_builder.h"

using namespace asyncdump;
using namespace asyncdump::tests;

namespace {

MadeCoroutine waiting(const std::string& function, std::uint32_t line, const std::string& summary = "") {
    MadeCoroutine made;
    made.function = function;
    made.line = line;
    made.waits_for = summary.empty() ? WaitKind::coroutine : WaitKind::timer;
    made.summary = summary;
    return made;
}

struct Group {
    std::uint32_t example, count;
    bool operator==(const Group&) const = default;
};

std::ostream& operator<<(std::ostream& stream, const Group& group) {
    return stream << group.count << " like " << group.example;
}

std::vector<Group> groups_of(const Dump& dump) {
    const ReportFilter filter;
    const Selection selection(dump, filter);
    const CoroutineText text(dump, {});
    TaskTreeBuilder trees(dump, false);
    TreeClasses classes(dump, text);
    std::vector<Group> result;
    for (const auto& group : group_tasks(dump, selection, trees, classes)) {
        result.push_back({group.example, group.count});
    }
    return result;
}

using Groups = std::vector<Group>;

}  // namespace

TEST_CASE("numbers and their units do not count for being equal") {
    CHECK(without_numbers("async_wait on steady_timer, 997 s left") == "async_wait on steady_timer, # left");
    CHECK(without_numbers("async_wait on steady_timer, 850 ms left") == "async_wait on steady_timer, # left");
    CHECK(without_numbers("2 min 30 s left") == "# left");
    CHECK(without_numbers("fd 7, 127.0.0.1:4711 <- 127.0.0.1:39214") == "fd #, # <- #");
    CHECK(without_numbers("mutex 0x55d0c0ffee00") == "mutex #");
    CHECK(without_numbers("int32_t and utf8") == "int32_t and utf8");
    CHECK(without_numbers("1.5 s.") == "#.");
    CHECK(without_numbers("3 sockets") == "# sockets");
    CHECK(without_numbers("").empty());
}

TEST_CASE("equal trees are one group, the largest comes first") {
    DumpBuilder builder;
    builder.chain({waiting("lonely()", 5)});
    for (int i = 0; i < 3; ++i) {
        builder.chain({waiting("session()", 88), waiting("query()", 40, std::to_string(i) + " s left")});
    }
    CHECK(groups_of(builder.build()) == Groups{{1, 3}, {0, 1}});
}

TEST_CASE("each part of what is shown tells trees apart") {
    const MadeCoroutine base = waiting("query()", 40, "12 s left");
    std::vector<MadeCoroutine> others(8, base);
    others[0].line = 41;
    others[1].function = "other()";
    others[2].exact = false;
    others[3].state = CoroutineState::created;
    others[4].type = "channel";
    others[5].summary = "12 s over";
    others[6].file = "/src/other.cpp";
    others[7].at_yield = true;
    DumpBuilder builder;
    builder.chain({base});
    for (const auto& other : others) builder.chain({other});
    CHECK(groups_of(builder.build()).size() == 9);
}

TEST_CASE("columns do not tell trees apart: they are not shown") {
    DumpBuilder builder;
    MadeCoroutine made = waiting("query()", 40);
    builder.chain({made});
    made.column = 7;
    builder.chain({made});
    CHECK(groups_of(builder.build()) == Groups{{0, 2}});
}

TEST_CASE("shapes and depths tell trees apart, the order of siblings does not") {
    DumpBuilder builder;
    const auto a = waiting("a()", 1), b = waiting("b()", 2), c = waiting("c()", 3);
    const auto fan = [&](const MadeCoroutine& first, const MadeCoroutine& second) {
        const auto root = builder.add(a);
        builder.edge(root, builder.add(first));
        builder.edge(root, builder.add(second));
    };
    fan(b, c);
    fan(c, b);
    builder.chain({a, b, c});
    builder.chain({a, c, b});
    builder.chain({a, b});
    CHECK(groups_of(builder.build()) == Groups{{0, 2}, {2, 1}, {3, 1}, {4, 1}});
}

TEST_CASE("cycles and shared children are compared as well") {
    DumpBuilder builder;
    const auto made = waiting("a()", 1);
    const auto ring = [&](int length, int back) {
        const auto first = builder.chain(std::vector<MadeCoroutine>(static_cast<std::size_t>(length), made));
        builder.edge(first + static_cast<std::uint32_t>(length) - 1,
                     first + static_cast<std::uint32_t>(back));
    };
    ring(3, 1);
    ring(3, 1);
    ring(3, 2);
    ring(3, 0);
    CHECK(groups_of(builder.build()) == Groups{{0, 2}, {2, 1}, {3, 1}});
}

TEST_CASE("what runs and what makes up a finding stands by itself") {
    DumpBuilder builder;
    MadeCoroutine running;
    running.state = CoroutineState::running;
    for (int i = 0; i < 2; ++i) builder.add(running);
    for (int i = 0; i < 4; ++i) builder.add(waiting("locked()", 7));
    builder.dump().findings.push_back({"lock_cycle", true, "Two wait for each other.", {2, 3}, {}});
    CHECK(groups_of(builder.build()) == Groups{{4, 2}, {0, 1}, {1, 1}, {2, 1}, {3, 1}});
}

TEST_CASE("names of tasks are compared without their numbers") {
    DumpBuilder builder;
    for (int i = 0; i < 3; ++i) builder.add({});
    Dump dump = builder.build();
    dump.tasks[0].name = "session 1";
    dump.tasks[1].name = "session 2";
    dump.tasks[2].name = "accept";
    CHECK(groups_of(dump) == Groups{{0, 2}, {2, 1}});
}

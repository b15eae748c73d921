#include "report/task_tree.h"

#include <catch2/catch.hpp>

#include "dump_builder.h"

using namespace asyncdump;
using namespace asyncdump::tests;
using Kind = TreeNode::Kind;

namespace {

MadeCoroutine internal() {
    MadeCoroutine made;
    made.function = "library()";
    made.internal = true;
    return made;
}

struct Seen {
    std::uint32_t coroutine, depth;
    Kind kind;
    bool operator==(const Seen&) const = default;
};

std::ostream& operator<<(std::ostream& stream, const Seen& seen) {
    return stream << '{' << seen.coroutine << " at " << seen.depth << ", kind " << static_cast<int>(seen.kind)
                  << '}';
}

std::vector<Seen> tree_of(const Dump& dump, std::uint32_t task, bool show_internal = false) {
    TaskTreeBuilder builder(dump, show_internal);
    std::vector<Seen> result;
    for (const auto& node : builder.build(task)) result.push_back({node.coroutine, node.depth, node.kind});
    return result;
}

}  // namespace

TEST_CASE("a tree is a walk from the root") {
    DumpBuilder builder;
    for (int i = 0; i < 4; ++i) builder.add({});
    builder.edge(0, 1);
    builder.edge(0, 2);
    builder.edge(1, 3);
    const Dump dump = builder.build();
    CHECK(tree_of(dump, 0) == std::vector<Seen>{{0, 0, Kind::coroutine},
                                                {1, 1, Kind::coroutine},
                                                {3, 2, Kind::coroutine},
                                                {2, 1, Kind::coroutine}});
    TaskTreeBuilder trees(dump, false);
    const TaskTree& tree = trees.build(0);
    CHECK(tree[0].subtree == 4);
    CHECK(tree[1].subtree == 2);
    CHECK(tree[3].subtree == 1);
    CHECK(tree[3].parent == 0);
}

TEST_CASE("a coroutine with several parents is expanded once") {
    DumpBuilder builder;
    for (int i = 0; i < 4; ++i) builder.add({});
    for (const auto& [from, to] : {std::pair{0u, 1u}, {0u, 2u}, {1u, 3u}, {2u, 3u}}) builder.edge(from, to);
    CHECK(tree_of(builder.build(), 0) == std::vector<Seen>{{0, 0, Kind::coroutine},
                                                           {1, 1, Kind::coroutine},
                                                           {3, 2, Kind::coroutine},
                                                           {2, 1, Kind::coroutine},
                                                           {3, 2, Kind::shown_above}});
}

TEST_CASE("cycles end, also those of one and without a way in") {
    DumpBuilder builder;
    for (int i = 0; i < 4; ++i) builder.add({});
    builder.edge(0, 1);
    builder.edge(1, 2);
    builder.edge(2, 1);
    builder.edge(3, 3);
    const Dump dump = builder.build();
    CHECK(tree_of(dump, 0) == std::vector<Seen>{{0, 0, Kind::coroutine},
                                                {1, 1, Kind::coroutine},
                                                {2, 2, Kind::coroutine},
                                                {1, 3, Kind::cycle_back}});
    CHECK(tree_of(dump, 1) == std::vector<Seen>{{3, 0, Kind::coroutine}, {3, 1, Kind::cycle_back}});
}

TEST_CASE("what another task shows is only mentioned") {
    DumpBuilder builder;
    for (int i = 0; i < 3; ++i) builder.add({});
    builder.edge(0, 2);
    builder.edge(1, 2);
    const Dump dump = builder.build();
    CHECK(tree_of(dump, 1) == std::vector<Seen>{{1, 0, Kind::coroutine}, {2, 1, Kind::other_task}});
}

TEST_CASE("a library's coroutines are folded, what the last one awaits stays") {
    DumpBuilder builder;
    builder.chain({internal(), {}, internal(), {}, internal(), internal()});
    const Dump dump = builder.build();
    CHECK(tree_of(dump, 0) ==
          std::vector<Seen>{{1, 0, Kind::coroutine}, {3, 1, Kind::coroutine}, {5, 2, Kind::folded_wait}});
    CHECK(tree_of(dump, 0, true).size() == 6);
}

TEST_CASE("of a task that is all a library's the root stays") {
    DumpBuilder builder;
    builder.chain({internal(), internal(), internal()});
    CHECK(tree_of(builder.build(), 0) ==
          std::vector<Seen>{{0, 0, Kind::coroutine}, {2, 1, Kind::folded_wait}});
}

TEST_CASE("a folded root that awaits several gives several trees") {
    DumpBuilder builder;
    builder.add(internal());
    builder.add({});
    builder.add({});
    builder.edge(0, 1);
    builder.edge(0, 2);
    CHECK(tree_of(builder.build(), 0) == std::vector<Seen>{{1, 0, Kind::coroutine}, {2, 0, Kind::coroutine}});
}

TEST_CASE("a library's coroutine that runs, is shared or has problems is not folded") {
    DumpBuilder builder;
    MadeCoroutine running = internal();
    running.state = CoroutineState::running;
    builder.chain({{}, running});
    builder.add({});
    builder.add({});
    builder.add({});
    builder.add(internal());  // 5: awaited by 3 and 4
    builder.edge(2, 3);
    builder.edge(2, 4);
    builder.edge(3, 5);
    builder.edge(4, 5);
    builder.chain({{}, internal()});
    builder.details(7).problems.push_back({"unreadable_memory", "half of it is missing", "", false});
    const Dump dump = builder.build();
    CHECK(tree_of(dump, 0)[1] == Seen{1, 1, Kind::coroutine});
    CHECK(tree_of(dump, 1)[2] == Seen{5, 2, Kind::coroutine});
    CHECK(tree_of(dump, 1)[4] == Seen{5, 2, Kind::shown_above});
    CHECK(tree_of(dump, 2)[1] == Seen{7, 1, Kind::coroutine});
}

TEST_CASE("a cycle of a library's coroutines ends") {
    DumpBuilder builder;
    builder.add(internal());
    builder.add(internal());
    builder.edge(0, 1);
    builder.edge(1, 0);
    const auto tree = tree_of(builder.build(), 0);
    REQUIRE_FALSE(tree.empty());
    CHECK(tree.front() == Seen{0, 0, Kind::coroutine});
    CHECK(tree.back() == Seen{0, 1, Kind::cycle_back});
}

TEST_CASE("a chain of a million needs no native recursion") {
    DumpBuilder builder;
    builder.chain(std::vector<MadeCoroutine>(1'000'000));
    CHECK(tree_of(builder.build(), 0).back() == Seen{999'999, 999'999, Kind::coroutine});
}

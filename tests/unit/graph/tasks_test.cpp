#include <algorithm>
#include <catch2/catch.hpp>
#include <numeric>
#include <random>

#include "graph/await_graph.h"
#include "made_references.h"

using namespace asyncdump;
using namespace asyncdump::tests;

namespace {

using Indices = std::vector<std::uint32_t>;

Dump tasks_of(const ReferenceBuilder& builder) {
    Dump dump;
    dump.observed = builder.observation;
    build_tasks(dump);
    return dump;
}

Indices members(const Dump& dump, const Task& task) {
    const auto first = dump.task_members.begin() + task.first_member;
    return {first, first + task.member_count};
}

Indices list(std::span<const std::uint32_t> indices) {
    return {indices.begin(), indices.end()};
}

/// What holds for every dump.
void check_consistency(const Dump& dump) {
    const auto& coroutines = dump.observed.coroutines;
    REQUIRE(dump.awaits.offsets.size() == coroutines.size() + 1);
    REQUIRE(dump.awaited_by.offsets.size() == coroutines.size() + 1);
    REQUIRE(dump.task_of.size() == coroutines.size());
    std::vector<std::pair<std::uint32_t, std::uint32_t>> down, up;
    for (std::uint32_t i = 0; i < coroutines.size(); ++i) {
        for (const std::uint32_t child : dump.awaits.of(i)) down.emplace_back(i, child);
        for (const std::uint32_t parent : dump.awaited_by.of(i)) up.emplace_back(parent, i);
    }
    REQUIRE(std::ranges::is_sorted(down));
    REQUIRE(std::ranges::adjacent_find(down) == down.end());
    std::ranges::sort(up);
    REQUIRE(down == up);

    Indices sorted = dump.task_members;
    std::ranges::sort(sorted);
    REQUIRE(std::ranges::adjacent_find(sorted) == sorted.end());
    std::uint32_t next_member = 0;
    for (std::uint32_t number = 0; number < dump.tasks.size(); ++number) {
        const Task& task = dump.tasks[number];
        REQUIRE(task.first_member == next_member);
        REQUIRE(task.member_count > 0);
        next_member += task.member_count;
        REQUIRE(next_member <= dump.task_members.size());
        const Indices inside = members(dump, task);
        REQUIRE(inside.front() == task.root);
        for (const std::uint32_t member : inside) REQUIRE(dump.task_of[member] == number);
    }
    REQUIRE(next_member == dump.task_members.size());
    for (std::uint32_t i = 0; i < coroutines.size(); ++i) {
        const bool stands_apart = dump.task_of[i] == no_index;
        REQUIRE(stands_apart == coroutines[i].doubtful);
    }
}

}  // namespace

TEST_CASE("no coroutines, no tasks", "[tasks]") {
    const Dump dump = tasks_of({});
    CHECK(dump.tasks.empty());
    CHECK(dump.awaits.offsets == Indices{0});
}

TEST_CASE("a task begins at the coroutine that nobody awaits", "[tasks]") {
    ReferenceBuilder builder;
    for (int i = 0; i < 5; ++i) builder.coroutine();
    // 3 awaits 0 awaits 4; 1 and 2 are alone.
    builder.awaits(3, 0);
    builder.awaits(0, 4);
    builder.observation.coroutines[4].state = CoroutineState::created;
    const Dump dump = tasks_of(builder);
    check_consistency(dump);
    REQUIRE(dump.tasks.size() == 3);
    CHECK(members(dump, dump.tasks[0]) == Indices{1});
    CHECK(members(dump, dump.tasks[1]) == Indices{2});
    CHECK(members(dump, dump.tasks[2]) == Indices{3, 0, 4});
    CHECK(dump.tasks[1].state == CoroutineState::suspended);
    // The state of a task is that of its deepest coroutine.
    CHECK(dump.tasks[2].state == CoroutineState::created);
    CHECK(list(dump.awaits.of(3)) == Indices{0});
    CHECK(list(dump.awaited_by.of(4)) == Indices{0});
    CHECK(dump.awaits.of(4).empty());
}

TEST_CASE("a walk goes depth first and in the order of indices", "[tasks]") {
    ReferenceBuilder builder;
    for (int i = 0; i < 6; ++i) builder.coroutine();
    builder.awaits(0, 1);
    builder.awaits(0, 3);
    builder.awaits(1, 5);
    builder.awaits(1, 4);
    builder.awaits(3, 2);
    builder.observation.coroutines[4].state = CoroutineState::created;
    const Dump dump = tasks_of(builder);
    check_consistency(dump);
    REQUIRE(dump.tasks.size() == 1);
    CHECK(members(dump, dump.tasks[0]) == Indices{0, 1, 4, 5, 3, 2});
    // Of several that are equally deep the first one of the walk.
    CHECK(dump.tasks[0].state == CoroutineState::created);
}

TEST_CASE("a child of several parents belongs to the first task that reaches it", "[tasks]") {
    ReferenceBuilder builder;
    for (int i = 0; i < 5; ++i) builder.coroutine();
    builder.awaits(1, 0);
    builder.awaits(2, 0);
    builder.awaits(0, 3);
    // Twice in one task.
    builder.awaits(1, 4);
    builder.awaits(0, 4);
    const Dump dump = tasks_of(builder);
    check_consistency(dump);
    REQUIRE(dump.tasks.size() == 2);
    CHECK(dump.tasks[0].root == 1);
    CHECK(dump.tasks[0].member_count == 4);
    CHECK(members(dump, dump.tasks[1]) == Indices{2});
    CHECK(list(dump.awaited_by.of(0)) == Indices{1, 2});
    CHECK(list(dump.awaited_by.of(4)) == Indices{0, 1});
}

TEST_CASE("a task of a cycle begins inside it", "[tasks]") {
    ReferenceBuilder builder;
    SECTION("two that await each other") {
        builder.coroutine();
        builder.coroutine();
        builder.continuation(0, 1).is_handle = true;
        builder.continuation(1, 0).is_handle = true;
        const Dump dump = tasks_of(builder);
        check_consistency(dump);
        REQUIRE(dump.tasks.size() == 1);
        CHECK(members(dump, dump.tasks[0]) == Indices{0, 1});
    }
    SECTION("what hangs below it belongs to it, even with lower indices") {
        // 2 -> 3 -> 4 -> 2, and 3 -> 1 -> 0
        for (int i = 0; i < 5; ++i) builder.coroutine();
        builder.awaits(2, 3);
        builder.awaits(3, 4);
        builder.awaits(4, 2);
        builder.awaits(3, 1);
        builder.awaits(1, 0);
        const Dump dump = tasks_of(builder);
        check_consistency(dump);
        REQUIRE(dump.tasks.size() == 1);
        CHECK(dump.tasks[0].root >= 2);
        CHECK(dump.tasks[0].member_count == 5);
    }
    SECTION("what awaits a cycle from outside is its root") {
        for (int i = 0; i < 3; ++i) builder.coroutine();
        builder.awaits(0, 1);
        builder.awaits(1, 0);
        builder.awaits(2, 1);
        const Dump dump = tasks_of(builder);
        check_consistency(dump);
        REQUIRE(dump.tasks.size() == 1);
        CHECK(members(dump, dump.tasks[0]) == Indices{2, 1, 0});
    }
    SECTION("two cycles are two tasks, after those that have a root") {
        for (int i = 0; i < 5; ++i) builder.coroutine();
        builder.awaits(0, 1);
        builder.awaits(1, 0);
        builder.awaits(2, 3);
        builder.awaits(3, 2);
        const Dump dump = tasks_of(builder);
        check_consistency(dump);
        REQUIRE(dump.tasks.size() == 3);
        CHECK(dump.tasks[0].root == 4);
        CHECK(members(dump, dump.tasks[1]) == Indices{0, 1});
        CHECK(members(dump, dump.tasks[2]) == Indices{2, 3});
    }
}

TEST_CASE("doubtful coroutines stand apart", "[tasks]") {
    ReferenceBuilder builder;
    for (int i = 0; i < 4; ++i) builder.coroutine();
    // 0 awaits 1 awaits 2, and 1 is doubtful; so is 3, alone.
    builder.awaits(0, 1);
    builder.awaits(1, 2);
    builder.observation.coroutines[1].doubtful = true;
    builder.observation.coroutines[3].doubtful = true;
    const Dump dump = tasks_of(builder);
    check_consistency(dump);
    REQUIRE(dump.tasks.size() == 2);
    CHECK(members(dump, dump.tasks[0]) == Indices{0});
    CHECK(members(dump, dump.tasks[1]) == Indices{2});
    CHECK(dump.awaits.targets.empty());
    CHECK(dump.awaited_by.targets.empty());
}

TEST_CASE("a coroutine on a stack that awaits another is suspended", "[tasks]") {
    ReferenceBuilder builder;
    MadeCoroutine made;
    made.state = CoroutineState::running;
    made.thread = 7;
    made.line = 12;
    made.type = "Awaiter";
    builder.add(made);
    builder.add(made);
    builder.awaits(0, 1);
    const Dump dump = tasks_of(builder);
    check_consistency(dump);
    const ObservedCoroutine& parent = dump.observed.coroutines[0];
    CHECK(parent.state == CoroutineState::suspended);
    CHECK(parent.thread == 0);
    CHECK(parent.suspended_at != no_index);
    CHECK(parent.awaiting != no_index);
    // What the other one's frame remembers is an old suspend point.
    const ObservedCoroutine& child = dump.observed.coroutines[1];
    CHECK(child.state == CoroutineState::running);
    CHECK(child.thread == 7);
    CHECK(child.suspended_at == no_index);
    CHECK(child.awaiting == no_index);
    REQUIRE(dump.tasks.size() == 1);
    CHECK(dump.tasks[0].state == CoroutineState::running);
}

TEST_CASE("what a coroutine on a stack awaited before is old", "[tasks]") {
    ReferenceBuilder builder;
    MadeCoroutine made;
    made.state = CoroutineState::running;
    made.thread = 7;
    made.line = 12;
    made.type = "Awaiter";
    builder.add(made);
    builder.add(made);
    builder.coroutine();
    builder.awaits(0, 1);
    auto& running = builder.observation.running;
    const auto edges = [&] {
        const Dump dump = tasks_of(builder);
        check_consistency(dump);
        return dump.awaits.targets.size();
    };
    SECTION("what it awaits is executed further inside") {
        running = {{7, 1, 0, 1}, {7, 4, 0, 0}};
        CHECK(edges() == 1);
    }
    SECTION("the same in one function into which the other was inlined") {
        running = {{7, 1, 0, 0}, {7, 1, 2, 1}};
        CHECK(edges() == 1);
    }
    SECTION("further outside") {
        running = {{7, 1, 0, 0}, {7, 4, 0, 1}};
        CHECK(edges() == 0);
    }
    SECTION("on another thread") {
        running = {{7, 4, 0, 0}, {8, 1, 0, 1}};
        CHECK(edges() == 0);
    }
    SECTION("nowhere") {
        running = {{7, 4, 0, 0}};
        CHECK(edges() == 0);
    }
    SECTION("what it awaits has handed over to another, and waits for that one") {
        builder.observation.coroutines[1].state = CoroutineState::suspended;
        builder.observation.coroutines[2].state = CoroutineState::running;
        builder.awaits(1, 2);
        running = {{7, 1, 0, 2}, {7, 4, 0, 0}};
        CHECK(edges() == 2);
    }
}

TEST_CASE("a chain of 100,000 coroutines is one task", "[tasks]") {
    constexpr std::uint32_t count = 100'000;
    ReferenceBuilder builder;
    for (std::uint32_t i = 0; i < count; ++i) builder.coroutine();
    const bool round = GENERATE(false, true);
    // From the highest index down to the lowest.
    for (std::uint32_t i = 1; i < count; ++i) builder.awaits(i, i - 1);
    if (round) builder.awaits(0, count - 1);
    builder.observation.coroutines[0].state = CoroutineState::unknown;
    const Dump dump = tasks_of(builder);
    check_consistency(dump);
    REQUIRE(dump.tasks.size() == 1);
    CHECK(dump.tasks[0].member_count == count);
    CHECK(dump.tasks[0].root == (round ? 0 : count - 1));
    CHECK((dump.tasks[0].state == CoroutineState::unknown) == !round);
}

TEST_CASE("building again gives the same", "[tasks]") {
    ReferenceBuilder builder;
    for (int i = 0; i < 3; ++i) builder.coroutine();
    builder.awaits(0, 1);
    Dump dump = tasks_of(builder);
    build_tasks(dump);
    check_consistency(dump);
    CHECK(dump.tasks.size() == 2);
}

TEST_CASE("every coroutine belongs to one task, whatever awaits what", "[tasks]") {
    std::mt19937 random(7);
    const auto below = [&](std::uint32_t limit) { return static_cast<std::uint32_t>(random() % limit); };
    for (int round = 0; round < 300; ++round) {
        ReferenceBuilder builder;
        const std::uint32_t count = 1 + below(20);
        for (std::uint32_t i = 0; i < count; ++i) {
            builder.coroutine(static_cast<CoroutineState>(below(5)));
            builder.observation.coroutines[i].doubtful = below(10) == 0;
        }
        for (std::uint32_t i = 0; count > 1 && i < below(3 * count); ++i) {
            const std::uint32_t parent = below(count);
            builder.awaits(parent, (parent + 1 + below(count - 1)) % count);
        }
        const Dump dump = tasks_of(builder);
        check_consistency(dump);
        // Only a member of a cycle is the root of a task although somebody awaits it.
        for (const Task& task : dump.tasks) {
            if (dump.awaited_by.of(task.root).empty()) continue;
            const Indices inside = members(dump, task);
            const bool returns = std::ranges::any_of(inside, [&](std::uint32_t member) {
                return std::ranges::count(dump.awaits.of(member), task.root) != 0;
            });
            REQUIRE(returns);
        }
    }
}

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>

#include "graph/await_graph.h"
#include "made_references.h"

using namespace asyncdump;
using namespace asyncdump::tests;

namespace {

using Edges = std::vector<std::pair<std::uint32_t, std::uint32_t>>;
using Origin = Reference::Origin;
using Target = Reference::Target;

/// Parent 0 and child 1.
struct Pair : ReferenceBuilder {
    std::uint32_t parent = coroutine();
    std::uint32_t child = coroutine();
    Edges edge{{parent, child}};
    Edges edges() const { return decide_edges(observation); }
};

}  // namespace

TEST_CASE("nothing refers to nothing", "[await_edges]") {
    CHECK(decide_edges({}).empty());
    Pair pair;
    CHECK(pair.edges().empty());
}

TEST_CASE("a handle in a live awaiter alone", "[await_edges]") {
    Pair pair;
    pair.live_awaiter(pair.parent, pair.child);
    SECTION("is of who is awaited") {
        CHECK(pair.edges() == pair.edge);
    }
    SECTION("or of one whose turn it is, who has nothing in its promise to resume anybody by") {
        pair.observation.coroutines[pair.child].promise_empty = true;
        CHECK(pair.edges().empty());
        // It is a local of the parent's that it knows: a nursery, a counter.
        pair.holds(pair.child, pair.parent, Target::interior);
        CHECK(pair.edges() == pair.edge);
    }
    SECTION("in both directions: each wakes the other") {
        pair.live_awaiter(pair.child, pair.parent);
        CHECK(pair.edges().empty());
    }
    SECTION("in both directions, where each also knows who awaits it") {
        pair.live_awaiter(pair.child, pair.parent);
        pair.continuation(pair.child, pair.parent);
        pair.continuation(pair.parent, pair.child);
        CHECK(pair.edges() == Edges{{pair.parent, pair.child}, {pair.child, pair.parent}});
    }
}

TEST_CASE("a continuation of one that waits for time to pass", "[await_edges]") {
    Pair pair;
    pair.continuation(pair.child, pair.parent).is_handle = true;
    REQUIRE(pair.edges() == pair.edge);
    pair.observation.coroutines[pair.parent].waits_for_time_or_data = true;
    CHECK(pair.edges().empty());
}

TEST_CASE("a continuation and a handle confirm each other", "[await_edges]") {
    Pair pair;
    SECTION("wherever the continuation points to") {
        const auto target = GENERATE(Target::frame, Target::promise, Target::live_awaiter, Target::interior);
        pair.continuation(pair.child, pair.parent, target);
        pair.holds(pair.parent, pair.child);
        CHECK(pair.edges() == pair.edge);
    }
    SECTION("in whatever order they were found") {
        pair.holds(pair.parent, pair.child, Target::promise);
        pair.continuation(pair.child, pair.parent);
        CHECK(pair.edges() == pair.edge);
    }
    SECTION("in a frame at a higher index too") {
        pair.awaits(pair.child, pair.parent);
        CHECK(pair.edges() == Edges{{pair.child, pair.parent}});
    }
    SECTION("where a container of the parent holds the child") {
        pair.continuation(pair.child, pair.parent);
        Reference& held = pair.holds(pair.parent, pair.child);
        held.hops = 1;
        held.through_container = true;
        CHECK(pair.edges() == pair.edge);
    }
    SECTION("but a pointer to somewhere inside the child is no handle") {
        pair.continuation(pair.child, pair.parent);
        pair.holds(pair.parent, pair.child, Target::interior);
        CHECK(pair.edges().empty());
    }
    SECTION("and promises that refer to each other hold nobody") {
        pair.continuation(pair.child, pair.parent);
        pair.continuation(pair.parent, pair.child);
        CHECK(pair.edges().empty());
    }
}

TEST_CASE("one word alone is believed only where its meaning is known", "[await_edges]") {
    Pair pair;
    SECTION("a word of a promise without a type") {
        pair.continuation(pair.child, pair.parent);
        CHECK(pair.edges().empty());
    }
    SECTION("a local") {
        pair.holds(pair.parent, pair.child).is_handle = true;
        CHECK(pair.edges().empty());
    }
    SECTION("a container") {
        Reference& held = pair.holds(pair.parent, pair.child);
        held.hops = 1;
        held.through_container = true;
        CHECK(pair.edges().empty());
    }
    SECTION("a typed word of a promise") {
        const auto target = GENERATE(Target::frame, Target::promise, Target::live_awaiter);
        pair.continuation(pair.child, pair.parent, target).is_handle = true;
        CHECK(pair.edges() == pair.edge);
    }
    SECTION("a typed word that points to just some local") {
        pair.continuation(pair.child, pair.parent, Target::interior).is_handle = true;
        CHECK(pair.edges().empty());
    }
    SECTION("the live awaiter") {
        pair.live_awaiter(pair.parent, pair.child);
        CHECK(pair.edges() == pair.edge);
    }
    SECTION("a promise's word that points into the live awaiter") {
        pair.continuation(pair.child, pair.parent, Target::live_awaiter);
        CHECK(pair.edges() == pair.edge);
    }
}

TEST_CASE("links to siblings are no continuations", "[await_edges]") {
    Pair pair;
    pair.continuation(pair.child, pair.parent).leads_to_no_awaiter = true;
    CHECK(pair.edges().empty());
    pair.holds(pair.parent, pair.child);
    CHECK(pair.edges().empty());
    pair.continuation(pair.child, pair.parent);
    CHECK(pair.edges() == pair.edge);
}

TEST_CASE("who cannot await or be awaited has no edge", "[await_edges]") {
    Pair pair;
    auto& coroutines = pair.observation.coroutines;
    SECTION("confirmed") {
        pair.awaits(pair.parent, pair.child);
    }
    SECTION("typed") {
        pair.continuation(pair.child, pair.parent).is_handle = true;
    }
    SECTION("over the heap") {
        pair.path(pair.child, pair.parent, Origin::promise);
    }
    SECTION("by place") {
        pair.unknown_word(pair.child, pair.parent, 16);
        pair.unknown_word(pair.parent, pair.child, 40);
    }
    REQUIRE(pair.edges() == pair.edge);

    coroutines[pair.parent].state = CoroutineState::done;
    CHECK(pair.edges().empty());
    coroutines[pair.parent].state = CoroutineState::created;
    CHECK(pair.edges().empty());
    for (const auto state : {CoroutineState::running, CoroutineState::unknown, CoroutineState::suspended}) {
        coroutines[pair.parent].state = state;
        CHECK(pair.edges() == pair.edge);
    }
    coroutines[pair.child].state = CoroutineState::done;
    CHECK(pair.edges().empty());
    for (const auto state : {CoroutineState::created, CoroutineState::running, CoroutineState::unknown}) {
        coroutines[pair.child].state = state;
        CHECK(pair.edges() == pair.edge);
    }
    coroutines[pair.child].at_yield = true;
    CHECK(pair.edges().empty());
}

TEST_CASE("a generator between two values is awaited only by the awaiter that asks it", "[await_edges]") {
    Pair pair;
    pair.observation.coroutines[pair.child].at_yield = true;
    pair.awaits(pair.parent, pair.child);
    CHECK(pair.edges().empty());
    pair.live_awaiter(pair.parent, pair.child);
    CHECK(pair.edges() == pair.edge);
    // That the parent is such a generator itself does not matter.
    pair.observation.coroutines[pair.parent].at_yield = true;
    CHECK(pair.edges() == pair.edge);
}

TEST_CASE("a parent whose live awaiter is known awaits what it leads to and nothing else", "[await_edges]") {
    Pair pair;
    const std::uint32_t other = pair.coroutine();
    pair.awaits(pair.parent, pair.child);
    pair.awaits(pair.parent, other);
    REQUIRE(pair.edges() == Edges{{pair.parent, pair.child}, {pair.parent, other}});

    SECTION("debug information describes the awaiter, and it leads nowhere") {
        pair.observation.coroutines[pair.parent].awaiter_known = true;
        CHECK(pair.edges().empty());
    }
    SECTION("debug information describes the awaiter, and it leads to one of them") {
        pair.observation.coroutines[pair.parent].awaiter_known = true;
        pair.live_awaiter(pair.parent, other);
        CHECK(pair.edges() == Edges{{pair.parent, other}});
    }
    SECTION("the awaiter was found without its description") {
        pair.live_awaiter(pair.parent, other);
        CHECK(pair.edges() == Edges{{pair.parent, other}});
    }
    SECTION("a typed word does not outweigh the awaiter") {
        pair.live_awaiter(pair.parent, other);
        const std::uint32_t given_up = pair.coroutine();
        pair.continuation(given_up, pair.parent).is_handle = true;
        CHECK(pair.edges() == Edges{{pair.parent, other}});
    }
    SECTION("the child's awaiter says nothing of the parent's") {
        pair.observation.coroutines[pair.child].awaiter_known = true;
        CHECK(pair.edges() == Edges{{pair.parent, pair.child}, {pair.parent, other}});
    }
}

TEST_CASE("a child with a confirmed parent is not given to who has only a typed word for it",
          "[await_edges]") {
    Pair pair;
    const std::uint32_t former = pair.coroutine();
    pair.continuation(pair.child, former).is_handle = true;
    CHECK(pair.edges() == Edges{{former, pair.child}});
    pair.awaits(pair.parent, pair.child);
    CHECK(pair.edges() == pair.edge);
}

TEST_CASE("several parents may await one child", "[await_edges]") {
    Pair pair;
    const std::uint32_t second = pair.coroutine();
    pair.awaits(pair.parent, pair.child);
    pair.awaits(second, pair.child);
    CHECK(pair.edges() == Edges{{pair.parent, pair.child}, {second, pair.child}});
}

TEST_CASE("a path over the heap leads from the child to the parent", "[await_edges]") {
    Pair pair;
    SECTION("from the promise") {
        pair.path(pair.child, pair.parent, Origin::promise);
        CHECK(pair.edges() == pair.edge);
    }
    SECTION("from elsewhere") {
        pair.path(pair.child, pair.parent, Origin::elsewhere);
        CHECK(pair.edges() == pair.edge);
    }
    SECTION("both ways: whose promise it begins in is the child") {
        pair.path(pair.child, pair.parent, Origin::promise);
        pair.path(pair.parent, pair.child, Origin::elsewhere);
        CHECK(pair.edges() == pair.edge);
    }
    SECTION("both ways, found in the other order") {
        pair.path(pair.child, pair.parent, Origin::elsewhere);
        pair.path(pair.parent, pair.child, Origin::promise);
        CHECK(pair.edges() == Edges{{pair.child, pair.parent}});
    }
    SECTION("but from elsewhere not to one whose live awaiter leads to another one that knows it") {
        const std::uint32_t other = pair.coroutine();
        pair.continuation(other, pair.parent);
        pair.live_awaiter(pair.parent, other);
        pair.path(pair.child, pair.parent, Origin::elsewhere);
        CHECK(pair.edges() == Edges{{pair.parent, other}});
        pair.path(pair.child, pair.parent, Origin::promise);
        CHECK(pair.edges() == Edges{{pair.parent, pair.child}, {pair.parent, other}});
    }
    SECTION("the way that is impossible does not suppress the other one") {
        pair.path(pair.child, pair.parent, Origin::elsewhere);
        pair.path(pair.parent, pair.child, Origin::promise);
        pair.observation.coroutines[pair.parent].at_yield = true;
        CHECK(pair.edges() == pair.edge);
    }
}

TEST_CASE("without debug information the word nearer to the frame's beginning is the continuation",
          "[await_edges]") {
    Pair pair;
    SECTION("of two frames") {
        pair.unknown_word(pair.child, pair.parent, 16);
        CHECK(pair.edges().empty());
        pair.unknown_word(pair.parent, pair.child, 24);
        CHECK(pair.edges() == pair.edge);
    }
    SECTION("of several words the first of the child and the last of the parent count") {
        pair.unknown_word(pair.child, pair.parent, 96);
        pair.unknown_word(pair.parent, pair.child, 48);
        CHECK(pair.edges() == Edges{{pair.child, pair.parent}});
        pair.unknown_word(pair.child, pair.parent, 104);
        CHECK(pair.edges() == Edges{{pair.child, pair.parent}});
    }
    SECTION("several words that speak for both directions speak for none") {
        pair.unknown_word(pair.child, pair.parent, 24);
        pair.unknown_word(pair.parent, pair.child, 40);
        REQUIRE(pair.edges() == pair.edge);
        pair.unknown_word(pair.parent, pair.child, 16);
        CHECK(pair.edges().empty());
    }
    SECTION("at the same place nobody can tell") {
        pair.unknown_word(pair.child, pair.parent, 32);
        pair.unknown_word(pair.parent, pair.child, 32);
        CHECK(pair.edges().empty());
    }
    SECTION("a pointer into the parent's middle is no continuation") {
        pair.unknown_word(pair.child, pair.parent, 16).target = Target::interior;
        pair.unknown_word(pair.parent, pair.child, 24);
        CHECK(pair.edges().empty());
    }
    SECTION("a frame whose promise is known is not judged by place") {
        pair.holds(pair.child, pair.parent).offset = 16;
        pair.unknown_word(pair.parent, pair.child, 96);
        CHECK(pair.edges().empty());
    }
    SECTION("an unknown parent confirms a child whose promise is known") {
        pair.continuation(pair.child, pair.parent);
        pair.unknown_word(pair.parent, pair.child, 8);
        CHECK(pair.edges() == pair.edge);
    }
}

TEST_CASE("without debug information what the code reads first counts more than places", "[await_edges]") {
    Pair pair;
    pair.unknown_word(pair.child, pair.parent, 96);
    pair.unknown_word(pair.parent, pair.child, 48);
    REQUIRE(pair.edges() == Edges{{pair.child, pair.parent}});
    Reference& read = pair.observation.references.back();
    read.origin = Origin::read_first;
    CHECK(pair.edges() == pair.edge);

    SECTION("unless both do") {
        pair.observation.references.front().origin = Origin::read_first;
        CHECK(pair.edges() == Edges{{pair.child, pair.parent}});
    }
    SECTION("alone it proves nothing: a generator reads what it asks next") {
        pair.observation.references.erase(pair.observation.references.begin());
        CHECK(pair.edges().empty());
    }
    SECTION("the first of several that are awaited together does not exclude the others") {
        const std::uint32_t other = pair.coroutine();
        pair.continuation(other, pair.parent);
        pair.unknown_word(pair.parent, other, 56);
        CHECK(pair.edges() == Edges{{pair.parent, pair.child}, {pair.parent, other}});
    }
    SECTION("it excludes others for which only places speak") {
        const std::uint32_t other = pair.coroutine();
        pair.unknown_word(other, pair.parent, 16);
        pair.unknown_word(pair.parent, other, 56);
        CHECK(pair.edges() == pair.edge);
    }
}

TEST_CASE("waiters in a list, of which the awaited one knows the first", "[await_edges]") {
    ReferenceBuilder builder;
    const std::uint32_t shared = builder.coroutine(), first = builder.coroutine(),
                        second = builder.coroutine();
    auto& observation = builder.observation;
    const auto wait_by = [&](std::uint32_t coroutine, const char* type) {
        observation.coroutines[coroutine].awaiting = static_cast<std::uint32_t>(observation.awaitings.size());
        observation.awaitings.push_back({WaitKind::coroutine, type, ""});
    };
    builder.continuation(shared, first, Target::interior);
    builder.holds(first, shared);
    builder.holds(first, second, Target::interior);
    const Edges both{{first, shared}, {second, shared}}, one{{first, shared}};
    SECTION("by awaiters of one type") {
        builder.holds(second, shared);
        wait_by(first, "Shared::Awaiter");
        wait_by(second, "Shared::Awaiter");
        CHECK(decide_edges(observation) == both);
    }
    SECTION("the other one waits for something else") {
        builder.holds(second, shared);
        wait_by(first, "Shared::Awaiter");
        wait_by(second, "Event::Awaiter");
        CHECK(decide_edges(observation) == one);
    }
    SECTION("the other one's awaiter, of another type, leads to it") {
        builder.live_awaiter(second, shared);
        wait_by(first, "Shared::Awaiter");
        wait_by(second, "Shared::when_ready()::Awaiter");
        CHECK(decide_edges(observation) == both);
    }
}

TEST_CASE("a coroutine whose frame lies in another one's does not await that", "[await_edges]") {
    Pair pair;
    pair.continuation(pair.child, pair.parent);
    pair.holds(pair.parent, pair.child).offset = 0;
    pair.continuation(pair.parent, pair.child);
    pair.holds(pair.child, pair.parent);
    CHECK(pair.edges() == pair.edge);
}

TEST_CASE("edges are sorted and there once, whatever was observed", "[await_edges]") {
    std::mt19937 random(20);
    const auto below = [&](std::uint32_t limit) { return static_cast<std::uint32_t>(random() % limit); };
    std::size_t edges_seen = 0;
    for (int round = 0; round < 300; ++round) {
        ReferenceBuilder builder;
        const std::uint32_t count = 2 + below(12);
        for (std::uint32_t i = 0; i < count; ++i) {
            builder.coroutine(static_cast<CoroutineState>(below(5)));
            builder.observation.coroutines[i].at_yield = below(8) == 0;
            builder.observation.coroutines[i].awaiter_known = below(3) == 0;
        }
        for (std::uint32_t i = 0; i < count * 8; ++i) {
            const std::uint32_t from = below(count), to = (from + 1 + below(count - 1)) % count;
            Reference& reference = builder.continuation(from, to, static_cast<Target>(below(4)));
            reference.origin = static_cast<Origin>(below(4));
            reference.offset = 16 + 8 * below(8);
            reference.promise_known = reference.origin == Origin::promise || below(2) == 0;
            reference.is_handle = below(2) == 0;
            reference.leads_to_no_awaiter = below(6) == 0;
            reference.hops = static_cast<std::uint8_t>(below(4) / 3);
            reference.through_container = reference.hops > 0 && below(2) == 0;
        }
        const Edges edges = decide_edges(builder.observation);
        edges_seen += edges.size();
        REQUIRE(std::ranges::is_sorted(edges));
        REQUIRE(std::ranges::adjacent_find(edges) == edges.end());
        // The order in which references were found does not matter.
        std::ranges::shuffle(builder.observation.references, random);
        REQUIRE(decide_edges(builder.observation) == edges);
    }
    CHECK(edges_seen > 1000);
}

// Each finding with made-up dumps: what it says, and the case beside it that looks alike and is healthy.
#include "graph/findings/findings.h"

#include <fmt/format.h>

#include <catch2/catch.hpp>

#include "graph/findings/confirmation.h"
#include "made_findings.h"

using namespace asyncdump;
using namespace asyncdump::tests;

TEST_CASE("a circle of coroutines without debug information is no error") {
    DumpBuilder builder;
    const auto first = builder.chain({suspended("a()", 1), suspended("b()", 2)});
    builder.edge(first + 1, first);
    REQUIRE(find_await_cycles(builder.build()).size() == 1);
    builder.observation.coroutines[first].promise_unknown = true;
    const auto findings = find_await_cycles(builder.build());
    REQUIRE(findings.size() == 1);
    CHECK_FALSE(findings[0].is_error);
}

TEST_CASE("coroutines that await each other") {
    DumpBuilder builder;
    const auto first = builder.chain({suspended("a()", 1), suspended("b()", 2), suspended("c()", 3)});
    SECTION("a chain is no circle") {
        CHECK(find_await_cycles(builder.build()).empty());
    }
    SECTION("a circle") {
        builder.edge(first + 2, first);
        const auto findings = find_await_cycles(builder.build());
        REQUIRE(findings.size() == 1);
        CHECK(findings[0].kind == "await_cycle");
        CHECK(findings[0].is_error);
        CHECK(findings[0].coroutines == std::vector<std::uint32_t>{0, 1, 2});
        CHECK(findings[0].threads.empty());
        CHECK(findings[0].summary.find("3 coroutines await each other in a circle: a (server.cpp:1") == 0);
        CHECK_FALSE(findings[0].evidence.empty());
    }
    SECTION("one that awaits itself") {
        builder.edge(first + 2, first + 2);
        const auto findings = find_await_cycles(builder.build());
        REQUIRE(findings.size() == 1);
        CHECK(findings[0].coroutines == std::vector<std::uint32_t>{2});
    }
    SECTION("a way out of the circle makes it a warning") {
        builder.edge(first + 2, first);
        const auto other = builder.add(suspended("timer()", 9));
        builder.edge(first + 1, other);
        const auto findings = find_await_cycles(builder.build());
        REQUIRE(findings.size() == 1);
        CHECK_FALSE(findings[0].is_error);
    }
    SECTION("a circle in which one runs is none") {
        builder.edge(first + 2, first);
        builder.observation.coroutines[1].state = CoroutineState::running;
        CHECK(find_await_cycles(builder.build()).empty());
    }
}

TEST_CASE("coroutines that wait for each other's locks") {
    DumpBuilder builder;
    const auto one = builder.add(suspended("one()", 1));
    const auto two = builder.add(suspended("two()", 2));
    const auto three = builder.add(suspended("three()", 3));
    SECTION("two locks in a circle, a third coroutine waits too") {
        builder.observation.locks = {lock_of(0x1000, one, {two, three}), lock_of(0x2000, two, {one})};
        const auto findings = find_lock_cycles(builder.build());
        REQUIRE(findings.size() == 1);
        CHECK(findings[0].kind == "lock_cycle");
        CHECK(findings[0].is_error);
        CHECK(findings[0].coroutines == std::vector<std::uint32_t>{one, two});
        CHECK(findings[0].evidence.size() == 2);
        CHECK(findings[0].summary.find("Mutex 0x2000 held by two") != std::string::npos);
    }
    SECTION("two that read alike are told apart by their frames") {
        const auto like_one = builder.add(suspended("one()", 1));
        builder.edge(three, one);
        builder.edge(three, like_one);
        builder.observation.locks = {lock_of(0x1000, one, {like_one}), lock_of(0x2000, like_one, {one})};
        const Dump dump = builder.build();
        const auto findings = find_lock_cycles(dump);
        REQUIRE(findings.size() == 1);
        for (const auto coroutine : {one, like_one}) {
            const auto frame =
                fmt::format(", frame {:#x})", dump.observed.coroutines[coroutine].address.value());
            CHECK(findings[0].summary.find(frame) != std::string::npos);
        }
    }
    SECTION("the holder waits over what it awaits") {
        builder.edge(one, three);
        builder.observation.locks = {lock_of(0x1000, one, {three})};
        const auto findings = find_lock_cycles(builder.build());
        REQUIRE(findings.size() == 1);
        CHECK(findings[0].coroutines.size() == 2);
    }
    SECTION("a coroutine that waits for what it holds itself") {
        builder.observation.locks = {lock_of(0x1000, one, {one})};
        REQUIRE(find_lock_cycles(builder.build()).size() == 1);
    }
    SECTION("the same order of locks is healthy") {
        builder.observation.locks = {lock_of(0x1000, one, {two}), lock_of(0x2000, three, {one})};
        CHECK(find_lock_cycles(builder.build()).empty());
    }
    SECTION("a holder that runs will give it back") {
        builder.observation.locks = {lock_of(0x1000, one, {two}), lock_of(0x2000, two, {one})};
        builder.observation.coroutines[one].state = CoroutineState::running;
        CHECK(find_lock_cycles(builder.build()).empty());
    }
    SECTION("one that waits with a time limit may give up: a warning") {
        builder.observation.locks = {lock_of(0x1000, one, {two}), lock_of(0x2000, two, {one})};
        builder.observation.awaitings.push_back(
            {WaitKind::lock, "Mutex::try_lock_for(Duration)::Awaiter", ""});
        builder.observation.coroutines[two].awaiting =
            static_cast<std::uint32_t>(builder.observation.awaitings.size() - 1);
        const auto findings = find_lock_cycles(builder.build());
        REQUIRE(findings.size() == 1);
        CHECK_FALSE(findings[0].is_error);
    }
    SECTION("a mutex that two seem to hold is not believed") {
        builder.observation.locks = {lock_of(0x1000, one, {two}), lock_of(0x2000, two, {one})};
        builder.observation.locks[0].holders.push_back(
            {three, "its local variable guard (Guard) refers to it"});
        CHECK(find_lock_cycles(builder.build()).empty());
    }
    SECTION("a semaphore with a holder outside the circle will be given back") {
        builder.observation.locks = {lock_of(0x1000, one, {two}), lock_of(0x2000, two, {one})};
        builder.observation.locks[0].has_several_permits = true;
        CHECK(find_lock_cycles(builder.build()).size() == 1);
        builder.observation.locks[0].holders.push_back(
            {three, "its local variable permit (Permit) refers to it"});
        CHECK(find_lock_cycles(builder.build()).empty());
    }
}

TEST_CASE("threads that wait for each other") {
    DumpBuilder builder;
    builder.thread(10, "one").waiting_for =
        wait_of("mutex", 0x1000, 11, "mutex 0x1000, held by thread 11 (two)");
    builder.thread(11, "two").waiting_for =
        wait_of("mutex", 0x2000, 10, "mutex 0x2000, held by thread 10 (one)");
    builder.thread(12, "three").waiting_for =
        wait_of("mutex", 0x1000, 11, "mutex 0x1000, held by thread 11 (two)");
    SECTION("a circle; who waits outside it is no member") {
        const auto findings = find_thread_deadlocks(builder.build());
        REQUIRE(findings.size() == 1);
        CHECK(findings[0].kind == "thread_deadlock");
        CHECK(findings[0].is_error);
        CHECK(findings[0].threads == std::vector<std::int32_t>{10, 11});
    }
    SECTION("a wait with a time limit ends by itself") {
        builder.dump().threads[1].waiting_for->has_time_limit = true;
        CHECK(find_thread_deadlocks(builder.build()).empty());
    }
    SECTION("an owner that works will give it back") {
        builder.dump().threads[1].waiting_for.reset();
        CHECK(find_thread_deadlocks(builder.build()).empty());
    }
    SECTION("a join closes a circle") {
        builder.dump().threads[1].waiting_for = wait_of("join", 0x3000, 10, "the end of thread 10 (one)");
        CHECK(find_thread_deadlocks(builder.build()).size() == 1);
    }
}

TEST_CASE("threads whose lock the kernel has refused") {
    DumpBuilder builder;
    ThreadWait refused = wait_of("mutex", 0, 0, "a mutex that it does not get");
    refused.never_ends = true;
    builder.thread(10, "one").waiting_for = refused;
    SECTION("who waits for such a thread belongs to it") {
        builder.thread(11, "two").waiting_for = wait_of("mutex", 0x1000, 10, "mutex 0x1000");
        const auto findings = find_thread_deadlocks(builder.build());
        REQUIRE(findings.size() == 1);
        CHECK(findings[0].is_error);
        CHECK(findings[0].threads == std::vector<std::int32_t>{10, 11});
        CHECK(
            findings[0].summary ==
            "thread 10 (one) waits for ever for a mutex that it does not get; thread 11 (two) waits for it");
    }
    SECTION("two that closed a circle in the same moment are one finding") {
        builder.thread(11, "two").waiting_for = refused;
        builder.thread(12, "three").waiting_for = wait_of("mutex", 0x1000, 11, "mutex 0x1000");
        const auto findings = find_thread_deadlocks(builder.build());
        REQUIRE(findings.size() == 1);
        CHECK(findings[0].threads == std::vector<std::int32_t>{10, 11, 12});
        CHECK(findings[0].evidence.size() == 3);
        CHECK(findings[0].summary ==
              "thread 10 (one) waits for ever for a mutex that it does not get; so does thread 11 (two); "
              "thread 12 (three) waits for one of them");
    }
}

TEST_CASE("a mutex that a suspended coroutine holds") {
    DumpBuilder builder;
    const auto holder = builder.add(suspended("holder()", 5));
    ObservedLock lock = lock_of(0x1000, holder, {});
    lock.blocks_threads = true;
    builder.observation.locks = {lock};
    SECTION("its own thread waits for it: an error") {
        builder.thread(10).waiting_for = wait_of("mutex", 0x1000, 10, "mutex 0x1000, held by thread 10");
        const auto findings = find_thread_deadlocks(builder.build());
        REQUIRE(findings.size() == 1);
        CHECK(findings[0].is_error);
        CHECK(findings[0].coroutines == std::vector<std::uint32_t>{holder});
        CHECK(findings[0].threads == std::vector<std::int32_t>{10});
    }
    SECTION("another thread may still resume it: a warning") {
        builder.thread(10).waiting_for = wait_of("mutex", 0x1000, 11, "mutex 0x1000, held by thread 11");
        builder.thread(11).system_call = "epoll_wait";
        const auto findings = find_thread_deadlocks(builder.build());
        REQUIRE(findings.size() == 1);
        CHECK_FALSE(findings[0].is_error);
        CHECK(findings[0].coroutines == std::vector<std::uint32_t>{holder});
    }
    SECTION("nobody waits for it: nothing is wrong yet") {
        builder.thread(10);
        CHECK(find_thread_deadlocks(builder.build()).empty());
    }
}

TEST_CASE("the executor waits for a mutex whose owner waits for the executor") {
    DumpBuilder builder;
    const auto running = builder.add(suspended("handle()", 31));
    builder.observation.coroutines[running].state = CoroutineState::running;
    blocked_inside(builder, 10, running, wait_of("mutex", 0x1000, 11, "mutex 0x1000, held by thread 11"));
    Thread& owner = builder.thread(11, "main");
    owner.waiting_for = future();
    owner.frames.push_back(DumpBuilder::frame("std::future<int>::get()"));
    SECTION("an error when nobody else runs coroutines") {
        const auto findings = find_thread_deadlocks(builder.build());
        REQUIRE(findings.size() == 1);
        CHECK(findings[0].is_error);
        CHECK(findings[0].threads == std::vector<std::int32_t>{10, 11});
        CHECK(find_blocked_executors(builder.build(), findings).empty());
    }
    SECTION("not with a second executor") {
        builder.thread(12).system_call = "epoll_wait";
        CHECK(find_thread_deadlocks(builder.build()).empty());
    }
}

TEST_CASE("a thread that blocks inside a coroutine") {
    DumpBuilder builder;
    const auto running = builder.add(suspended("handle()", 31));
    builder.observation.coroutines[running].state = CoroutineState::running;
    SECTION("a future that nobody can make: an error") {
        blocked_inside(builder, 10, running, future());
        Thread& reader = builder.thread(11, "input");
        reader.system_call = "read";
        reader.waiting_for = wait_of("io", 0, 0, "read from pipe fd 0");
        const auto findings = find_blocked_executors(builder.build(), {});
        REQUIRE(findings.size() == 1);
        CHECK(findings[0].kind == "blocked_executor");
        CHECK(findings[0].is_error);
        CHECK(findings[0].threads == std::vector<std::int32_t>{10});
        CHECK(findings[0].coroutines == std::vector<std::uint32_t>{running});
        CHECK(findings[0].summary.find("handle() (server.cpp:31)") != std::string::npos);
    }
    SECTION("a running thread may make it: a warning") {
        blocked_inside(builder, 10, running, future());
        builder.thread(11, "worker", "running");
        const auto findings = find_blocked_executors(builder.build(), {});
        REQUIRE(findings.size() == 1);
        CHECK_FALSE(findings[0].is_error);
    }
    SECTION("another executor may make it: a warning") {
        blocked_inside(builder, 10, running, future());
        builder.thread(11).system_call = "epoll_wait";
        const auto findings = find_blocked_executors(builder.build(), {});
        REQUIRE(findings.size() == 1);
        CHECK_FALSE(findings[0].is_error);
    }
    SECTION("an idle worker of the same pool may make it: a warning") {
        blocked_inside(builder, 10, running, future());
        Thread& idle = builder.thread(11);
        idle.system_call = "futex";
        idle.waiting_for = wait_of("condition", 0x2000, 0, "condition variable 0x2000");
        idle.frames.push_back(DumpBuilder::frame("std::condition_variable::wait()"));
        idle.frames.push_back(DumpBuilder::frame("start()", "/src/pool.cpp", 7));
        const Dump before = builder.build();
        CHECK(find_blocked_executors(before, {}).front().is_error);
        Dump after = before;
        after.threads.front().frames.push_back(DumpBuilder::frame("start()", "/src/pool.cpp", 7));
        CHECK_FALSE(find_blocked_executors(after, {}).front().is_error);
    }
    SECTION("all threads of a pool") {
        blocked_inside(builder, 10, running, future());
        blocked_inside(builder, 11, running, future());
        const auto findings = find_blocked_executors(builder.build(), {});
        REQUIRE(findings.size() == 1);
        CHECK(findings[0].is_error);
        CHECK(findings[0].threads == std::vector<std::int32_t>{10, 11});
    }
    SECTION("a sleep ends by itself: a warning") {
        ThreadWait sleep = wait_of("sleep", 0, 0, "the end of a sleep of 5 s");
        sleep.has_time_limit = true;
        blocked_inside(builder, 10, running, sleep);
        const auto findings = find_blocked_executors(builder.build(), {});
        REQUIRE(findings.size() == 1);
        CHECK_FALSE(findings[0].is_error);
    }
    SECTION("a mutex is waited for by every busy server") {
        blocked_inside(builder, 10, running, wait_of("mutex", 0x1000, 11, "mutex 0x1000, held by thread 11"));
        builder.thread(11, "worker", "running");
        CHECK(find_blocked_executors(builder.build(), {}).empty());
    }
    SECTION("a write that is just being done") {
        blocked_inside(builder, 10, running, wait_of("io", 0, 0, "write to tcp socket fd 7")).state =
            "running";
        CHECK(find_blocked_executors(builder.build(), {}).empty());
    }
    SECTION("a loop inside the coroutine goes on with the other work") {
        Thread& thread = blocked_inside(builder, 10, running, future());
        thread.frames.insert(thread.frames.begin(), DumpBuilder::frame("boost::asio::io_context::run()"));
        CHECK(find_blocked_executors(builder.build(), {}).empty());
    }
    SECTION("outside coroutines a thread may wait as it likes") {
        builder.thread(10).waiting_for = future();
        CHECK(find_blocked_executors(builder.build(), {}).empty());
    }
}

TEST_CASE("coroutines to which nothing leads") {
    DumpBuilder builder;
    const auto root = builder.chain({suspended("root()", 1), suspended("leaf()", 2)});
    const auto leaf = root + 1;
    auto& coroutines = builder.observation.coroutines;
    for (auto& coroutine : coroutines) coroutine.at_await = true;
    coroutines[root].held = Hold::handle;
    coroutines[leaf].held = Hold::none;
    Reference own_handle;
    own_handle.from = root;
    own_handle.to = leaf;
    own_handle.origin = Reference::Origin::live_awaiter;
    own_handle.target = Reference::Target::frame;
    own_handle.promise_known = true;
    builder.observation.references = {own_handle};
    SECTION("the leaf of a tree whose root is owned") {
        const auto findings = find_unwakeable(builder.build());
        REQUIRE(findings.size() == 1);
        CHECK(findings[0].kind == "unwakeable");
        CHECK(findings[0].is_error);
        CHECK(findings[0].coroutines == std::vector<std::uint32_t>{leaf, root});
    }
    SECTION("one that a container holds") {
        coroutines[leaf].held = Hold::handle;
        CHECK(find_unwakeable(builder.build()).empty());
    }
    SECTION("one whose parent's inside is in use: the leaf may have left its handle there") {
        coroutines[root].held = Hold::inside;
        CHECK(find_unwakeable(builder.build()).empty());
    }
    SECTION("one that a promise leads to, as in asio") {
        builder.observation.references[0].origin = Reference::Origin::promise;
        CHECK(find_unwakeable(builder.build()).empty());
    }
    SECTION("not known where it was not looked for") {
        coroutines[leaf].held = Hold::unknown;
        CHECK(find_unwakeable(builder.build()).empty());
    }
    SECTION("a generator waits for being asked, a task for being started") {
        coroutines[leaf].at_yield = true;
        CHECK(find_unwakeable(builder.build()).empty());
        coroutines[leaf].at_yield = false;
        coroutines[leaf].state = CoroutineState::created;
        CHECK(find_unwakeable(builder.build()).empty());
    }
    SECTION("an object that only coroutines know holds it") {
        HoldByObjects hold;
        hold.coroutine = leaf;
        hold.objects = {{RemoteAddress(0x5000), RemoteAddress(0x5020)}};
        builder.observation.holds_by_objects = {hold};
        const auto alone = find_unwakeable(builder.build());
        REQUIRE(alone.size() == 1);
        CHECK(alone[0].evidence[0].find("nothing leads but the coroutine itself") != std::string::npos);
        // Its parent goes on only after it.
        builder.observation.holds_by_objects[0].known_by = {root};
        CHECK(find_unwakeable(builder.build()).size() == 1);
        coroutines[root].held = Hold::inside;
        CHECK(find_unwakeable(builder.build()).empty());
        // Another one may be resumed, and then resume it.
        coroutines[root].held = Hold::handle;
        const auto other = builder.add(suspended("other()", 3));
        builder.observation.coroutines[other].held = Hold::handle;
        builder.observation.holds_by_objects[0].known_by = {other};
        CHECK(find_unwakeable(builder.build()).empty());
    }
    SECTION("the kernel may hold it: a warning that says so") {
        builder.observation.holds_uncertain = "the target uses io_uring";
        const auto findings = find_unwakeable(builder.build());
        REQUIRE(findings.size() == 1);
        CHECK_FALSE(findings[0].is_error);
        CHECK(findings[0].evidence.back() == "the target uses io_uring");
    }
    SECTION("many of a kind are one finding") {
        for (int i = 0; i < 5; ++i) {
            const auto other = builder.add(suspended("leaf()", 2));
            builder.observation.coroutines[other].at_await = true;
            builder.observation.coroutines[other].held = Hold::none;
        }
        CHECK(find_unwakeable(builder.build()).size() == 1);
    }
}

TEST_CASE("a finding is confirmed by a second look") {
    DumpBuilder builder;
    builder.thread(10).waiting_for = wait_of("mutex", 0x1000, 11, "mutex 0x1000, held by thread 11");
    builder.thread(11).waiting_for = wait_of("mutex", 0x2000, 10, "mutex 0x2000, held by thread 10");
    Dump first = builder.build();
    first.findings = find_all(first);
    REQUIRE(first.findings.size() == 1);
    Dump second = first;
    CHECK(confirmed_findings(first, second).size() == 1);
    SECTION("the same threads, but another mutex") {
        second.threads[0].waiting_for->address = RemoteAddress(0x1100);
        CHECK(confirmed_findings(first, second).empty());
    }
    SECTION("it was not there before") {
        first.findings.clear();
        CHECK(confirmed_findings(first, second).empty());
    }
}

// Circles and waits that somebody outside may end: warnings at most.
#include <catch2/catch.hpp>

#include "graph/findings/findings.h"
#include "made_findings.h"

using namespace asyncdump;
using namespace asyncdump::tests;

namespace {

/// Two coroutines that hold a lock each and wait for the other's, by an awaiter of this type.
Finding crosswise(const char* awaiter) {
    DumpBuilder builder;
    const auto one = builder.add(suspended("one()", 1));
    MadeCoroutine waiting = suspended("two()", 2);
    waiting.waits_for = WaitKind::lock;
    waiting.type = awaiter;
    const auto two = builder.add(waiting);
    builder.observation.locks = {lock_of(0x1000, one, {two}), lock_of(0x2000, two, {one})};
    const auto findings = find_lock_cycles(builder.build());
    REQUIRE(findings.size() == 1);
    return findings.front();
}

}  // namespace

TEST_CASE("a time limit is told by the name of the awaiter, not by letters in it") {
    CHECK_FALSE(crosswise("Mutex::try_lock_for(Duration)::Awaiter").is_error);
    CHECK_FALSE(crosswise("WithTimeout<int>").is_error);
    CHECK_FALSE(crosswise("net::TimedMutex::Awaiter").is_error);
    CHECK(crosswise("acme_forms::Mutex::Awaiter").is_error);
    CHECK(crosswise("log_formatter::Mutex::Awaiter").is_error);
    CHECK(crosswise("wait_for_lock").is_error);
    CHECK(crosswise("Mutex::Awaiter<Deadline>").is_error);
}

TEST_CASE("a circle of locks through one that awaits several") {
    DumpBuilder builder;
    MadeCoroutine parent = suspended("transfer()", 1);
    SECTION("one of them may be enough: a warning") {
        parent.type = "AnyOf<Lock, Sleep>";
    }
    SECTION("all of them are needed: an error") {
        parent.type = "when_all_awaiter<Lock, Sleep>";
    }
    const auto holder = builder.add(parent);
    const auto locking = builder.add(suspended("lock()", 2));
    builder.edge(holder, locking);
    builder.edge(holder, builder.add(suspended("sleep()", 3)));
    const auto other = builder.add(suspended("other()", 4));
    builder.observation.locks = {lock_of(0x1000, holder, {other}), lock_of(0x2000, other, {locking})};
    const auto findings = find_lock_cycles(builder.build());
    REQUIRE(findings.size() == 1);
    CHECK(findings.front().is_error == parent.type.starts_with("when_all"));
}

TEST_CASE("what may not be a lock that is held") {
    DumpBuilder builder;
    const auto one = builder.add(suspended("one()", 1));
    const auto two = builder.add(suspended("two()", 2));
    builder.observation.locks = {lock_of(0x1000, one, {two}), lock_of(0x2000, two, {one})};
    REQUIRE(find_lock_cycles(builder.build()).front().is_error);
    SECTION("an object that refers to it and is not named for guarding") {
        builder.observation.locks[0].holders[0].is_certain = false;
        CHECK_FALSE(find_lock_cycles(builder.build()).front().is_error);
    }
    SECTION("a permit of a semaphore of which nobody knows how many there are") {
        builder.observation.locks = {lock_of(0x1000, one, {one})};
        builder.observation.locks[0].has_several_permits = true;
        CHECK_FALSE(find_lock_cycles(builder.build()).front().is_error);
    }
    SECTION("two semaphores crosswise are an error") {
        for (ObservedLock& lock : builder.observation.locks) lock.has_several_permits = true;
        CHECK(find_lock_cycles(builder.build()).front().is_error);
    }
}

TEST_CASE("coroutines that await each other until an alarm") {
    DumpBuilder builder;
    MadeCoroutine one = suspended("one()", 1);
    one.type = GENERATE("WithTimeout<int>", "Either<int, Alarm>", "Task::Awaiter");
    const auto first = builder.chain({one, suspended("two()", 2)});
    builder.edge(first + 1, first);
    const auto findings = find_await_cycles(builder.build());
    REQUIRE(findings.size() == 1);
    CHECK(findings.front().is_error == (one.type == "Task::Awaiter"));
}

TEST_CASE("the owner of a mutex waits for what a sleeping thread will bring") {
    DumpBuilder builder;
    const auto running = builder.add(suspended("handle()", 31));
    builder.observation.coroutines[running].state = CoroutineState::running;
    blocked_inside(builder, 10, running, wait_of("mutex", 0x1000, 11, "mutex 0x1000, held by thread 11"));
    Thread& owner = builder.thread(11, "main");
    owner.waiting_for = future();
    owner.frames.push_back(DumpBuilder::frame("std::future<int>::get()"));
    REQUIRE(find_thread_deadlocks(builder.build()).size() == 1);
    SECTION("it reads from a socket") {
        Thread& reader = builder.thread(12, "loader");
        reader.system_call = "read";
        reader.waiting_for = wait_of("io", 0, 0, "read from tcp socket fd 7");
        CHECK(find_thread_deadlocks(builder.build()).empty());
    }
    SECTION("it is the thread of std::async, which ends by itself") {
        builder.dump().threads[1].waiting_for->owner = 12;
        builder.thread(12, "loader").waiting_for =
            wait_of("condition", 0x3000, 0, "condition variable 0x3000");
        CHECK(find_thread_deadlocks(builder.build()).empty());
    }
}

TEST_CASE("who may end the wait of a thread that blocks inside a coroutine") {
    DumpBuilder builder;
    const auto running = builder.add(suspended("handle()", 31));
    builder.observation.coroutines[running].state = CoroutineState::running;
    blocked_inside(builder, 10, running, future());
    Thread& other = builder.thread(11, "other");
    const auto is_error = [&] { return find_blocked_executors(builder.build(), {}).front().is_error; };
    SECTION("not who only reads standard input") {
        other.system_call = "read";
        other.waiting_for = wait_of("io", 0, 0, "read from pipe fd 0");
        CHECK(is_error());
    }
    SECTION("who polls it among others") {
        other.system_call = "poll";
        other.waiting_for = wait_of("io", 0, 0, "poll of pipe fd 0, eventfd fd 5");
        CHECK_FALSE(is_error());
    }
    SECTION("who waits for a signal by its name") {
        other.system_call = "rt_sigtimedwait";
        other.waiting_for = wait_of("other", 0, 0, "a signal");
        other.waiting_for->from_outside = true;
        CHECK_FALSE(is_error());
    }
}

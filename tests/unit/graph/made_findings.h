// Made-up parts of dumps in which something is wrong.
#pragma once

#include "dump_builder.h"

namespace asyncdump::tests {

inline MadeCoroutine suspended(const char* function, std::uint32_t line) {
    MadeCoroutine made;
    made.function = function;
    made.line = line;
    return made;
}

inline ThreadWait wait_of(const char* kind, std::uint64_t address, std::int32_t owner, const char* summary) {
    ThreadWait wait;
    wait.kind = kind;
    wait.address = RemoteAddress(address);
    wait.owner = owner;
    wait.summary = summary;
    return wait;
}

/// A thread that blocks inside a coroutine.
inline Thread& blocked_inside(DumpBuilder& builder, std::int32_t tid, std::uint32_t coroutine,
                              const ThreadWait& wait) {
    Thread& thread = builder.thread(tid);
    thread.system_call = "futex";
    thread.waiting_for = wait;
    thread.frames.push_back(DumpBuilder::frame("std::future<int>::get()", "/usr/include/future", 800));
    thread.frames.push_back(DumpBuilder::frame("handle()", "/src/server.cpp", 31));
    thread.frames.back().coroutine = coroutine;
    thread.frames.push_back(DumpBuilder::frame("RunLoop::run()", "/src/loop.cpp", 12));
    return thread;
}

inline ThreadWait future() {
    ThreadWait wait = wait_of("futex", 0x7f00, 0, "the result of a future, 0x7f00");
    wait.for_event = true;
    return wait;
}

inline ObservedLock lock_of(std::uint64_t address, std::uint32_t holder, std::vector<std::uint32_t> waiters) {
    ObservedLock lock;
    lock.address = RemoteAddress(address);
    lock.type = "Mutex";
    lock.holders.push_back({holder, "its local variable guard (Guard) refers to it", true});
    lock.waiters = std::move(waiters);
    return lock;
}

}  // namespace asyncdump::tests

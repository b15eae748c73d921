#include "process/ended_threads.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <latch>
#include <thread>

#include "process/live_memory.h"

using namespace asyncdump;

TEST_CASE("the stack of a thread is known to be left over once the thread has ended") {
    char* on_stack = nullptr;
    std::latch is_running(1), may_end(1);
    std::thread thread([&] {
        char here = 0;
        on_stack = &here;
        is_running.count_down();
        may_end.wait();
    });
    const auto is_left_over = [&] {
        const auto memory = LiveMemory::open(getpid());
        REQUIRE(memory);
        const auto map = MemoryMap::read(getpid());
        REQUIRE(map);
        return std::ranges::any_of(stacks_of_ended_threads(*memory, *map), [&](const AddressRange& stack) {
            return stack.contains(RemoteAddress(reinterpret_cast<std::uintptr_t>(on_stack)));
        });
    };
    is_running.wait();
    CHECK_FALSE(is_left_over());
    may_end.count_down();
    thread.join();
#if !defined(__SANITIZE_ADDRESS__)  // which unmaps what it gave the thread
    CHECK(is_left_over());
#endif
}

// No coroutine at all: fifty threads that block in every usual way, and one with a deep stack.
#include <linux/futex.h>
#include <poll.h>
#include <sys/syscall.h>

#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

#include "truth.h"

namespace {

std::mutex held;
std::mutex of_condition;
std::condition_variable condition;
std::uint32_t futex_word = 1;
int pipe_ends[2];
std::promise<int> promise;
std::shared_future<int> future = promise.get_future();

void wait_for_mutex() {
    std::lock_guard lock(held);
}

void wait_for_condition() {
    std::unique_lock lock(of_condition);
    condition.wait(lock, [] { return false; });
}

void wait_for_future() {
    future.wait();
}

void wait_for_futex() {
    while (true) syscall(SYS_futex, &futex_word, FUTEX_WAIT_PRIVATE, 1, nullptr, nullptr, 0);
}

void wait_for_join() {
    std::thread never_ends(truth::block);
    pthread_setname_np(never_ends.native_handle(), "joined");
    never_ends.join();
}

void wait_asleep() {
    while (true) sleep(1000);
}

void wait_for_pipe() {
    char byte;
    if (read(pipe_ends[0], &byte, 1) != 1) std::abort();
}

void wait_in_poll() {
    pollfd descriptor = {pipe_ends[0], POLLIN, 0};
    if (poll(&descriptor, 1, -1) < 0) std::abort();
}

/// Returns something that depends on what the deeper calls return, so that each has its frame.
int dive(int depth) {
    volatile int here = depth;
    if (depth > 0) {
        here = here + dive(depth - 1);
    } else {
        truth::block();
    }
    return here;
}

void wait_deep() {
    if (dive(1999) == 1) std::abort();
}

}  // namespace

int main() {
    TRUTH_BEGIN();
    pthread_setname_np(pthread_self(), "main");
    if (pipe(pipe_ends) != 0) return 1;
    held.lock();
    constexpr struct {
        const char* name;
        void (*wait)();
        const char* function;
        const char* system_call;
        int count;
    } kinds[] = {{"mutex", wait_for_mutex, "wait_for_mutex", "futex", 8},
                 {"condition", wait_for_condition, "wait_for_condition", "futex", 8},
                 {"future", wait_for_future, "wait_for_future", "futex", 6},
                 {"futex", wait_for_futex, "wait_for_futex", "futex", 4},
                 {"join", wait_for_join, "wait_for_join", "futex", 4},
                 {"asleep", wait_asleep, "wait_asleep", "clock_nanosleep", 8},
                 {"pipe", wait_for_pipe, "wait_for_pipe", "read", 4},
                 {"poll", wait_in_poll, "wait_in_poll", "poll", 3},
                 {"deep", wait_deep, "wait_deep", "pause", 1}};
    std::vector<std::thread> threads;
    for (const auto& kind : kinds) {
        for (int number = 0; number < kind.count; ++number) {
            threads.emplace_back(kind.wait);
            pthread_setname_np(threads.back().native_handle(), kind.name);
            printf("thread %s %s\n", kind.name, kind.function);
            printf("waits %s %s\n", kind.name, kind.system_call);
        }
    }
    puts("depth deep 2000");
    puts("thread main main");
    for (int number = 0; number < 4; ++number) puts("waits joined pause");
    puts("threads 51");
    puts("count 0");
    truth::ready();
    truth::block();
}

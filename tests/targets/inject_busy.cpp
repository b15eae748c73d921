// Eight threads that allocate and free all the time, create and destroy coroutines and check all of their
// work: an injection must not disturb it. Some wait with a time limit, one sleeps: system calls that a stop
// breaks off. Exits with 0 when its input ends and all was right, with 1 and the reason otherwise.
#include <poll.h>
#include <sys/epoll.h>
#include <time.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <list>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "agent_task.h"
#include "truth.h"

namespace {

std::atomic<bool> finish = false;
std::atomic<unsigned long> rounds[8];
std::atomic<unsigned> interruptions = 0;

[[noreturn]] void wrong(const char* what) {
    printf("WRONG %s (errno %d)\n", what, errno);
    fflush(stdout);
    _exit(1);
}

Task leaf(unsigned long* value) {
    *value += 1;
    co_await std::suspend_always{};
    *value += 2;
}

Task stays(unsigned long* value) {
    co_await leaf(value);
}

/// x87 and vector registers hold part of the work: a call that does not restore them is seen.
double sum_in_registers(unsigned count) {
    double a = 0, b = 1, c = 2, d = 3;
    for (unsigned i = 0; i < count; ++i) {
        a += i;
        b += a * 0.5;
        c -= b * 0.25;
        d += c * 0.125;
        asm volatile("" : "+x"(a), "+x"(b), "+x"(c), "+x"(d));
    }
    return a + b + c + d;
}

void work(unsigned number) {
    const double expected = sum_in_registers(2000);
    std::list<std::unique_ptr<std::string>> texts;
    std::vector<Task> tasks;
    unsigned long seed = number + 1;
    while (!finish) {
        seed = seed * 6364136223846793005UL + 1442695040888963407UL;
        const std::size_t size = 16 + (seed >> 33) % 900;
        texts.push_back(std::make_unique<std::string>(size, static_cast<char>('a' + seed % 26)));
        if (texts.size() > 200) {
            const std::string& text = *texts.front();
            for (const char letter : text)
                if (letter != text[0]) wrong("a text was changed");
            texts.pop_front();
        }
        unsigned long value = 0;
        {
            Task task = leaf(&value);
            task.handle.resume();
            if (value != 1) wrong("a coroutine did not run");
            task.handle.resume();
            if (value != 3 || !task.handle.done()) wrong("a coroutine did not end");
        }
        void* aligned = std::aligned_alloc(64, 256);
        std::memset(aligned, 7, 256);
        std::free(aligned);
        if (seed % 64 == 0 && sum_in_registers(2000) != expected) wrong("registers were changed");
        rounds[number].fetch_add(1, std::memory_order_relaxed);
    }
}

/// System calls with and without a time limit have to go on as if nothing had been.
void wait_with_limit() {
    while (!finish) {
        timespec begin, end;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        timespec limit{0, 30'000'000};
        if (nanosleep(&limit, nullptr) != 0) wrong("nanosleep was interrupted");
        if (poll(nullptr, 0, 10) != 0) wrong("poll was interrupted");
        clock_gettime(CLOCK_MONOTONIC, &end);
        const long passed = (end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / 1'000'000;
        if (passed < 39) wrong("a wait was too short");
    }
}

void wait_without_limit() {
    const int group = epoll_create1(0);
    epoll_event event;
    while (epoll_wait(group, &event, 1, -1) < 0) {
        if (errno != EINTR) wrong("epoll_wait failed");
        ++interruptions;
    }
}

}  // namespace

int main(int argc, char** argv) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const bool only_busy = argc > 1 && std::string(argv[1]) == "busy";
    const bool only_sleeping = argc > 1 && std::string(argv[1]) == "sleeping";
    unsigned long value = 0;
    std::vector<Task> kept;
    for (int i = 0; i < 20; ++i) {
        kept.push_back(stays(&value));
        kept.back().handle.resume();
    }
    std::vector<std::thread> threads;
    if (!only_sleeping)
        for (unsigned number = 0; number < 8; ++number) threads.emplace_back(work, number);
    if (!only_busy) std::thread(wait_with_limit).detach();
    if (!only_busy && !only_sleeping) std::thread(wait_without_limit).detach();
    puts("READY");
    fflush(stdout);
    if (only_busy) {
        // Then no thread waits in read().
        while (!finish) {
            pollfd input{0, POLLIN | POLLHUP, 0};
            const int ready = poll(&input, 1, 0);
            if (ready < 0) wrong("poll failed");
            if (ready > 0) finish = true;
            for (int i = 0; i < 100; ++i) delete new std::string(500, 'x');
        }
    } else {
        char byte;
        while (read(0, &byte, 1) > 0) continue;
        finish = true;
    }
    for (auto& thread : threads) thread.join();
    if (value != 20) wrong("a kept coroutine was lost");
    for (Task& task : kept) {
        if (task.handle.done()) wrong("a kept coroutine went on");
    }
    unsigned long total = 0;
    for (const auto& each : rounds) total += each;
    printf("rounds %lu, epoll_wait interrupted %u times\n", total, interruptions.load());
    fflush(stdout);
    _exit(0);
}

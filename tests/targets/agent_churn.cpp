// Threads that create and destroy coroutines, each others' too, between plain blocks.
//
//   agent_churn OPERATIONS THREADS
//
// Prints "truth ADDRESS registry ADDRESS" and waits for a line on standard input; then works while a reader
// stops it now and then; prints "rest" when all threads have ended with their frames still there; ends when
// standard input ends.
#include <dlfcn.h>
#include <signal.h>
#include <sys/prctl.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "agent_churn.h"
#include "agent_task.h"

namespace {

Truth truth;

Task small(int value) {
    truth.sum.fetch_add(static_cast<std::uint64_t>(value), std::memory_order_relaxed);
    co_return;
}

Task middle(std::array<std::uint64_t, 12> values) {
    for (const std::uint64_t value : values) truth.sum.fetch_add(value, std::memory_order_relaxed);
    co_await std::suspend_always{};
}

Task large(std::array<std::uint64_t, 200> values) {
    co_await std::suspend_always{};
    truth.sum.fetch_add(values[3], std::memory_order_relaxed);
}

void* create(std::uint64_t choice) {
    switch (choice % 3) {
        case 0:
            return small(static_cast<int>(choice & 7)).release();
        case 1:
            return middle({choice}).release();
        default:
            return large({choice}).release();
    }
}

void work(std::uint64_t operations, std::uint64_t seed) {
    std::uint64_t state = seed * 2654435769 + 1;
    const auto next = [&state] {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return state;
    };
    std::vector<std::string> plain;
    for (std::uint64_t i = 0; i < operations; ++i) {
        auto& slot = truth.slots[next() % kSlots];
        std::uint64_t found = slot.load();
        if (found == 0) {
            void* frame = create(next());
            if (!slot.compare_exchange_strong(found, reinterpret_cast<std::uint64_t>(frame)))
                destroy_frame(frame);
        } else if ((found & kEnding) == 0 && slot.compare_exchange_strong(found, found | kEnding)) {
            destroy_frame(reinterpret_cast<void*>(found));
            slot.store(0);
        }
        if (i % 8 == 0) {
            if (plain.size() > 64) plain.clear();
            plain.emplace_back(20 + next() % 200, 'x');
        }
        truth.operations.fetch_add(1, std::memory_order_relaxed);
    }
}

}  // namespace

int main(int argc, char** argv) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const std::uint64_t operations = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1000;
    const std::uint64_t threads = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 4;
    for (std::uint64_t i = 0; i < 3; ++i) {
        void* frame = create(i);
        truth.destroy_functions[i] = static_cast<std::uint64_t*>(frame)[1];
        destroy_frame(frame);
    }
    std::printf("truth %p registry %p\n", static_cast<void*>(&truth),
                dlsym(RTLD_DEFAULT, "asyncdump_registry"));
    std::fflush(stdout);
    if (std::getchar() == EOF) return 0;

    std::vector<std::thread> workers;
    for (std::uint64_t i = 0; i < threads; ++i) workers.emplace_back(work, operations / threads, i + 1);
    for (auto& worker : workers) worker.join();
    std::printf("rest\n");
    std::fflush(stdout);
    while (std::getchar() != EOF) {
    }
    return 0;
}

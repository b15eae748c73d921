// What the agent costs its host.
//
//   agent_bench AGENT.so [--rounds N] [--only CASE] [--tcmalloc LIB] [--jemalloc LIB]
//
// starts itself again and again, alternately without and with the agent, and prints the medians in
// nanoseconds, the median of the differences, and what it should be at most. Time is the thread's processor
// time; what can be repeated is run in batches of which the fastest counts, so that a busy machine disturbs
// little. With --case NAME THREADS it is the measured program and prints one number.
#include <fcntl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <coroutine>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

// ---- the measured work ----

template <class T>
void keep(T* pointer) {
    asm volatile("" : : "r"(pointer) : "memory");
}

struct Task {
    struct promise_type {
        std::coroutine_handle<> awaiting = std::noop_coroutine();
        Task get_return_object() { return Task{std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_always initial_suspend() noexcept { return {}; }
        struct Final {
            bool await_ready() noexcept { return false; }
            std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> done) noexcept {
                return done.promise().awaiting;
            }
            void await_resume() noexcept {}
        };
        Final final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() { std::abort(); }
    };

    explicit Task(std::coroutine_handle<promise_type> task) : handle(task) {}
    Task(Task&& other) noexcept : handle(std::exchange(other.handle, nullptr)) {}
    Task& operator=(Task&& other) noexcept {
        std::swap(handle, other.handle);
        return *this;
    }
    ~Task() {
        if (handle) handle.destroy();
    }
    bool await_ready() noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) noexcept {
        handle.promise().awaiting = awaiting;
        return handle;
    }
    void await_resume() noexcept {}

    std::coroutine_handle<promise_type> handle;
};

std::uint64_t sum;

[[gnu::noinline]] Task leaf(std::uint64_t value) {
    sum += value;
    co_return;
}

[[gnu::noinline]] Task nested(std::uint64_t value) {
    co_await leaf(value);
}

[[gnu::noinline]] void create_and_destroy(std::uint64_t value) {
    Task task = leaf(value);
    keep(&task);
}

[[gnu::noinline]] void run_nested(std::uint64_t value) {
    Task task = nested(value);
    task.handle.resume();
}

/// Frames are deep in a program, so that stacks of eight entries have eight entries.
[[gnu::noinline]] void at_depth(int depth, const std::function<void()>& work) {
    if (depth == 0)
        work();
    else
        at_depth(depth - 1, work);
    asm volatile("");
}

double processor_nanoseconds() {
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

double nanoseconds_each(std::uint64_t count, const std::function<void()>& work) {
    const double begin = processor_nanoseconds();
    work();
    return (processor_nanoseconds() - begin) / static_cast<double>(count);
}

template <class Operation>
double repeat(std::uint64_t count, Operation operation) {
    constexpr int batches = 1000;
    double fastest = 1e9;
    at_depth(8, [&] {
        for (int batch = 0; batch < batches; ++batch)
            fastest = std::min(fastest, nanoseconds_each(count, [&] {
                                   for (std::uint64_t i = 0; i < count; ++i) operation(i);
                               }));
    });
    return fastest;
}

double plain_pair(std::size_t size) {
    return repeat(2000, [size](std::uint64_t) {
        void* block = operator new(size);
        keep(block);
        operator delete(block, size);
    });
}

double plain_sizes() {
    return repeat(2000, [](std::uint64_t i) {
        const std::size_t size = 16 + (i * 40503 >> 4) % 496;
        void* block = operator new(size);
        keep(block);
        operator delete(block, size);
    });
}

double malloc_pair() {
    return repeat(2000, [](std::uint64_t) {
        void* block = std::malloc(64);
        keep(block);
        std::free(block);
    });
}

double map_churn() {
    std::map<std::uint64_t, std::uint64_t> map;
    std::uint64_t state = 1;
    const auto next = [&state] {
        state = state * 6364136223846793005u + 1442695040888963407u;
        return (state >> 33) % 4096;
    };
    return repeat(500, [&](std::uint64_t i) {
        map[next()] = i;
        map.erase(next());
    });
}

double one_coroutine() {
    return repeat(2000, create_and_destroy);
}
double nested_coroutine() {
    return repeat(1000, run_nested);
}

constexpr std::size_t kMany = 1'000'000;

std::vector<std::uint32_t> random_order(std::size_t count) {
    std::vector<std::uint32_t> order(count);
    for (std::size_t i = 0; i < count; ++i) order[i] = static_cast<std::uint32_t>(i);
    std::shuffle(order.begin(), order.end(), std::mt19937(7));
    return order;
}

/// `warm`: the second time, in memory that was used before.
double many_create(bool warm) {
    std::vector<std::coroutine_handle<>> frames(kMany);
    const auto create = [&] {
        for (std::size_t i = 0; i < kMany; ++i) {
            Task task = leaf(i);
            frames[i] = std::exchange(task.handle, nullptr);
        }
    };
    if (warm) {
        create();
        void* top = std::malloc(64);  // keeps the heap from shrinking
        keep(top);
        for (auto& frame : frames) frame.destroy();
    }
    return nanoseconds_each(kMany, create);
}

double many_destroy() {
    std::vector<std::coroutine_handle<>> frames(kMany);
    for (std::size_t i = 0; i < kMany; ++i) {
        Task task = leaf(i);
        frames[i] = std::exchange(task.handle, nullptr);
    }
    const auto order = random_order(kMany);
    return nanoseconds_each(kMany, [&] {
        for (const std::uint32_t i : order) frames[i].destroy();
    });
}

/// Plain blocks between frames: new and delete at random places among 10^6 blocks.
double plain_among_frames(bool with_frames) {
    std::vector<std::coroutine_handle<>> frames(kMany);
    std::vector<void*> blocks(kMany);
    constexpr std::size_t size = 64;
    for (std::size_t i = 0; i < kMany; ++i) {
        if (with_frames) {
            Task task = leaf(i);
            frames[i] = std::exchange(task.handle, nullptr);
        }
        blocks[i] = operator new(size);
    }
    const auto order = random_order(kMany);
    const auto churn = [&] {
        for (const std::uint32_t i : order) {
            operator delete(blocks[i], size);
            blocks[i] = operator new(size);
        }
    };
    churn();
    return nanoseconds_each(kMany, churn);
}

/// Deletes 10^6 plain blocks that lie between frames in random order, then makes them again; per pair.
double plain_phases_among_frames() {
    std::vector<std::coroutine_handle<>> frames(kMany);
    std::vector<void*> blocks(kMany);
    constexpr std::size_t size = 64;
    for (std::size_t i = 0; i < kMany; ++i) {
        Task task = leaf(i);
        frames[i] = std::exchange(task.handle, nullptr);
        blocks[i] = operator new(size);
    }
    const auto order = random_order(kMany);
    return nanoseconds_each(kMany, [&] {
        for (const std::uint32_t i : order) operator delete(blocks[i], size);
        for (const std::uint32_t i : order) blocks[i] = operator new(size);
    });
}

/// The most that the agent should add, in nanoseconds; 0: nothing was aimed at.
struct Aim {
    double without_stacks = 0;
    double with_stacks = 0;
};

struct Case {
    const char* name;
    const char* title;
    bool is_hot;  // short, so that it is measured with two threads and other allocators, too
    Aim aim;
    std::function<double()> run;
};

const std::vector<Case>& cases() {
    static constexpr Aim plain_aim = {2, 2};
    static const std::vector<Case> all = {
        {"plain_16", "plain pair, 16 B", true, plain_aim, [] { return plain_pair(16); }},
        {"plain_64", "plain pair, 64 B", true, plain_aim, [] { return plain_pair(64); }},
        {"plain_512", "plain pair, 512 B", true, plain_aim, [] { return plain_pair(512); }},
        {"plain_sizes", "plain pair, 16 to 512 B mixed", true, plain_aim, plain_sizes},
        {"malloc", "malloc and free, 64 B", true, {}, malloc_pair},
        {"map", "map churn (insert and erase)", true, {}, map_churn},
        {"coroutine", "one coroutine created and destroyed", true, {10, 30}, one_coroutine},
        {"nested", "nested await, 2 frames", true, {20, 60}, nested_coroutine},
        {"million_first", "10^6 live: create, fresh memory", false, {}, [] { return many_create(false); }},
        {"million_create", "10^6 live: create, used memory", false, {}, [] { return many_create(true); }},
        {"million_destroy", "10^6 live: destroy, random order", false, {}, many_destroy},
        {"random_alone",
         "plain pair, random order, no frames",
         false,
         {},
         [] { return plain_among_frames(false); }},
        {"random_shared",
         "plain pair, random order, among frames",
         false,
         {10, 10},
         [] { return plain_among_frames(true); }},
        {"random_phases",
         "10^6 plain deleted, then made, among frames",
         false,
         {},
         plain_phases_among_frames},
    };
    return all;
}

double run_case(const Case& selected, int threads) {
    if (threads == 1) return selected.run();
    std::vector<double> results(static_cast<std::size_t>(threads));
    std::vector<std::thread> workers;
    for (auto& result : results) workers.emplace_back([&result, &selected] { result = selected.run(); });
    for (auto& worker : workers) worker.join();
    double total = 0;
    for (const double result : results) total += result;
    return total / threads;
}

// ---- the comparison ----

struct Variant {
    const char* title;
    std::string base_preload;
    std::string agent_preload;
    const char* agent_options;
    bool has_stacks;
    bool is_foreign;  // another allocator than the C library's
};

double measure(const Case& selected, int threads, const std::string& preload, const char* options) {
    int ends[2];
    if (pipe(ends) != 0) std::abort();
    const pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 1);
        close(ends[0]);
        setenv("ASYNCDUMP_AGENT", options, 1);
        if (!preload.empty()) setenv("LD_PRELOAD", preload.c_str(), 1);
        const std::string count = std::to_string(threads);
        execl("/proc/self/exe", "agent_bench", "--case", selected.name, count.c_str(), nullptr);
        _exit(127);
    }
    close(ends[1]);
    char text[64] = {};
    std::size_t length = 0;
    while (length < sizeof text - 1) {
        const ssize_t got = read(ends[0], text + length, sizeof text - 1 - length);
        if (got <= 0) break;
        length += static_cast<std::size_t>(got);
    }
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    if (status != 0) {
        std::fprintf(stderr, "%s failed with status %d (LD_PRELOAD=%s)\n", selected.name, status,
                     preload.c_str());
        std::exit(1);
    }
    return std::atof(text);
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const std::size_t middle = values.size() / 2;
    return values.size() % 2 != 0 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

void compare(const Case& selected, int threads, const Variant& variant, int rounds) {
    std::vector<double> base;
    std::vector<double> difference;
    for (int round = 0; round < rounds; ++round) {
        double without = 0;
        double with = 0;
        for (int side = 0; side < 2; ++side) {
            if ((side + round) % 2 == 0)
                without = measure(selected, threads, variant.base_preload, "");
            else
                with = measure(selected, threads, variant.agent_preload, variant.agent_options);
        }
        base.push_back(without);
        difference.push_back(with - without);
    }
    const double median_base = median(base);
    const double median_difference = median(difference);
    const double aim = variant.has_stacks ? selected.aim.with_stacks : selected.aim.without_stacks;
    char aimed_at[16] = "";
    if (aim != 0 && !variant.is_foreign) std::snprintf(aimed_at, sizeof aimed_at, "+%.0f", aim);
    std::printf("| %s | %d | %s | %.1f | %+.1f | %s | %.2f |\n", selected.title, threads, variant.title,
                median_base, median_difference, aimed_at, (median_base + median_difference) / median_base);
    std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 4 && std::strcmp(argv[1], "--case") == 0) {
        for (const Case& candidate : cases())
            if (std::strcmp(candidate.name, argv[2]) == 0) {
                std::printf("%f\n", run_case(candidate, std::atoi(argv[3])));
                return 0;
            }
        return 2;
    }
    if (argc < 2) {
        std::fprintf(
            stderr,
            "usage: agent_bench AGENT.so [--rounds N] [--only CASE] [--tcmalloc LIB] [--jemalloc LIB]\n");
        return 64;
    }
    const std::string agent = argv[1];
    int rounds = 7;
    std::string only;
    std::vector<Variant> variants = {{"stack=0", "", agent, "stack=0", false, false},
                                     {"stack=8", "", agent, "stack=8", true, false}};
    for (int i = 2; i + 1 < argc; i += 2) {
        const std::string option = argv[i];
        if (option == "--rounds") rounds = std::atoi(argv[i + 1]);
        if (option == "--only") only = argv[i + 1];
        if (option == "--tcmalloc" && *argv[i + 1] != 0)
            variants.push_back(
                {"tcmalloc, stack=0", argv[i + 1], agent + ":" + argv[i + 1], "stack=0", false, true});
        if (option == "--jemalloc" && *argv[i + 1] != 0)
            variants.push_back(
                {"jemalloc, stack=0", argv[i + 1], agent + ":" + argv[i + 1], "stack=0", false, true});
    }
    std::printf(
        "| case | threads | agent | base ns | difference ns | at most | ratio |\n"
        "|---|---|---|---|---|---|---|\n");
    for (const Variant& variant : variants)
        for (const Case& selected : cases()) {
            if (!only.empty() && only != selected.name) continue;
            if (variant.is_foreign && !selected.is_hot) continue;
            compare(selected, 1, variant, rounds);
            if (selected.is_hot) compare(selected, 2, variant, rounds);
        }
}

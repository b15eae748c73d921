// What the dumps of the benchmark look at: a process at rest with so many suspended coroutines, so much heap,
// so many threads.
//
//   bench_target COROUTINES HEAP_MIB THREADS DEPTH
//
// DEPTH calls of a function stand on the stack of each thread. Prints READY when everything stands; ends when
// its input does.
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <coroutine>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <latch>
#include <thread>
#include <utility>
#include <vector>

namespace {

constexpr std::size_t chain_length = 5;

class Task {
  public:
    struct promise_type {
        std::coroutine_handle<> continuation;
        Task get_return_object() { return Task(std::coroutine_handle<promise_type>::from_promise(*this)); }
        std::suspend_always initial_suspend() noexcept { return {}; }
        auto final_suspend() noexcept {
            struct Continue {
                bool await_ready() noexcept { return false; }
                std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> done) noexcept {
                    return done.promise().continuation;
                }
                void await_resume() noexcept {}
            };
            return Continue{};
        }
        void return_void() {}
        void unhandled_exception() { std::abort(); }
    };

    explicit Task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
    Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    Task& operator=(Task&&) = delete;
    ~Task() {
        if (handle_) handle_.destroy();
    }

    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> continuation) noexcept {
        handle_.promise().continuation = continuation;
        return handle_;
    }
    void await_resume() const noexcept {}

    void start() {
        handle_.promise().continuation = std::noop_coroutine();
        handle_.resume();
    }

  private:
    std::coroutine_handle<promise_type> handle_;
};

/// Keeps its waiters for ever, as an event loop keeps the sessions of idle clients.
struct Event {
    std::vector<std::coroutine_handle<>> waiters;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiter) { waiters.push_back(waiter); }
    void await_resume() const noexcept {}
};

Task read_socket(Event& event) {
    co_await event;
}
Task read_message(Event& event) {
    co_await read_socket(event);
}
Task handle_request(Event& event) {
    co_await read_message(event);
}
Task serve_client(Event& event) {
    co_await handle_request(event);
}
Task session(Event& event) {
    co_await serve_client(event);
}

Task chain(Event& event, std::size_t length) {
    switch (length) {
        case 1:
            return read_socket(event);
        case 2:
            return read_message(event);
        case 3:
            return handle_request(event);
        case 4:
            return serve_client(event);
        default:
            return session(event);
    }
}

/// A heap that is full of data without structure: nothing in it can be skipped, by the kernel or by the
/// reader.
std::vector<std::uint64_t> fill_heap(std::size_t mebibytes) {
    std::vector<std::uint64_t> words(mebibytes * (1 << 20) / sizeof(std::uint64_t));
    std::uint64_t state = 88172645463325252;
    for (std::uint64_t& word : words) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word = state;
    }
    return words;
}

[[noreturn]] void wait_for_end_of_input() {
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) continue;
    _exit(0);
}

/// The result depends on those of the deeper calls, so that each keeps its frame.
[[gnu::noinline]] int dive(int depth, std::latch& standing, bool announces) {
    volatile int here = depth;
    if (depth > 1) {
        here = here + dive(depth - 1, standing, announces);
    } else {
        standing.count_down();
        if (announces) {
            standing.wait();
            std::puts("READY");
            std::fflush(stdout);
        }
        volatile bool ends = true;
        if (ends) wait_for_end_of_input();
    }
    return here;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 5) {
        std::fprintf(stderr, "usage: bench_target COROUTINES HEAP_MIB THREADS DEPTH\n");
        return 64;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const auto number = [&](int index) { return std::strtoull(argv[index], nullptr, 10); };

    Event event;
    std::vector<Task> tasks;
    for (std::size_t left = number(1); left > 0;) {
        const std::size_t length = std::min(left, chain_length);
        tasks.push_back(chain(event, length));
        tasks.back().start();
        left -= length;
    }
    const std::vector<std::uint64_t> heap = fill_heap(number(2));

    const std::ptrdiff_t thread_count = std::strtol(argv[3], nullptr, 10);
    const int depth = std::atoi(argv[4]);
    std::latch standing(thread_count);
    std::vector<std::thread> threads;  // with the main thread as the last
    for (std::ptrdiff_t i = 1; i < thread_count; ++i) {
        threads.emplace_back([&] { std::exit(dive(depth, standing, false)); });
    }
    return dive(depth, standing, true) + static_cast<int>(heap.size());
}

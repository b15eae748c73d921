// Many coroutines that one container joins with another one: thousands of requests wait for one result, one
// coroutine waits for thousands. The first argument says how, the second how many.
#include <array>
#include <cstdlib>
#include <deque>
#include <list>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "task_library.h"
#include "truth.h"

namespace {

std::vector<std::coroutine_handle<>> never_resumed;

struct Never {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiting) const { never_resumed.push_back(waiting); }
    void await_resume() const noexcept {}
};

// ---- many wait for one: its promise remembers them in a container

template <typename Container>
struct Shared {
    struct promise_type {
        Container waiting;
        Shared get_return_object() {
            return Shared(std::coroutine_handle<promise_type>::from_promise(*this));
        }
        std::suspend_never initial_suspend() const noexcept { return {}; }
        struct ResumeAll {
            bool await_ready() const noexcept { return false; }
            void await_suspend(std::coroutine_handle<promise_type> done) const noexcept {
                for (auto handle : done.promise().waiting) tasks::loop.post(handle);
            }
            void await_resume() const noexcept {}
        };
        ResumeAll final_suspend() const noexcept { return {}; }
        void return_void() const noexcept {}
        void unhandled_exception() const noexcept { std::abort(); }
    };
    struct Awaiter {
        std::coroutine_handle<promise_type> shared;
        bool await_ready() const noexcept { return shared.done(); }
        void await_suspend(std::coroutine_handle<> waiting) const {
            shared.promise().waiting.push_back(waiting);
        }
        void await_resume() const noexcept {}
    };
    Awaiter operator co_await() const noexcept { return {handle}; }

    explicit Shared(std::coroutine_handle<promise_type> made) : handle(made) {}
    std::coroutine_handle<promise_type> handle;
};

template <typename Container>
Shared<Container> refresh_cache(int id) {
    co_await Never{};  // @refresh_cache
    std::printf("%d\n", id);
}

template <typename Container>
tasks::Task request(Shared<Container>& shared, int id) {
    co_await shared;  // @request
    co_return id;
}

template <typename Container>
void many_wait_for_one(int count) {
    auto& shared = *new Shared<Container>(refresh_cache<Container>(1));
    auto& requests = *new std::vector<tasks::Task>;
    for (int id = 0; id < count; ++id) {
        requests.push_back(request(shared, id));
        requests.back().handle().resume();
    }
    std::printf("chains %d request@request > refresh_cache@refresh_cache\n", count);
    std::printf("count %d\nedges %d\n", count + 1, count);
}

// ---- many wait for a state on the heap that one has promised to fill

struct State {
    std::vector<std::coroutine_handle<>> waiting;
    int value = 0;
};

struct Promised {
    struct promise_type {
        std::shared_ptr<State> state = std::make_shared<State>();
        Promised get_return_object() { return {state}; }
        std::suspend_never initial_suspend() const noexcept { return {}; }
        std::suspend_never final_suspend() const noexcept { return {}; }
        void return_value(int value) {
            state->value = value;
            for (auto handle : state->waiting) tasks::loop.post(handle);
        }
        void unhandled_exception() const noexcept { std::abort(); }
    };
    struct Awaiter {
        std::shared_ptr<State> state;
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<> waiting) const { state->waiting.push_back(waiting); }
        int await_resume() const noexcept { return state->value; }
    };
    Awaiter operator co_await() const { return {state}; }
    std::shared_ptr<State> state;
};

Promised load_configuration(int id) {
    co_await Never{};  // @load_configuration
    co_return id;
}

tasks::Task reader(const Promised& promised) {
    co_return co_await promised;  // @reader
}

void many_wait_for_a_state(int count) {
    auto& promised = *new Promised(load_configuration(1));
    auto& readers = *new std::vector<tasks::Task>;
    for (int id = 0; id < count; ++id) {
        readers.push_back(reader(promised));
        readers.back().handle().resume();
    }
    std::printf("chains %d reader@reader > load_configuration@load_configuration\n", count);
    std::printf("count %d\nedges %d\n", count + 1, count);
}

// ---- one waits for many

tasks::Task part(int id) {
    co_await Never{};  // @part
    co_return id;
}

/// Each part's promise has its parent's handle; the parent has them in a vector.
struct Gather {
    std::vector<tasks::Task>& parts;
    bool await_ready() const noexcept { return parts.empty(); }
    void await_suspend(std::coroutine_handle<> waiting) const {
        for (auto& each : parts) {
            each.handle().promise().set_continuation(waiting);
            each.handle().resume();
        }
    }
    int await_resume() const noexcept { return parts.front().handle().promise().value; }
};

tasks::Task gather(int count) {
    std::vector<tasks::Task> parts;
    for (int id = 0; id < count; ++id) parts.push_back(part(id));
    co_return co_await Gather{parts};  // @gather
}

struct GatherSpan {
    std::span<tasks::Task> parts;
    bool await_ready() const noexcept { return parts.empty(); }
    void await_suspend(std::coroutine_handle<> waiting) const {
        for (auto& each : parts) {
            each.handle().promise().set_continuation(waiting);
            each.handle().resume();
        }
    }
    int await_resume() const noexcept { return parts.front().handle().promise().value; }
};

tasks::Task gather_span(int count) {
    std::vector<tasks::Task> parts;
    for (int id = 0; id < count; ++id) parts.push_back(part(id));
    co_return co_await GatherSpan{parts};  // @gather_span
}

/// They lie in the frame itself.
template <int count>
tasks::Task gather_array(int) {
    std::array<tasks::Task, count> parts;
    for (int id = 0; id < count; ++id) parts[static_cast<std::size_t>(id)] = part(id);
    co_return co_await GatherSpan{parts};  // @gather_array
}

/// Each leg knows a counter that they share.
struct Counter {
    std::size_t left = 0;
    std::coroutine_handle<> waiting;
};

struct Leg {
    struct promise_type {
        std::shared_ptr<Counter> counter;
        Leg get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_always initial_suspend() const noexcept { return {}; }
        std::suspend_never final_suspend() const noexcept { return {}; }
        void return_void() const {
            if (--counter->left == 0) tasks::loop.post(counter->waiting);
        }
        void unhandled_exception() const noexcept { std::abort(); }
    };
    std::coroutine_handle<promise_type> handle;
};

Leg leg(int id) {
    co_await Never{};  // @leg
    std::printf("%d\n", id);
}

struct Join {
    std::vector<Leg> legs;
    bool await_ready() const noexcept { return legs.empty(); }
    void await_suspend(std::coroutine_handle<> waiting) const {
        auto counter = std::make_shared<Counter>(Counter{legs.size(), waiting});
        for (const Leg& each : legs) {
            each.handle.promise().counter = counter;
            each.handle.resume();
        }
    }
    void await_resume() const noexcept {}
};

tasks::Task join(int count) {
    std::vector<Leg> legs;
    for (int id = 0; id < count; ++id) legs.push_back(leg(id));
    co_await Join{std::move(legs)};  // @join
    co_return count;
}

/// Many such states side by side: each is known by the legs' parameters alone.
tasks::Detached half(std::shared_ptr<Counter> counter, int id) {
    co_await Never{};  // @half
    std::printf("%d\n", id);
    if (--counter->left == 0) tasks::loop.post(counter->waiting);
}

struct Halves {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiting) const {
        auto counter = std::make_shared<Counter>(Counter{2, waiting});
        half(counter, 1);
        half(counter, 2);
    }
    void await_resume() const noexcept {}
};

tasks::Task pair(int id) {
    co_await Halves{};  // @pair
    co_return id;
}

void pairs(int count) {
    auto& all = *new std::vector<tasks::Task>;
    for (int id = 0; id < count; ++id) {
        all.push_back(pair(id));
        all.back().handle().resume();
    }
    std::printf("chains %d pair@pair > half@half\n", 2 * count);
    std::printf("count %d\nedges %d\n", 3 * count, 2 * count);
}

void one_waits_for_many(tasks::Task (*all)(int), const char* name, const char* each, int count) {
    auto& task = *new tasks::Task(all(count));
    task.handle().resume();
    std::printf("chains %d %s@%s > %s@%s\n", count, name, name, each, each);
    std::printf("count %d\nedges %d\n", count + 1, count);
}

}  // namespace

int main(int arguments, char** argument) {
    const std::string_view way = arguments > 1 ? argument[1] : "vector";
    const int count = arguments > 2 ? std::atoi(argument[2]) : 1000;
    TRUTH_BEGIN();
    if (way == "vector") many_wait_for_one<std::vector<std::coroutine_handle<>>>(count);
    if (way == "deque") many_wait_for_one<std::deque<std::coroutine_handle<>>>(count);
    if (way == "list") many_wait_for_one<std::list<std::coroutine_handle<>>>(count);
    if (way == "state") many_wait_for_a_state(count);
    if (way == "gather") one_waits_for_many(gather, "gather", "part", count);
    if (way == "pairs") pairs(count);
    if (way == "span") one_waits_for_many(gather_span, "gather_span", "part", count);
    if (way == "array") one_waits_for_many(gather_array<1000>, "gather_array", "part", 1000);
    if (way == "few_in_array") one_waits_for_many(gather_array<4>, "gather_array", "part", 4);
    if (way == "join") one_waits_for_many(join, "join", "leg", count);
    truth::ready();
    truth::block();
}

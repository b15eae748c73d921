// A library that tells nothing by its types: the caller is an integer, the awaiter is called Thing. What a
// user says of it in a configuration file makes the difference.
#include <coroutine>
#include <cstdint>
#include <cstdio>
#include <exception>

#include "truth.h"

namespace lib {

struct Job {
    struct promise_type {
        std::uintptr_t owner = 0;
        Job get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() { std::terminate(); }
    };
    std::coroutine_handle<promise_type> handle;
};

struct Thing {
    std::coroutine_handle<>* place;
    bool await_ready() const noexcept { return false; }
    [[gnu::noinline]] void await_suspend(std::coroutine_handle<> handle) const noexcept { *place = handle; }
    void await_resume() const noexcept {}
};

inline std::coroutine_handle<> waiting[3];

namespace detail {
Job helper() {
    co_await Thing{&waiting[0]};
}
}  // namespace detail

}  // namespace lib

lib::Job worker() {
    co_await lib::Thing{&lib::waiting[1]};
    co_await lib::Thing{&lib::waiting[1]};
}

lib::Job owner() {
    co_await lib::Thing{&lib::waiting[2]};
}

int main() {
    TRUTH_BEGIN();
    static lib::Job jobs[] = {lib::detail::helper(), worker(), owner()};
    jobs[1].handle.promise().owner = reinterpret_cast<std::uintptr_t>(jobs[2].handle.address());
    lib::waiting[1].resume();
    truth::show(jobs);
    truth::ready();
    truth::block();
}

// A coroutine type for the agent's targets: lazily started, awaits others of its kind.
#pragma once

#include <coroutine>
#include <cstdlib>
#include <utility>

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

    /// The frame is the caller's from now on.
    void* release() { return std::exchange(handle, nullptr).address(); }

    std::coroutine_handle<promise_type> handle;
};

inline void destroy_frame(void* frame) {
    std::coroutine_handle<>::from_address(frame).destroy();
}

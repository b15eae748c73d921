// What coroutines wait for besides tasks: fan-out, primitives, generators. As in task_library.h, the shapes
// are chosen to mislead whoever takes every pointer between two frames for an await.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "task_library.h"

namespace tasks {

/// For the truth: the marks of this file.
inline constexpr const char* async_primitives_source = __FILE__;

// Fan-out: between the legs and the awaiting coroutine lies a counter on the heap.

struct JoinState {
    std::size_t remaining = 0;
    std::coroutine_handle<> parent;
};

inline Detached join_leg(Task task, std::shared_ptr<JoinState> state) {
    co_await task;  // @join_leg
    if (--state->remaining == 0) loop.post(state->parent);
}

class Join {
  public:
    /// Goes on when `needed` of the tasks are done: all of them for when_all, one for when_any.
    Join(std::vector<Task> all, std::size_t needed) : tasks_(std::move(all)), needed_(needed) {}
    bool await_ready() const noexcept { return tasks_.empty(); }
    void await_suspend(std::coroutine_handle<> parent) {
        auto state = std::make_shared<JoinState>(JoinState{needed_, parent});
        for (auto& task : tasks_) join_leg(std::move(task), state);
    }
    void await_resume() const noexcept {}

  private:
    std::vector<Task> tasks_;
    std::size_t needed_;
};

inline Join when_all(std::vector<Task> all) {
    const auto count = all.size();
    return Join(std::move(all), count);
}
inline Join when_any(std::vector<Task> all) {
    return Join(std::move(all), 1);
}

// Primitives. Who waits here waits for no particular coroutine.

class Event {
  public:
    struct Awaiter {
        Event& event;
        std::coroutine_handle<> waiting = {};
        Awaiter* next = nullptr;
        ~Awaiter() {
            for (auto** link = &event.first_; *link != nullptr; link = &(*link)->next) {
                if (*link != this) continue;
                *link = next;
                return;
            }
        }
        bool await_ready() const noexcept { return event.set_; }
        void await_suspend(std::coroutine_handle<> coroutine) noexcept {
            waiting = coroutine;
            next = event.first_;
            event.first_ = this;
        }
        void await_resume() const noexcept {}
    };
    Awaiter operator co_await() noexcept { return Awaiter{*this}; }
    void set() {
        set_ = true;
        for (auto* waiter = std::exchange(first_, nullptr); waiter != nullptr;) {
            auto* next = waiter->next;
            loop.post(waiter->waiting);
            waiter = next;
        }
    }

  private:
    Awaiter* first_ = nullptr;  ///< a list through the frames of those who wait
    bool set_ = false;
};

class Mutex {
  public:
    struct Awaiter {
        Mutex& mutex;
        bool await_ready() const noexcept { return !std::exchange(mutex.locked_, true); }
        void await_suspend(std::coroutine_handle<> coroutine) { mutex.waiters_.push_back(coroutine); }
        void await_resume() const noexcept {}
    };
    Awaiter lock() noexcept { return Awaiter{*this}; }
    void unlock() {
        if (waiters_.empty()) {
            locked_ = false;
            return;
        }
        loop.post(waiters_.front());
        waiters_.pop_front();
    }

  private:
    bool locked_ = false;
    std::deque<std::coroutine_handle<>> waiters_;
};

class Semaphore {
  public:
    explicit Semaphore(int permits) : permits_(permits) {}
    struct Awaiter {
        Semaphore& semaphore;
        bool await_ready() const noexcept { return semaphore.permits_ > 0 && semaphore.permits_-- > 0; }
        void await_suspend(std::coroutine_handle<> coroutine) { semaphore.waiters_.push_back(coroutine); }
        void await_resume() const noexcept {}
    };
    Awaiter acquire() noexcept { return Awaiter{*this}; }

  private:
    int permits_;
    std::vector<std::coroutine_handle<>> waiters_;
};

// Generators.

template <typename T>
class Generator {
  public:
    struct promise_type {
        const T* current = nullptr;
        Generator get_return_object() {
            return Generator(std::coroutine_handle<promise_type>::from_promise(*this));
        }
        std::suspend_always initial_suspend() const noexcept { return {}; }
        std::suspend_always final_suspend() const noexcept { return {}; }
        std::suspend_always yield_value(const T& value) noexcept {
            current = &value;
            return {};
        }
        void return_void() const noexcept {}
        void unhandled_exception() const noexcept { std::abort(); }
    };
    explicit Generator(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
    Generator(Generator&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
    Generator& operator=(Generator&&) = delete;
    ~Generator() {
        if (handle_) handle_.destroy();
    }
    bool next() {
        handle_.resume();
        return !handle_.done();
    }
    const T& value() const { return *handle_.promise().current; }

  private:
    std::coroutine_handle<promise_type> handle_;
};

/// After a value was handed over, the promise still remembers who asked for it, and the asking frame still
/// holds the generator: only the co_yield tells that nobody awaits anybody.
template <typename T>
class AsyncGenerator {
  public:
    struct promise_type {
        std::coroutine_handle<> consumer;
        std::optional<T> current;
        struct TransferToConsumer {
            bool await_ready() const noexcept { return false; }
            std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> self) const noexcept {
                return self.promise().consumer;
            }
            void await_resume() const noexcept {}
        };
        AsyncGenerator get_return_object() {
            return AsyncGenerator(std::coroutine_handle<promise_type>::from_promise(*this));
        }
        std::suspend_always initial_suspend() const noexcept { return {}; }
        TransferToConsumer final_suspend() noexcept {
            current.reset();
            return {};
        }
        TransferToConsumer yield_value(T value) noexcept {
            current = value;
            return {};
        }
        void return_void() const noexcept {}
        void unhandled_exception() const noexcept { std::abort(); }
    };
    explicit AsyncGenerator(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
    AsyncGenerator(AsyncGenerator&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
    AsyncGenerator& operator=(AsyncGenerator&&) = delete;
    ~AsyncGenerator() {
        if (handle_) handle_.destroy();
    }
    struct Next {
        std::coroutine_handle<promise_type> generator;
        bool await_ready() const noexcept { return false; }
        std::coroutine_handle<> await_suspend(std::coroutine_handle<> asking) noexcept {
            generator.promise().consumer = asking;
            return generator;
        }
        std::optional<T> await_resume() const noexcept { return generator.promise().current; }
    };
    Next next() noexcept { return Next{handle_}; }

  private:
    std::coroutine_handle<promise_type> handle_;
};

}  // namespace tasks

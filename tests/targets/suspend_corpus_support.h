// What the coroutines of suspend_corpus.cpp are made of: coroutine types, awaiters of many kinds, and the
// recorder that prints each suspended frame together with its true suspend point. The awaiters differ in what
// the optimiser can do with them (inlined, outlined, empty, branching), because that decides which traces a
// suspend point leaves in the machine code.
#pragma once

#include <coroutine>
#include <cstddef>
#include <variant>

namespace corpus {

enum class Kind { initial, await, yield, final };

/// The next suspension belongs to this line. Opaque to the optimiser.
[[gnu::noinline]] void mark(int line);
[[gnu::noinline]] void mark_yield(int line);
[[gnu::noinline]] int opaque(int value);
[[gnu::noinline]] void work(int value);
/// Prints the frame, its bytes and the truth. Reads beyond variables of the stack where a frame lies in them.
[[gnu::noinline]] __attribute__((no_sanitize("address"))) void record(const char* name, void* frame, int line,
                                                                      Kind kind);
[[gnu::noinline]] void park(void* frame);

// --- awaiters ---

/// Everything inlines; await_resume leaves a value.
struct Wait {
    int line;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) const noexcept {
        mark(line);
        park(handle.address());
    }
    int await_resume() const noexcept { return line; }
};
inline Wait at(int line) {
    return Wait{line};
}

/// As std::suspend_always, but says where.
struct Pause {
    explicit Pause(int line) { mark(line); }
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<>) const noexcept {}
    void await_resume() const noexcept {}
};

struct Outlined {
    int line;
    [[gnu::noinline]] bool await_ready() const noexcept { return opaque(0) != 0; }
    [[gnu::noinline]] void await_suspend(std::coroutine_handle<> handle) const noexcept {
        mark(line);
        park(handle.address());
    }
    [[gnu::noinline]] int await_resume() const noexcept { return opaque(line); }
};

/// May turn out not to suspend.
struct Conditional {
    int line;
    bool suspends;
    bool await_ready() const noexcept { return opaque(0) != 0; }
    bool await_suspend(std::coroutine_handle<> handle) const noexcept {
        if (!suspends) return false;
        mark(line);
        park(handle.address());
        return true;
    }
    bool await_resume() const noexcept { return line != 0; }
};

/// Gives the control to another coroutine (here: to none).
struct Transfer {
    int line;
    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> handle) const noexcept {
        mark(line);
        park(handle.address());
        return std::noop_coroutine();
    }
    void await_resume() const noexcept {}
};

/// Has a destructor that must run after resumption, and a result that may throw.
struct Guarded {
    int line;
    bool fails = false;
    explicit Guarded(int l, bool f = false) : line(l), fails(f) {}
    Guarded(const Guarded&) = delete;
    ~Guarded() { work(line); }
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) const {
        mark(line);
        park(handle.address());
    }
    int await_resume() const {
        if (fails) throw line;
        return line;
    }
};

template <class T>
struct Event {
    T value{};
    void* waiter = nullptr;
    bool ready = false;
    bool await_ready() const noexcept { return ready; }
    void await_suspend(std::coroutine_handle<> handle) noexcept { waiter = handle.address(); }
    T& await_resume() noexcept { return value; }
};

/// operator co_await as a member and as a free function.
struct Member {
    int line;
    Wait operator co_await() const noexcept { return Wait{line}; }
};
struct Free {
    int line;
};
inline Wait operator co_await(const Free& free) noexcept {
    return Wait{free.line};
}

/// For promises with await_transform.
struct Ticks {
    int line;
};

/// What a child is awaited by when the compiler sees neither who it is nor what it does.
struct Joined {
    Event<int>* event;
    bool await_ready() const noexcept { return event->ready; }
    [[gnu::noinline]] void await_suspend(std::coroutine_handle<> handle) noexcept {
        event->waiter = handle.address();
        opaque(1);
    }
    int await_resume() const noexcept { return event->value; }
};

/// Has a destructor.
struct Text {
    int length = 1;
    Text() = default;
    Text(const Text&) = default;
    ~Text() { work(length); }
};

// --- coroutine types ---

template <class Promise>
struct Owner {
    using promise_type = Promise;
    std::coroutine_handle<Promise> handle;
    explicit Owner(std::coroutine_handle<Promise> h) : handle(h) {}
    Owner(Owner&& other) noexcept : handle(other.handle) { other.handle = nullptr; }
    Owner(const Owner&) = delete;
    ~Owner() {
        if (handle) handle.destroy();
    }
};

struct PromiseBase {
    void unhandled_exception() noexcept {}
    void return_void() noexcept {}
};

struct LazyPromise : PromiseBase {
    Owner<LazyPromise> get_return_object() {
        return Owner<LazyPromise>(std::coroutine_handle<LazyPromise>::from_promise(*this));
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
};
using Lazy = Owner<LazyPromise>;

struct EagerPromise : PromiseBase {
    Owner<EagerPromise> get_return_object() {
        return Owner<EagerPromise>(std::coroutine_handle<EagerPromise>::from_promise(*this));
    }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
};
using Eager = Owner<EagerPromise>;

/// Neither an initial nor a final suspension: with one co_await, clang needs no index. Frees itself.
struct Detached {
    struct promise_type : PromiseBase {
        Detached get_return_object() noexcept { return {}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
    };
};

/// A task as libraries write it: continuation in the promise, symmetric transfer at the end.
template <class T>
struct TaskPromise {
    std::coroutine_handle<> continuation = std::noop_coroutine();
    T value{};
    struct Final {
        bool await_ready() noexcept { return false; }
        std::coroutine_handle<> await_suspend(std::coroutine_handle<TaskPromise> handle) noexcept {
            return handle.promise().continuation;
        }
        void await_resume() noexcept {}
    };
    Owner<TaskPromise> get_return_object() {
        return Owner<TaskPromise>(std::coroutine_handle<TaskPromise>::from_promise(*this));
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    Final final_suspend() noexcept { return {}; }
    void unhandled_exception() noexcept {}
    void return_value(T v) noexcept { value = v; }
};
template <class T>
using Task = Owner<TaskPromise<T>>;

template <class T>
struct TaskAwaiter {
    std::coroutine_handle<TaskPromise<T>> child;
    bool await_ready() noexcept { return child.done(); }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> parent) noexcept {
        child.promise().continuation = parent;
        return child;
    }
    T await_resume() { return child.promise().value; }
};
template <class T>
TaskAwaiter<T> operator co_await(Owner<TaskPromise<T>>&& task) noexcept {
    return {task.handle};
}

/// Every co_await goes through await_transform.
struct TransformingPromise : PromiseBase {
    Owner<TransformingPromise> get_return_object() {
        return Owner<TransformingPromise>(std::coroutine_handle<TransformingPromise>::from_promise(*this));
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    Wait await_transform(Ticks ticks) noexcept { return Wait{ticks.line}; }
    template <class Awaitable>
    Awaitable&& await_transform(Awaitable&& awaitable) noexcept {
        return static_cast<Awaitable&&>(awaitable);
    }
};
using Transforming = Owner<TransformingPromise>;

template <class T>
struct GeneratorPromise : PromiseBase {
    T value{};
    Owner<GeneratorPromise> get_return_object() {
        return Owner<GeneratorPromise>(std::coroutine_handle<GeneratorPromise>::from_promise(*this));
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    std::suspend_always yield_value(T v) noexcept {
        value = v;
        return {};
    }
};

template <class T>
struct Generator : Owner<GeneratorPromise<T>> {
    using Owner<GeneratorPromise<T>>::Owner;
    Generator(Owner<GeneratorPromise<T>>&& owner)
        : Owner<GeneratorPromise<T>>(static_cast<Owner<GeneratorPromise<T>>&&>(owner)) {}
    struct Iterator {
        std::coroutine_handle<GeneratorPromise<T>> handle;
        void operator++() { handle.resume(); }
        T operator*() const { return handle.promise().value; }
        bool operator!=(std::nullptr_t) const { return !handle.done(); }
    };
    Iterator begin() {
        this->handle.resume();
        return {this->handle};
    }
    std::nullptr_t end() { return nullptr; }
};

/// A bool and a result in the promise, as libraries keep them: the promise's constructor and co_return store
/// constants there, who is resumed and who is destroyed tests them. Initial: how initial_suspend() waits.
template <class Initial, class Final = std::suspend_always>
struct StatefulPromise {
    bool is_cancelled = false;
    std::variant<std::monostate, int, Text> result;

    struct CancellableWait {
        StatefulPromise& promise;
        int line;
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<> handle) const noexcept {
            mark(line);
            park(handle.address());
        }
        void await_resume() const noexcept {
            if (promise.is_cancelled) work(line);
            promise.is_cancelled = true;
        }
    };
    Owner<StatefulPromise> get_return_object() {
        return Owner<StatefulPromise>(std::coroutine_handle<StatefulPromise>::from_promise(*this));
    }
    Initial initial_suspend() noexcept { return {}; }
    Final final_suspend() noexcept { return {}; }
    void unhandled_exception() noexcept { result = Text{}; }
    void return_value(int value) noexcept { result = value; }
    CancellableWait await_transform(Ticks ticks) noexcept { return {*this, ticks.line}; }
    template <class Awaitable>
    Awaitable&& await_transform(Awaitable&& awaitable) noexcept {
        return static_cast<Awaitable&&>(awaitable);
    }
};
/// Suspends or not: no type of the standard library says which.
struct StartsLater {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<>) const noexcept {}
    void await_resume() const noexcept {}
};
struct StartsNow {
    bool await_ready() const noexcept { return true; }
    void await_suspend(std::coroutine_handle<>) const noexcept {}
    void await_resume() const noexcept {}
};
using Stateful = Owner<StatefulPromise<std::suspend_never>>;
using StatefulLater = Owner<StatefulPromise<StartsLater>>;
using StatefulNow = Owner<StatefulPromise<StartsNow>>;

/// An over-aligned promise: the frame's fields move.
struct alignas(64) AlignedPromise : PromiseBase {
    char data[64]{};
    Owner<AlignedPromise> get_return_object() {
        return Owner<AlignedPromise>(std::coroutine_handle<AlignedPromise>::from_promise(*this));
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
};
using Aligned = Owner<AlignedPromise>;

}  // namespace corpus

// A task library as nobody would write it, on purpose: each type keeps the awaiting coroutine in another
// place and in another form. What asyncdump says about it must not depend on knowing the library.
#pragma once

#include <condition_variable>
#include <coroutine>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace tasks {

/// A queue of coroutines that may go on, and the thread that runs them.
class RunLoop {
  public:
    void post(std::coroutine_handle<> coroutine) {
        {
            std::lock_guard lock(mutex_);
            queue_.push_back(coroutine);
        }
        wake_.notify_one();
    }
    /// Resumes what is queued until nothing is left.
    void run_ready() {
        while (true) {
            std::coroutine_handle<> next;
            {
                std::lock_guard lock(mutex_);
                if (queue_.empty()) return;
                next = queue_.front();
                queue_.pop_front();
            }
            next.resume();
        }
    }
    /// Never returns: blocks in the condition variable while the queue is empty.
    [[noreturn]] void run() {
        while (true) {
            std::coroutine_handle<> next;
            {
                std::unique_lock lock(mutex_);
                wake_.wait(lock, [this] { return !queue_.empty(); });
                next = queue_.front();
                queue_.pop_front();
            }
            next.resume();
        }
    }

  private:
    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<std::coroutine_handle<>> queue_;
};

inline RunLoop loop;

/// At its end a task goes on with the awaiting coroutine by symmetric transfer.
struct TransferToContinuation {
    bool await_ready() const noexcept { return false; }
    template <typename Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> done) const noexcept {
        auto next = done.promise().take_continuation();
        return next ? next : std::noop_coroutine();
    }
    void await_resume() const noexcept {}
};

/// Owns a coroutine's frame.
template <typename Promise>
class Owner {
  public:
    using promise_type = Promise;
    using Handle = std::coroutine_handle<Promise>;

    Owner() = default;
    explicit Owner(Handle handle) : handle_(handle) {}
    Owner(Owner&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
    Owner& operator=(Owner&& other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~Owner() {
        if (handle_) handle_.destroy();
    }
    Handle handle() const { return handle_; }
    void start() { loop.post(handle_); }
    Handle release() { return std::exchange(handle_, {}); }

    auto operator co_await() const& noexcept { return Awaiter{handle_}; }

  private:
    struct Awaiter {
        Handle child;
        bool await_ready() const noexcept { return child.done(); }
        template <typename Parent>
        std::coroutine_handle<> await_suspend(std::coroutine_handle<Parent> parent) noexcept {
            child.promise().set_continuation(parent);
            return child;
        }
        int await_resume() const noexcept { return child.promise().value; }
    };
    Handle handle_;
};

/// What all promises here share; the place of the continuation is what they differ in.
struct PromiseBase {
    int value = 0;
    std::suspend_always initial_suspend() const noexcept { return {}; }
    TransferToContinuation final_suspend() const noexcept { return {}; }
    void unhandled_exception() const noexcept { std::abort(); }
    void return_value(int result) noexcept { value = result; }
};

// The ordinary form: a handle in the promise, though not as its first member.

struct PlainPromise : PromiseBase {
    std::uint64_t serial = 7;
    const char* label = "plain";
    std::coroutine_handle<> continuation;
    Owner<PlainPromise> get_return_object() {
        return Owner(std::coroutine_handle<PlainPromise>::from_promise(*this));
    }
    void set_continuation(std::coroutine_handle<> parent) { continuation = parent; }
    std::coroutine_handle<> take_continuation() { return continuation; }
};
using Task = Owner<PlainPromise>;

// A promise with an alignment larger than the frame's header, and the handle far inside.

struct alignas(64) AlignedPromise : PromiseBase {
    std::uint64_t counters[9] = {};
    std::coroutine_handle<> continuation;
    std::uint64_t more[3] = {};
    Owner<AlignedPromise> get_return_object() {
        return Owner(std::coroutine_handle<AlignedPromise>::from_promise(*this));
    }
    void set_continuation(std::coroutine_handle<> parent) { continuation = parent; }
    std::coroutine_handle<> take_continuation() { return continuation; }
    static void* operator new(std::size_t size) { return std::aligned_alloc(64, (size + 63) / 64 * 64); }
    static void operator delete(void* frame) { std::free(frame); }
};
using AlignedTask = Owner<AlignedPromise>;

// The awaiting coroutine is remembered by the address of its promise.

struct AddressPromise : PromiseBase {
    std::uint32_t flags = 3;
    void* parent_promise = nullptr;
    Owner<AddressPromise> get_return_object() {
        return Owner(std::coroutine_handle<AddressPromise>::from_promise(*this));
    }
    void set_continuation(std::coroutine_handle<AddressPromise> parent) {
        parent_promise = &parent.promise();
    }
    std::coroutine_handle<> take_continuation() {
        if (parent_promise == nullptr) return {};
        return std::coroutine_handle<AddressPromise>::from_promise(
            *static_cast<AddressPromise*>(parent_promise));
    }
};
using AddressTask = Owner<AddressPromise>;

// The awaiting coroutine is remembered by a pointer to a base class, which lies in the middle of its promise.

struct Resumable {
    virtual ~Resumable() = default;
    virtual std::coroutine_handle<> as_handle() = 0;
};

struct BasePointerPromise : PromiseBase, Resumable {
    std::uint64_t statistics[2] = {};
    Resumable* waiter = nullptr;
    Owner<BasePointerPromise> get_return_object() {
        return Owner(std::coroutine_handle<BasePointerPromise>::from_promise(*this));
    }
    std::coroutine_handle<> as_handle() override {
        return std::coroutine_handle<BasePointerPromise>::from_promise(*this);
    }
    void set_continuation(std::coroutine_handle<BasePointerPromise> parent) { waiter = &parent.promise(); }
    std::coroutine_handle<> take_continuation() {
        return waiter ? waiter->as_handle() : std::coroutine_handle<>();
    }
};
using BasePointerTask = Owner<BasePointerPromise>;

// Every promise is a member of one list of all tasks: its links lead to tasks that have nothing to do with
// it.

struct ListedPromise : PromiseBase {
    ListedPromise* next = nullptr;
    ListedPromise* prev = nullptr;
    std::coroutine_handle<> continuation;
    static inline ListedPromise* first = nullptr;

    ListedPromise() : next(first) {
        if (first != nullptr) first->prev = this;
        first = this;
    }
    ~ListedPromise() {
        (prev != nullptr ? prev->next : first) = next;
        if (next != nullptr) next->prev = prev;
    }
    ListedPromise(const ListedPromise&) = delete;
    Owner<ListedPromise> get_return_object() {
        return Owner(std::coroutine_handle<ListedPromise>::from_promise(*this));
    }
    void set_continuation(std::coroutine_handle<> parent) { continuation = parent; }
    std::coroutine_handle<> take_continuation() { return continuation; }
};
using ListedTask = Owner<ListedPromise>;

// Begins at once, before anybody awaits it.

struct EagerPromise : PromiseBase {
    std::coroutine_handle<> continuation;
    std::suspend_never initial_suspend() const noexcept { return {}; }
    Owner<EagerPromise> get_return_object() {
        return Owner(std::coroutine_handle<EagerPromise>::from_promise(*this));
    }
    std::coroutine_handle<> take_continuation() { return continuation; }
};

class EagerTask : public Owner<EagerPromise> {
  public:
    using promise_type = EagerPromise;
    EagerTask(Owner<EagerPromise> owner) : Owner<EagerPromise>(std::move(owner)) {}
    auto operator co_await() const& noexcept { return Awaiter{handle()}; }

  private:
    struct Awaiter {
        std::coroutine_handle<EagerPromise> child;
        bool await_ready() const noexcept { return child.done(); }
        void await_suspend(std::coroutine_handle<> parent) noexcept { child.promise().continuation = parent; }
        int await_resume() const noexcept { return child.promise().value; }
    };
};

// Nobody awaits it and nobody owns it: it frees itself at its end.

struct Detached {
    struct promise_type {
        Detached get_return_object() const noexcept { return {}; }
        std::suspend_never initial_suspend() const noexcept { return {}; }
        std::suspend_never final_suspend() const noexcept { return {}; }
        void return_void() const noexcept {}
        void unhandled_exception() const noexcept { std::abort(); }
    };
};

// Any number of coroutines may await it: their handles lie in a vector on the heap.

struct SharedPromise : PromiseBase {
    std::vector<std::coroutine_handle<>> waiters;
    bool started = false;
    Owner<SharedPromise> get_return_object() {
        return Owner(std::coroutine_handle<SharedPromise>::from_promise(*this));
    }
    struct ResumeAll {
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<SharedPromise> done) const noexcept {
            for (auto waiter : done.promise().waiters) loop.post(waiter);
        }
        void await_resume() const noexcept {}
    };
    ResumeAll final_suspend() const noexcept { return {}; }
    std::coroutine_handle<> take_continuation() { return {}; }
};

class SharedTask {
  public:
    using promise_type = SharedPromise;
    SharedTask(Owner<SharedPromise> owner)
        : owner_(std::make_shared<Owner<SharedPromise>>(std::move(owner))) {}
    void start() {
        if (!std::exchange(owner_->handle().promise().started, true)) owner_->start();
    }
    auto operator co_await() const& noexcept { return Awaiter{owner_->handle()}; }

  private:
    struct Awaiter {
        std::coroutine_handle<SharedPromise> child;
        bool await_ready() const noexcept { return child.done(); }
        void await_suspend(std::coroutine_handle<> parent) noexcept {
            child.promise().waiters.push_back(parent);
            if (!std::exchange(child.promise().started, true)) loop.post(child);
        }
        int await_resume() const noexcept { return child.promise().value; }
    };
    std::shared_ptr<Owner<SharedPromise>> owner_;
};

}  // namespace tasks

// Waiters of whom what they wait for knows only the first: the others follow in a list through their
// awaiters. Awaiters with handles, of this coroutine or another one. Tasks that a coroutine awaits where they
// are kept, in a server on a stack. And coroutines that have ended while they were made, and whose frames are
// never freed.
#include <coroutine>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "task_library.h"
#include "truth.h"

namespace {

struct Waiter {
    Waiter* next = nullptr;
    std::coroutine_handle<> handle;
};

struct Gate {
    Waiter* first = nullptr;
    struct Awaiter : Waiter {
        explicit Awaiter(Gate& of) : gate(of) {}
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<> given) {
            handle = given;
            next = std::exchange(gate.first, this);
        }
        void await_resume() const noexcept {}
        Gate& gate;
    };
    Awaiter operator co_await() { return Awaiter(*this); }
};
Gate gate;

/// Begins at once; its result is in a state on the heap, which knows the waiter that came last. The frames of
/// those that are done are left to their fate.
class Config {
  public:
    struct State {
        std::optional<int> value;
        Waiter* first = nullptr;
    };
    struct promise_type {
        State* state = new State;
        Config get_return_object() { return Config(state); }
        std::suspend_never initial_suspend() const noexcept { return {}; }
        struct Final {
            bool await_ready() const noexcept { return false; }
            void await_suspend(std::coroutine_handle<promise_type> done) const noexcept {
                for (Waiter* waiter = done.promise().state->first; waiter != nullptr;)
                    std::exchange(waiter, waiter->next)->handle.resume();
            }
            void await_resume() const noexcept {}
        };
        Final final_suspend() const noexcept { return {}; }
        void return_value(int value) { state->value = value; }
        void unhandled_exception() const noexcept { std::abort(); }
    };
    struct Awaiter : Waiter {
        explicit Awaiter(State* of) : state(of) {}
        bool await_ready() const noexcept { return state->value.has_value(); }
        void await_suspend(std::coroutine_handle<> given) {
            handle = given;
            next = std::exchange(state->first, this);
        }
        int await_resume() const noexcept { return *state->value; }
        State* state;
    };
    Awaiter operator co_await() const { return Awaiter(state_); }

  private:
    explicit Config(State* state) : state_(state) {}
    State* state_;
};

Config slow(int value) {
    co_await gate;  // @slow
    co_return value;
}
Config cached(int value) {
    co_return value;
}

[[gnu::noinline]] tasks::Detached reader(Config config, int id) {
    const int quick = co_await cached(id);
    const int value = co_await config;  // @reader
    printf("%d\n", quick + value);
}

/// Tells who waits by a function that resumes him.
class Lazy {
  public:
    struct promise_type {
        std::optional<int> value;
        std::function<void()> on_done;
        Lazy get_return_object() { return Lazy(std::coroutine_handle<promise_type>::from_promise(*this)); }
        std::suspend_always initial_suspend() const noexcept { return {}; }
        struct Final {
            bool await_ready() const noexcept { return false; }
            void await_suspend(std::coroutine_handle<promise_type> done) const noexcept {
                if (done.promise().on_done) done.promise().on_done();
            }
            void await_resume() const noexcept {}
        };
        Final final_suspend() const noexcept { return {}; }
        void return_value(int result) { value = result; }
        void unhandled_exception() const noexcept { std::abort(); }
    };
    explicit Lazy(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
    Lazy(Lazy&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
    Lazy& operator=(Lazy&&) = delete;
    ~Lazy() {
        if (handle_) handle_.destroy();
    }
    struct Awaiter {
        Lazy& task;
        bool await_ready() const noexcept { return task.handle_.done(); }
        void await_suspend(std::coroutine_handle<> waiting) {
            task.handle_.promise().on_done = [waiting] { waiting.resume(); };
            task.start();
        }
        int await_resume() const noexcept { return *task.handle_.promise().value; }
    };
    Awaiter operator co_await() & { return {*this}; }
    void start() { handle_.resume(); }

  private:
    std::coroutine_handle<promise_type> handle_;
};

[[gnu::noinline]] Lazy poll_forever() {
    co_await gate;  // @poll_forever
    co_return 1;
}

struct Server {
    std::string name;
    std::optional<Lazy> task;
    Lazy poll();
};
[[gnu::noinline]] Lazy Server::poll() {
    task.emplace(poll_forever());
    co_return co_await *task;  // @poll
}
[[gnu::noinline]] Lazy run(std::optional<Lazy>& task) {
    task.emplace(poll_forever());
    co_return co_await *task;  // @run
}

/// May be made in the frame of the one that awaits it: then that one's handle stands in its own frame, too.
class Child {
  public:
    struct promise_type {
        std::coroutine_handle<> continuation;
        Child get_return_object() { return Child(std::coroutine_handle<promise_type>::from_promise(*this)); }
        std::suspend_always initial_suspend() const noexcept { return {}; }
        struct Final {
            bool await_ready() const noexcept { return false; }
            std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> done) const noexcept {
                return done.promise().continuation ? done.promise().continuation : std::noop_coroutine();
            }
            void await_resume() const noexcept {}
        };
        Final final_suspend() const noexcept { return {}; }
        void return_void() const noexcept {}
        void unhandled_exception() const noexcept { std::abort(); }
    };
    using Handle = std::coroutine_handle<promise_type>;
    explicit Child(Handle handle) : handle_(handle) {}
    Child(Child&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
    Child& operator=(Child&&) = delete;
    ~Child() {
        if (handle_) handle_.destroy();
    }
    Handle handle() const { return handle_; }
    void start() const { handle_.resume(); }

  private:
    Handle handle_;
};

/// Keeps a handle, which is not the one that it is given.
struct OfErased {
    explicit OfErased(const Child& of) : child(of.handle()), promise(of.handle().promise()) {}
    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> given) noexcept {
        promise.continuation = given;
        return child;
    }
    void await_resume() const noexcept {}
    std::coroutine_handle<> child;
    Child::promise_type& promise;
};

/// Keeps both.
struct OfBoth {
    explicit OfBoth(const Child& of) : child(of.handle()) {}
    bool await_ready() const noexcept { return false; }
    Child::Handle await_suspend(std::coroutine_handle<> given) noexcept {
        own = given;
        child.promise().continuation = given;
        return child;
    }
    void await_resume() const noexcept {}
    std::coroutine_handle<> own;
    Child::Handle child;
};

Child leaf() {
    co_await gate;  // @leaf
}
[[gnu::noinline]] Child by_erased() {
    const Child child = leaf();
    co_await OfErased(child);  // @by_erased
}
[[gnu::noinline]] Child by_both() {
    const Child child = leaf();
    co_await OfBoth(child);  // @by_both
}

}  // namespace

int main() {
    TRUTH_BEGIN();
    const Config config = slow(1);
    for (int id = 0; id < 3; ++id) reader(config, id);
    puts("chains 3 reader@reader > slow@slow");
    Server server{"server", {}};
    Lazy running = run(server.task);
    running.start();
    puts("chain run@run > poll_forever@poll_forever");
    truth::show(server);
    // Only the promise of poll_forever leads to the one that awaits it.
    Server polled{"polled", {}};
    Lazy polling = polled.poll();
    polling.start();
    puts("chain poll@poll > poll_forever@poll_forever");
    const Child erased = by_erased(), both = by_both();
    erased.start();
    both.start();
    puts("chain by_erased@by_erased > leaf@leaf");
    puts("chain by_both@by_both > leaf@leaf");
    puts("passing cached");
    puts("edges 7");
    truth::ready();
    truth::block();
}

// Suspend points of which the machine code says little: a body with macros around its only await, an await of
// an await, a task that is not started yet and whose promise is made by much code, whole coroutines on one
// line, also with a lambda.
#include <coroutine>
#include <cstdlib>
#include <exception>
#include <optional>
#include <utility>
#include <variant>

#include "truth.h"

namespace {

// NOLINTNEXTLINE
#define NOTE(number) note(number, __LINE__)

void note(int number, int line) {
    if (number < 0) printf("%d\n", line);
}

std::coroutine_handle<> waiting;

struct Reply {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) const noexcept { waiting = handle; }
    int await_resume() const noexcept { return 1; }
};

/// Begins at once; nobody can await it.
struct Detached {
    struct promise_type {
        Detached get_return_object() const noexcept { return {}; }
        std::suspend_never initial_suspend() const noexcept { return {}; }
        std::suspend_never final_suspend() const noexcept { return {}; }
        void return_void() const noexcept {}
        void unhandled_exception() const noexcept { std::abort(); }
    };
};

template <class T>
class Lazy {
  public:
    struct promise_type {
        std::coroutine_handle<> continuation = std::noop_coroutine();
        std::variant<std::monostate, T, std::exception_ptr> result;
        struct Initial {
            void* frame;
            bool await_ready() const noexcept { return false; }
            void await_suspend(std::coroutine_handle<>) const noexcept {}
            void await_resume() const noexcept {}
        };
        struct Final {
            bool await_ready() const noexcept { return false; }
            std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> done) const noexcept {
                return done.promise().continuation;
            }
            void await_resume() const noexcept {}
        };
        auto self() { return std::coroutine_handle<promise_type>::from_promise(*this); }
        Lazy get_return_object() { return Lazy(self()); }
        Initial initial_suspend() noexcept { return {self().address()}; }
        Final final_suspend() const noexcept { return {}; }
        void return_value(T value) { result.template emplace<1>(std::move(value)); }
        void unhandled_exception() { result.template emplace<2>(std::current_exception()); }
    };
    using Handle = std::coroutine_handle<promise_type>;
    explicit Lazy(Handle handle) : handle_(handle) {}
    Lazy(Lazy&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
    Lazy& operator=(Lazy&&) = delete;
    ~Lazy() {
        if (handle_) handle_.destroy();
    }
    auto operator co_await() const noexcept {
        struct Awaiter {
            Handle handle;
            bool await_ready() const noexcept { return false; }
            Handle await_suspend(std::coroutine_handle<> parent) const noexcept {
                handle.promise().continuation = parent;
                return handle;
            }
            T await_resume() const { return std::move(std::get<1>(handle.promise().result)); }
        };
        return Awaiter{handle_};
    }
    void start() const { handle_.resume(); }

  private:
    Handle handle_;
};

Detached call(int id) {
    NOTE(id);
    const int reply = co_await Reply{};  // @call
    NOTE(reply);
}

[[gnu::noinline]] Lazy<int> not_started(int id) {
    co_await Reply{};
    co_return id;
}

Lazy<int> keeps_two(int id) {
    const Lazy<int> one = not_started(id), other = not_started(id + 1);
    const int reply = co_await Reply{};  // @keeps_two
    co_return reply + co_await one + co_await other;
}

Lazy<int> leaf(int id) {
    const int reply = co_await Reply{};  // @leaf
    co_return id + reply;
}

Lazy<Lazy<int>> make_leaf(int id) {
    co_return leaf(id);
}

Lazy<int> awaits_twice(int id) {
    const int result = co_await co_await make_leaf(id);
    co_return result;
}

Lazy<int> at_once(int id) {
    co_return id;
}
Lazy<double> half(int id) {
    const int reply = co_await Reply{};  // @half
    co_return reply + id / 2.0;
}
struct Parts {
    int whole;
    double rest;
};
/// Both await_resume are called after the second await.
Lazy<int> in_braces(int id) {
    const Parts parts{co_await at_once(id), co_await half(id)};  // @in_braces
    co_return parts.whole + static_cast<int>(parts.rest);
}

// clang-format off
Lazy<int> one_line(int id) { const int reply = co_await Reply{}; co_return id + reply; }  // @one_line
Detached with_lambda(int id) { auto later = [&id] { NOTE(id); }; co_await Reply{}; later(); }  // @with_lambda
// clang-format on

}  // namespace

int main() {
    TRUTH_BEGIN();
    call(1);
    puts("chains 1 call@call");
    const Lazy<int> keeper = keeps_two(1);
    keeper.start();
    puts("chains 1 keeps_two@keeps_two");
    puts("chains 2 not_started [created]");
    const Lazy<int> single = one_line(3);
    single.start();
    puts("chains 1 one_line@one_line");
    with_lambda(5);
    puts("chains 1 with_lambda@with_lambda");
    const Lazy<int> twice = awaits_twice(2);
    twice.start();
    puts("chains 1 awaits_twice > leaf@leaf");
    puts("passing make_leaf");
    const Lazy<int> braces = in_braces(4);
    braces.start();
    puts("chains 1 in_braces@in_braces > half@half");
    puts("passing at_once");
    puts("edges 2");
    truth::ready();
    truth::block();
}

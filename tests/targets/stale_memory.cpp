// Frames in memory in which handles of other coroutines still stand: a frame's memory is filled with them
// before it is made, as an earlier use could have left it. What a frame has not written yet is not what it
// waits for.
#include <coroutine>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "truth.h"

namespace {

std::uintptr_t left_over = 0;  // what the memory of new frames is filled with

[[gnu::noinline]] void* used_memory(std::size_t bytes) {
    auto* words = static_cast<std::uintptr_t*>(std::malloc(bytes));
    for (std::size_t i = 0; i < bytes / sizeof *words; ++i) words[i] = left_over;
    truth::show(*words);
    return words;
}
[[gnu::noinline]] void give_back(void* memory) {
    std::free(memory);
}

struct Never {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) { kept.push_back(handle); }
    void await_resume() const noexcept {}
    static inline std::vector<std::coroutine_handle<>> kept;
};

class Task {
  public:
    struct promise_type {
        static void* operator new(std::size_t bytes) { return used_memory(bytes); }
        static void operator delete(void* frame) { give_back(frame); }
        Task get_return_object() { return Task(std::coroutine_handle<promise_type>::from_promise(*this)); }
        std::suspend_always initial_suspend() const noexcept { return {}; }
        struct Final {
            bool await_ready() const noexcept { return false; }
            std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> done) const noexcept {
                return done.promise().waiting;
            }
            void await_resume() const noexcept {}
        };
        Final final_suspend() const noexcept { return {}; }
        void unhandled_exception() const noexcept { std::abort(); }
        void return_value(int value) { result = value; }

        std::coroutine_handle<> waiting = std::noop_coroutine();
        int result = 0;
    };
    explicit Task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
    Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
    Task& operator=(Task&&) = delete;
    ~Task() {
        if (handle_) handle_.destroy();
    }

    struct Awaiter {
        std::coroutine_handle<promise_type> awaited;
        bool await_ready() const noexcept { return awaited.done(); }
        std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiting) const noexcept {
            awaited.promise().waiting = waiting;
            return awaited;
        }
        int await_resume() const noexcept { return awaited.promise().result; }
    };
    Awaiter operator co_await() const noexcept { return {handle_}; }
    void start() { handle_.resume(); }
    std::uintptr_t address() const { return reinterpret_cast<std::uintptr_t>(handle_.address()); }

  private:
    std::coroutine_handle<promise_type> handle_;
};

Task stop(int n) {
    co_await Never{};  // @stop
    co_return n;
}
Task quick(int n) {
    co_return n;
}
Task other(int n) {
    co_return co_await stop(n);  // @other
}

// Each is suspended at its @mark; every other await in it is of the same class.

Task first_of_two() {
    const int first = co_await stop(1);  // @first_of_two
    const int second = co_await quick(2);
    co_return first + second;
}
Task second_of_two() {
    const int first = co_await quick(1);
    const int second = co_await stop(2);  // @second_of_two
    co_return first + second;
}
Task in_a_branch(bool which) {
    int sum = 0;
    if (which) {
        sum += co_await stop(1);  // @in_a_branch
    } else {
        sum += co_await quick(2);
    }
    co_return sum + co_await quick(3);
}
Task in_a_loop(int n) {
    int sum = co_await quick(1);
    for (int i = 0; i < n; ++i) {
        sum += co_await quick(i);
        if (i == 2) sum += co_await stop(i);  // @in_a_loop
    }
    co_return sum;
}
Task right_side_first(int n) {
    int values[4]{};
    values[co_await quick(n)] += co_await stop(2);  // @right_side_first
    co_return values[1];
}
Task two_operands(int n) {
    co_return co_await quick(n) + co_await stop(2);  // @two_operands
}
Task three_arguments(int n) {
    const auto add = [](int a, int b, int c) { return a + b + c; };
    co_return add(co_await quick(n),
                  co_await stop(2),  // @three_arguments
                  co_await quick(n));
}
Task nested_awaits(int n) {
    co_return co_await quick(co_await stop(n));  // @nested_awaits
}
Task outer_of_nested(int n) {
    co_return co_await stop(  // @outer_of_nested
        co_await quick(n));
}
Task named_task(int n) {
    Task later = quick(n);
    const int now = co_await stop(n);  // @named_task
    co_return now + co_await later;
}
/// Made by a function that writes it to where it shall be.
class OwningAwaiter {
  public:
    explicit OwningAwaiter(Task task) : task_(std::move(task)) {}
    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiting) noexcept {
        return (task_.operator co_await()).await_suspend(waiting);
    }
    int await_resume() const noexcept { return 1; }

  private:
    Task task_;
};
[[gnu::noinline]] OwningAwaiter own(Task task) {
    return OwningAwaiter(std::move(task));
}

Task first_of_owned(int n) {
    const int first = co_await own(stop(n));  // @first_of_owned
    co_return first + co_await own(quick(n));
}
Task second_of_owned(int n) {
    const int first = co_await own(quick(n));
    co_return first + co_await own(stop(n));  // @second_of_owned
}
Task third_of_owned(int n) {
    co_await own(quick(n));
    co_await own(quick(n));
    co_await own(stop(n));  // @third_of_owned
    co_return co_await own(quick(n));
}

/// Its awaiter's address is what may be left over, too.
struct Signal {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) {
        waiting = handle;
        last = this;
    }
    void await_resume() const noexcept {}
    std::coroutine_handle<> waiting;
    static inline Signal* last = nullptr;
};

/// Its promise has room for a result that is not there yet.
class Text {
  public:
    struct promise_type {
        static void* operator new(std::size_t bytes) { return used_memory(bytes); }
        static void operator delete(void* frame) { give_back(frame); }
        Text get_return_object() { return Text(std::coroutine_handle<promise_type>::from_promise(*this)); }
        std::suspend_never initial_suspend() const noexcept { return {}; }
        std::suspend_always final_suspend() const noexcept { return {}; }
        void unhandled_exception() const noexcept { std::abort(); }
        void return_value(std::string value) { result = std::move(value); }

        std::coroutine_handle<> waiting;
        std::variant<std::monostate, std::string, int> result;
    };
    explicit Text(std::coroutine_handle<promise_type> handle) : handle_(handle) {}

  private:
    std::coroutine_handle<promise_type> handle_;
};

Text without_result(std::string text) {
    co_await Signal{};  // @without_result
    co_return text;
}

/// An empty promise, with the index close behind it. Where an address has zeros in its second byte, what is
/// left of it around the index 0 is the whole address still.
class Bare {
  public:
    struct promise_type {
        static void* operator new(std::size_t bytes) { return used_memory(bytes); }
        static void operator delete(void* frame) { give_back(frame); }
        Bare get_return_object() const noexcept { return {}; }
        std::suspend_never initial_suspend() const noexcept { return {}; }
        std::suspend_always final_suspend() const noexcept { return {}; }
        void unhandled_exception() const noexcept { std::abort(); }
        void return_void() const noexcept {}
    };
};

Bare with_nothing() {
    co_await Never{};  // @with_nothing
    co_await Never{};
    co_await Never{};
}

class AtRoundAddress {
  public:
    struct promise_type {
        static constexpr std::size_t alignment = 1 << 16;
        static void* operator new(std::size_t) { return std::aligned_alloc(alignment, alignment); }
        static void operator delete(void* frame) { give_back(frame); }
        AtRoundAddress get_return_object() const noexcept { return {}; }
        std::suspend_never initial_suspend() const noexcept { return {}; }
        std::suspend_always final_suspend() const noexcept { return {}; }
        void unhandled_exception() const noexcept { std::abort(); }
        void return_void() const noexcept {}
    };
};

AtRoundAddress at_round_address() {
    co_await Signal{};  // @at_round_address
    co_await Signal{};
}

Task at_signal(int n) {
    co_await Never{};  // @at_signal
    co_return co_await quick(n);
}
Task not_started(int n) {
    const int sum = co_await quick(n);
    co_return sum + co_await quick(n);
}

}  // namespace

int main() {
    TRUTH_BEGIN();
    std::vector<Task> tasks;
    tasks.reserve(32);
    const auto run = [&](Task task) {
        task.start();
        tasks.push_back(std::move(task));
    };
    tasks.push_back(other(1));
    tasks.front().start();
    left_over = tasks.front().address();
    run(first_of_two());
    run(second_of_two());
    run(in_a_branch(true));
    run(in_a_loop(5));
    run(right_side_first(1));
    run(two_operands(1));
    run(three_arguments(1));
    run(nested_awaits(1));
    run(outer_of_nested(1));
    run(named_task(1));
    run(first_of_owned(1));
    run(second_of_owned(1));
    run(third_of_owned(1));
    run(at_signal(1));
    tasks.push_back(not_started(1));
    const Text first = without_result("first");
    left_over = reinterpret_cast<std::uintptr_t>(Signal::last);
    const Text second = without_result("second");
    at_round_address();
    left_over = reinterpret_cast<std::uintptr_t>(Signal::last);
    with_nothing();
    truth::show(tasks);
    truth::show(first);
    truth::show(second);

    puts("chain other@other > stop@stop");
    puts("chain first_of_two@first_of_two > stop@stop");
    puts("chain second_of_two@second_of_two > stop@stop");
    puts("chain in_a_branch@in_a_branch > stop@stop");
    puts("chain in_a_loop@in_a_loop > stop@stop");
    puts("chain right_side_first@right_side_first > stop@stop");
    puts("chain two_operands@two_operands > stop@stop");
    puts("chain three_arguments@three_arguments > stop@stop");
    puts("chain nested_awaits@nested_awaits > stop@stop");
    puts("chain outer_of_nested@outer_of_nested > stop@stop");
    puts("chain named_task@named_task > stop@stop");
    puts("chain first_of_owned@first_of_owned > stop@stop");
    puts("chain second_of_owned@second_of_owned > stop@stop");
    puts("chain third_of_owned@third_of_owned > stop@stop");
    puts("chain at_signal@at_signal");
    puts("chain without_result@without_result");
    puts("chain without_result@without_result");
    puts("chain at_round_address@at_round_address");
    puts("chain with_nothing@with_nothing");
    puts("chain not_started [created]");
    // Operands that are ready live as long as the expression.
    puts("passing quick");
    puts("edges 14");
    truth::ready();
    truth::block();
}

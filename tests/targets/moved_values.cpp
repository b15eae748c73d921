// Variables of coroutines that are assigned, swapped and moved away. What an optimiser knows of the moment
// after a move, or before an assignment, is not what they hold where the coroutine is suspended. Truth as in
// values.cpp.
#include <coroutine>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "truth.h"

namespace {

template <typename Initial, typename Result = int>
struct Task {
    struct promise_type {
        Task get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
        Initial initial_suspend() { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        void return_value(Result value) { result = std::move(value); }
        void unhandled_exception() {}
        Result result{};
    };
    std::coroutine_handle<> handle;
};

struct Pause {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) const noexcept { last = handle; }
    void await_resume() const noexcept {}
    static inline std::coroutine_handle<> last;
};

struct Record {
    int number = 0;
    std::string text;
};

[[gnu::noinline]] std::string text_of(int n) {
    return n % 2 == 0 ? "short" : "a text that does not fit into the string";
}
[[gnu::noinline]] std::vector<int> numbers_from(int n) {
    return {n, n + 1, n + 2};
}
[[gnu::noinline]] std::unique_ptr<int> owned(int n) {
    return std::make_unique<int>(n);
}
[[gnu::noinline]] std::shared_ptr<int> shared(int n) {
    return std::make_shared<int>(n);
}
[[gnu::noinline]] std::optional<std::string> perhaps(int n) {
    return text_of(n);
}
[[gnu::noinline]] Record record(int n) {
    return {n, text_of(n)};
}
[[gnu::noinline]] int number(int n) {
    return n;
}
[[gnu::noinline]] bool yes() {
    return true;
}
template <typename Value>
[[gnu::noinline]] void look(const Value& value) {
    truth::show(value);
}
template <typename Value>
[[gnu::noinline]] void take(Value value) {
    truth::show(value);
}

// Each coroutine keeps the value of `one`, or of `other` where it has been assigned, in `kept`.

template <typename Initial, typename Kind>
Task<Initial, typename Kind::Type> returned(typename Kind::Type kept) {
    co_await Pause{};
    co_return kept;
}
template <typename Initial, typename Kind>
Task<Initial> passed_on(typename Kind::Type kept) {
    co_await Pause{};
    take(std::move(kept));
    co_return 1;
}
template <typename Initial, typename Kind>
Task<Initial> unused([[maybe_unused]] typename Kind::Type kept) {
    co_await Pause{};
    co_return 1;
}
template <typename Initial, typename Kind>
Task<Initial> parameter_assigned(typename Kind::Type kept) {
    co_await Pause{};
    kept = Kind::other();
    co_await Pause{};
    take(std::move(kept));
    co_return 1;
}
template <typename Initial, typename Kind>
Task<Initial> assigned() {
    typename Kind::Type kept = Kind::one();
    co_await Pause{};
    kept = Kind::other();
    co_await Pause{};
    take(std::move(kept));
    co_return 1;
}
template <typename Initial, typename Kind>
Task<Initial> assigned_for_nothing() {
    typename Kind::Type kept = Kind::one();
    look(kept);
    co_await Pause{};
    kept = Kind::other();
    co_await Pause{};
    co_return 1;
}
template <typename Initial, typename Kind>
Task<Initial> chosen() {
    typename Kind::Type kept{};
    if (yes()) kept = Kind::other();
    co_await Pause{};
    take(std::move(kept));
    co_return 1;
}
template <typename Initial, typename Kind>
Task<Initial, typename Kind::Type> local_returned() {
    typename Kind::Type kept = Kind::one();
    co_await Pause{};
    co_return kept;
}
template <typename Initial, typename Kind>
Task<Initial> looked_at() {
    typename Kind::Type kept = Kind::one();
    look(kept);
    co_await Pause{};
    look(kept);
    co_return 1;
}

template <typename Initial, typename Kind>
void run_with(const char* initial, const char* kind, const char* one, const char* other) {
    const auto run = [&](auto task, const char* name, int resumptions, const char* expected) {
        if (std::is_same_v<Initial, std::suspend_always>) task.handle.resume();
        for (int i = 0; i < resumptions; ++i) Pause::last.resume();
        printf("value %s<std::%s,%s> kept %s\n", name, initial, kind, expected);
    };
    run(returned<Initial, Kind>(Kind::one()), "returned", 0, one);
    run(passed_on<Initial, Kind>(Kind::one()), "passed_on", 0, one);
    run(unused<Initial, Kind>(Kind::one()), "unused", 0, one);
    run(parameter_assigned<Initial, Kind>(Kind::one()), "parameter_assigned", 1, other);
    run(assigned<Initial, Kind>(), "assigned", 1, other);
    run(assigned_for_nothing<Initial, Kind>(), "assigned_for_nothing", 1, other);
    run(chosen<Initial, Kind>(), "chosen", 0, other);
    run(local_returned<Initial, Kind>(), "local_returned", 0, one);
    run(looked_at<Initial, Kind>(), "looked_at", 0, one);
}

template <typename Kind>
void run_all(const char* kind, const char* one, const char* other) {
    run_with<std::suspend_always, Kind>("suspend_always", kind, one, other);
    run_with<std::suspend_never, Kind>("suspend_never", kind, one, other);
}

}  // namespace

#define KIND(name, type, of_one, of_other)       \
    struct name {                                \
        using Type = type;                       \
        static Type one() { return of_one; }     \
        static Type other() { return of_other; } \
    };

KIND(Text, std::string, text_of(2), text_of(3))
KIND(Numbers, std::vector<int>, numbers_from(1), numbers_from(7))
KIND(Owner, std::unique_ptr<int>, owned(5), owned(6))
KIND(Sharer, std::shared_ptr<int>, shared(5), shared(6))
KIND(Perhaps, std::optional<std::string>, perhaps(2), perhaps(3))
KIND(Records, Record, record(2), record(3))
KIND(Number, int, number(11), number(12))
KIND(Constant, int, 13, 14)

int main() {
    TRUTH_BEGIN();
    const char* text = "\"a text that does not fit into the string\"";
    run_all<Text>("Text", "\"short\"", text);
    run_all<Numbers>("Numbers", "3 elements {1, 2, 3}", "3 elements {7, 8, 9}");
    run_all<Owner>("Owner", "{} -> 5", "{} -> 6");
    run_all<Sharer>("Sharer", "{} -> 5{}", "{} -> 6{}");
    run_all<Perhaps>("Perhaps", "\"short\"", text);
    run_all<Records>("Records", "{number = 2, text = \"short\"}",
                     "{number = 3, text = \"a text that does not fit into the string\"}");
    run_all<Number>("Number", "11", "12");
    run_all<Constant>("Constant", "13", "14");
    truth::ready();
    truth::block();
}

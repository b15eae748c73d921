// Coroutines and a thread's stack with parameters and locals of many types. The target tells what they are:
//
//   value FUNCTION NAME TEXT     the variable's value has to be shown as TEXT; {} in it stands for any text
//   none FUNCTION NAME           a variable of this name is not shown: it does not live
//   stack FUNCTION NAME TEXT     the same for a function on a thread's stack
//   awaits FUNCTION TEXT         the summary of what it waits for
//   field FUNCTION NAME TEXT     a field of the awaiter at which it is suspended
//
// Lines whose first word ends in '?' may be "<optimized out>" in optimised code also where the others may
// not.
#include <pthread.h>
#include <stdarg.h>

#include <array>
#include <atomic>
#include <chrono>
#include <coroutine>
#include <deque>
#include <forward_list>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <variant>
#include <vector>

#include "truth.h"

namespace {

[[gnu::format(printf, 1, 2)]] void tell(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

template <class Initial>
struct BasicTask {
    struct promise_type {
        BasicTask get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
        Initial initial_suspend() { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() {}
    };
    std::coroutine_handle<> handle;
};

using Task = BasicTask<std::suspend_never>;
using Lazy = BasicTask<std::suspend_always>;

class AsyncMutex {
  public:
    struct Operation {
        AsyncMutex& mutex;
        std::coroutine_handle<> waiter;
        int ticket;
        bool await_ready() { return false; }
        void await_suspend(std::coroutine_handle<> handle) {
            waiter = handle;
            mutex.first_ = this;
        }
        int await_resume() { return ticket; }
    };
    Operation lock(int ticket) { return {*this, {}, ticket}; }

  private:
    Operation* first_ = nullptr;
};

AsyncMutex accounts, journal;

enum class Colour { red, green = 5 };
enum Flags : unsigned { readable = 1, writable = 2, executable = 4 };
enum Plain { first_plain, second_plain };

struct Account {
    int id;
    double balance;
};

struct Named : Account {
    std::string owner;
    unsigned open : 1;
    int level : 4;
    Account inner;
};

union Both {
    int number;
    float fraction;
};

void released(int*) {}
int doubled(int number) {
    return 2 * number;
}

std::string long_text() {
    std::string text;
    for (int i = 0; i < 30; ++i) text += "0123456789";
    return text;
}

// ---- types

Task numbers(int number, unsigned short small, long long large, bool yes, char letter, double real,
             float ratio, signed char tiny, unsigned char octet) {
    Colour colour = Colour::green;
    Flags flags = static_cast<Flags>(5);
    Plain plain = second_plain;
    Plain odd_plain = static_cast<Plain>(77);
    const char* text = "a constant";
    const char* no_text = nullptr;
    int* pointer = nullptr;
    int (*function)(int) = doubled;
    int field[3] = {7, 8, 9};
    char buffer[8] = "chars";
    Both both{5};
    char32_t wide = U'\u00e4';
    std::nullptr_t null = nullptr;
    truth::show(colour), truth::show(flags), truth::show(plain), truth::show(odd_plain), truth::show(text);
    truth::show(no_text), truth::show(pointer), truth::show(function), truth::show(field),
        truth::show(buffer);
    truth::show(both), truth::show(wide), truth::show(null);
    truth::show(number), truth::show(small), truth::show(large), truth::show(yes), truth::show(letter);
    truth::show(real), truth::show(ratio), truth::show(tiny), truth::show(octet);
    co_await accounts.lock(1);
    truth::show(colour), truth::show(flags), truth::show(plain), truth::show(odd_plain), truth::show(text);
    truth::show(no_text), truth::show(pointer), truth::show(function), truth::show(field),
        truth::show(buffer);
    truth::show(both), truth::show(wide), truth::show(null);
    truth::show(number), truth::show(small), truth::show(large), truth::show(yes), truth::show(letter);
    truth::show(real), truth::show(ratio), truth::show(tiny), truth::show(octet);
}

void tell_numbers() {
    tell("value numbers number -42");
    tell("value numbers small 65535");
    tell("value numbers large -9000000000000000000");
    tell("value numbers yes true");
    tell("value numbers letter 'x'");
    tell("value numbers real 2.5");
    tell("value numbers ratio 0.1");
    tell("value numbers tiny -7");
    tell("value numbers octet 200");
    tell("value numbers colour Colour::green");
    tell("value numbers flags readable | executable");
    tell("value numbers plain second_plain");
    tell("value numbers odd_plain 77");
    tell("value numbers text \"a constant\"");
    tell("value numbers no_text nullptr");
    tell("value numbers pointer nullptr");
    tell("value numbers function %p {}doubled{}", reinterpret_cast<void*>(doubled));
    tell("value numbers field 3 elements {7, 8, 9}");
    tell("value numbers buffer \"chars\"");
    tell("value numbers both {number = 5, fraction = {}}");
    tell("value numbers wide '\u00e4'");
    tell("value? numbers null nullptr");
}

Task texts(std::string name, const std::string& reference, std::string_view view, std::string&& moved) {
    std::string empty, large = long_text(), escaped = "say \"hi\"\n";
    std::u16string utf16 = u"zw\u00f6lf";
    std::wstring wide = L"wide";
    truth::show(empty), truth::show(large), truth::show(escaped), truth::show(utf16), truth::show(wide);
    truth::show(name), truth::show(view);
    co_await accounts.lock(2);
    truth::show(empty), truth::show(large), truth::show(escaped), truth::show(utf16), truth::show(wide);
    truth::show(name), truth::show(view);
    tell("%s %s", reference.c_str(), moved.c_str());
}

void tell_texts() {
    tell("value texts name \"bob\"");
    tell("value? texts reference \"by reference, on the heap\"");
    tell("value? texts moved \"moved\"");
    tell("value texts view \"part\"");
    tell("value texts empty \"\"");
    tell(
        "value texts large \"0123456789012345678901234567890123456789012345678901234567890123\"... (300 "
        "bytes)");
    tell("value texts escaped \"say \\\"hi\\\"\\n\"");
    tell("value texts utf16 \"zw\u00f6lf\"");
    tell("value texts wide \"wide\"");
}

Task containers(std::vector<int> vector) {
    std::vector<std::string> strings{"one", "two"};
    std::vector<bool> bits{true, false, true};
    std::vector<Account> accounts_list{{1, 1.5}, {2, 2.5}};
    std::vector<int> none;
    std::array<int, 2> array{3, 4};
    std::span<int> span(vector);
    std::pair<int, std::string> pair{1, "p"};
    std::tuple<int, std::string, double> tuple{1, "t", 0.5};
    std::map<int, std::string> map{{2, "b"}, {1, "a"}, {3, "c"}};
    std::map<std::string, int> words{{"x", 1}};
    std::set<char> set{'b', 'a'};
    std::unordered_map<int, int> hashed{{7, 8}};
    std::unordered_set<std::string> hashed_set{"h"};
    std::list<int> list{1, 2};
    std::forward_list<int> forward{4, 5};
    std::deque<int> deque;
    for (int i = 0; i < 300; ++i) deque.push_back(i);
    truth::show(strings), truth::show(bits), truth::show(accounts_list), truth::show(none),
        truth::show(array);
    truth::show(span), truth::show(pair), truth::show(tuple), truth::show(map), truth::show(words);
    truth::show(set), truth::show(hashed), truth::show(hashed_set), truth::show(list), truth::show(forward);
    truth::show(deque), truth::show(vector);
    co_await accounts.lock(3);
    truth::show(strings), truth::show(bits), truth::show(accounts_list), truth::show(none),
        truth::show(array);
    truth::show(span), truth::show(pair), truth::show(tuple), truth::show(map), truth::show(words);
    truth::show(set), truth::show(hashed), truth::show(hashed_set), truth::show(list), truth::show(forward);
    truth::show(deque), truth::show(vector);
}

void tell_containers() {
    tell("value containers vector 1000 elements {9, 9, 9, 9, 9, ...}");
    tell("value containers strings 2 elements {\"one\", \"two\"}");
    tell("value containers bits 3 elements {true, false, true}");
    tell("value containers accounts_list 2 elements {{id = 1, balance = 1.5}, {id = 2, balance = 2.5}}");
    tell("value containers none 0 elements {}");
    tell("value containers array 2 elements {3, 4}");
    tell("value containers span 1000 elements {9, 9, 9, 9, 9, ...}");
    tell("value containers pair (1, \"p\")");
    tell("value containers tuple (1, \"t\", 0.5)");
    tell("value containers map 3 elements {1: \"a\", 2: \"b\", 3: \"c\"}");
    tell("value containers words 1 element {\"x\": 1}");
    tell("value containers set 2 elements {'a', 'b'}");
    tell("value containers hashed 1 element {7: 8}");
    tell("value containers hashed_set 1 element {\"h\"}");
    tell("value containers list 2 elements {1, 2}");
    tell("value containers forward 2 elements {4, 5}");
    tell("value containers deque 300 elements {0, 1, 2, 3, 4, ...}");
}

Task wrappers(std::unique_ptr<int> owned, std::shared_ptr<Account> shared, std::coroutine_handle<> handle) {
    std::unique_ptr<int> nothing;
    std::unique_ptr<int, void (*)(int*)> with_deleter(new int(6), released);
    std::weak_ptr<Account> weak = shared, expired;
    expired = std::make_shared<Account>();
    std::optional<int> some = 3, no;
    std::optional<std::string> some_text = "opt";
    std::variant<int, std::string> variant = "v";
    std::atomic<int> counter{12};
    std::atomic<bool> flag{true};
    std::mutex mutex;
    std::function<int(int)> function = doubled, no_function;
    std::reference_wrapper<int> wrapped = *owned;
    std::chrono::milliseconds duration{250};
    std::chrono::duration<double> seconds{1.5};
    std::chrono::system_clock::time_point when{std::chrono::seconds(1700000000)};
    std::coroutine_handle<> null_handle;
    int counted = 3;
    auto lambda = [counted, some_capture = 4] { return counted + some_capture; };
    truth::show(nothing), truth::show(with_deleter), truth::show(weak), truth::show(expired),
        truth::show(some);
    truth::show(no), truth::show(some_text), truth::show(variant), truth::show(counter), truth::show(flag);
    truth::show(mutex), truth::show(function), truth::show(no_function), truth::show(wrapped);
    truth::show(duration), truth::show(seconds), truth::show(when), truth::show(null_handle),
        truth::show(lambda);
    truth::show(owned), truth::show(shared), truth::show(handle);
    tell("value wrappers owned %p -> 4", static_cast<void*>(owned.get()));
    tell("value wrappers shared %p -> {id = 5, balance = 0.5} (2 owners)", static_cast<void*>(shared.get()));
    tell("value wrappers handle (anonymous namespace)::numbers({}) %p", handle.address());
    tell("value wrappers with_deleter %p -> 6", static_cast<void*>(with_deleter.get()));
    tell("value wrappers weak %p (2 owners)", static_cast<void*>(shared.get()));
    co_await accounts.lock(4);
    truth::show(nothing), truth::show(with_deleter), truth::show(weak), truth::show(expired),
        truth::show(some);
    truth::show(no), truth::show(some_text), truth::show(variant), truth::show(counter), truth::show(flag);
    truth::show(mutex), truth::show(function), truth::show(no_function), truth::show(wrapped);
    truth::show(duration), truth::show(seconds), truth::show(when), truth::show(null_handle),
        truth::show(lambda);
    truth::show(owned), truth::show(shared), truth::show(handle);
}

void tell_wrappers() {
    tell("value wrappers nothing nullptr");
    tell("value wrappers expired {}(expired)");
    tell("value wrappers some 3");
    tell("value wrappers no nullopt");
    tell("value wrappers some_text \"opt\"");
    tell("value wrappers variant (std::string) \"v\"");
    tell("value wrappers counter 12");
    tell("value wrappers flag true");
    tell("value wrappers mutex unlocked");
    tell("value wrappers function callable");
    tell("value wrappers no_function empty");
    tell("value wrappers wrapped {} -> 4");
    tell("value wrappers duration 250 ms");
    tell("value wrappers seconds 1.5 s");
    tell("value wrappers when 2023-11-14 22:13:20.000 UTC");
    tell("value wrappers null_handle nullptr");
    tell("value wrappers lambda {counted = 3, some_capture = 4}");
}

Task classes(Named named, Account* where, const Account& referred) {
    Named* self = &named;
    truth::show(named), truth::show(where), truth::show(self);
    tell("value classes where %p", static_cast<void*>(where));
    co_await journal.lock(5);
    truth::show(named), truth::show(where), truth::show(self);
    tell("%d", referred.id);
}

void tell_classes() {
    tell("value classes named {id = 1, balance = 2, owner = \"ann\", open = 1, level = -3, inner = {...}}");
    tell("value? classes referred {id = 9, balance = 9.5}");
    tell("awaits? classes (anonymous namespace)::AsyncMutex at %p", static_cast<void*>(&journal));
    tell("field? classes ticket 5");
}

// ---- what lives at a suspend point

Task blocks(int rounds) {
    std::string before = "before";
    truth::show(before);
    {
        std::string gone = "gone";
        truth::show(gone);
    }
    for (int round = 0; round < rounds; ++round) {
        std::string inner = "inner " + std::to_string(round);
        truth::show(inner), truth::show(round);
        if (round == 1) {
            std::string innermost = "innermost";
            truth::show(innermost);
            co_await accounts.lock(6);
            std::string later = "later";
            truth::show(later), truth::show(innermost);
        }
        std::string behind = "behind";
        truth::show(behind), truth::show(inner), truth::show(round);
    }
    std::string after = "after";
    truth::show(after), truth::show(before);
}

void tell_blocks() {
    tell("value? blocks rounds 3");
    tell("value blocks before \"before\"");
    tell("value blocks round 1");
    tell("value blocks inner \"inner 1\"");
    tell("value blocks innermost \"innermost\"");
    for (const char* name : {"gone", "later", "behind", "after"}) tell("none blocks %s", name);
}

Task initialized_by_await() {
    int earlier = 11;
    truth::show(earlier);
    int ticket =  // on the line before its co_await
        co_await accounts.lock(7);
    truth::show(ticket), truth::show(earlier);
}

void tell_initialized_by_await() {
    tell("value? initialized_by_await earlier 11");
    tell("none initialized_by_await ticket");
}

Task same_name(int seed) {
    {
        int value = seed + 1;
        truth::show(value);
        co_await std::suspend_never();
        truth::show(value);
    }
    {
        int value = seed + 2;
        truth::show(value);
        co_await accounts.lock(8);
        truth::show(value);
    }
}

void tell_same_name() {
    tell("value same_name value 102");
}

// clang-format off
Task one_line() { std::string before = "before"; truth::show(before); { std::string gone = "gone"; truth::show(gone); } int ticket = co_await accounts.lock(11); std::string after = "after"; truth::show(ticket), truth::show(after), truth::show(before); }

Task loop_on_one_line(int rounds) { for (int round = 0; round < rounds; ++round) { std::string inner = "inner " + std::to_string(round); truth::show(inner), truth::show(round); if (round == 1) { std::string innermost = "innermost"; truth::show(innermost); co_await accounts.lock(12); std::string later = "later"; truth::show(later), truth::show(innermost); } std::string behind = "behind"; truth::show(behind), truth::show(inner), truth::show(round); } }

Task bodies_without_braces(int rounds, std::vector<int> vector) { for (int round = 1; round < rounds; ++round) if (int twice = round * 2; twice > 0) for (const int one : vector) truth::show(round), truth::show(one), truth::show(twice), co_await accounts.lock(13), truth::show(round), truth::show(one), truth::show(twice); for (int behind = 0; behind < 2; ++behind) truth::show(behind); }
// clang-format on

void tell_one_line() {
    tell("value bodies_without_braces round 1");
    tell("value bodies_without_braces twice 2");
    tell("value bodies_without_braces one 4");
    tell("none bodies_without_braces behind");
    tell("value one_line before \"before\"");
    for (const char* name : {"gone", "ticket", "after"}) tell("none one_line %s", name);
    tell("value loop_on_one_line round 1");
    tell("value loop_on_one_line inner \"inner 1\"");
    tell("value loop_on_one_line innermost \"innermost\"");
    for (const char* name : {"later", "behind"}) tell("none loop_on_one_line %s", name);
}

struct Service {
    int port = 8080;
    Task serve(int clients) {
        int served = clients * 2;
        truth::show(served), truth::show(clients);
        co_await accounts.lock(9);
        truth::show(served), truth::show(clients);
        tell("%d", port);
    }
};

Lazy not_started(std::string argument) {
    std::string local = "never";
    truth::show(local), truth::show(argument);
    co_await accounts.lock(10);
    truth::show(local), truth::show(argument);
}

// ---- a thread's stack

[[gnu::noinline]] void stack_inner(int depth, const std::string& text) {
    Account account{depth, 1.25};
    truth::show(account), truth::show(depth);
    truth::ready();
    truth::block();
    truth::show(account), truth::show(depth);
    puts(text.c_str());
}

[[gnu::noinline]] void stack_outer(const char* argument) {
    std::string on_heap = "a text that is too long for the object itself";
    std::vector<int> vector{1, 2, 3};
    truth::show(on_heap), truth::show(vector);
    stack_inner(3, on_heap);
    truth::show(on_heap), truth::show(vector);
    puts(argument);
}

// A coroutine that is running has its variables on the stack.
Lazy running(int level) {
    std::string text = "of the coroutine that runs";
    truth::show(text), truth::show(level);
    stack_outer("argument");
    std::string not_yet = "later";
    truth::show(not_yet), truth::show(text), truth::show(level);
    co_await std::suspend_never();
}

void tell_running() {
    tell("value running text \"of the coroutine that runs\"");
    tell("value? running level 17");
    tell("none running not_yet");
}

void tell_stack() {
    tell("stack stack_inner account {id = 3, balance = 1.25}");
    tell("stack? stack_inner depth 3");
    tell("stack? stack_inner text \"a text that is too long for the object itself\"");
    tell("stack stack_outer on_heap \"a text that is too long for the object itself\"");
    tell("stack stack_outer vector 3 elements {1, 2, 3}");
    tell("stack? stack_outer argument \"argument\"");
}

}  // namespace

int main(int argc, char** argv) {
    TRUTH_BEGIN();
    // A process with much memory is not copied whole: then the values have to be planned.
    std::vector<char> much(argc > 1 ? std::stoul(argv[1]) : 0, 'x');
    truth::show(much);
    const std::string reference = "by reference, on the heap";
    std::string source = "moved";
    Account account{9, 9.5};
    Service service;
    const auto shared = std::make_shared<Account>(Account{5, 0.5});

    const Task task = numbers(-42, 65535, -9000000000000000000, true, 'x', 2.5, 0.1F, -7, 200);
    tell_numbers();
    texts("bob", reference, std::string_view("a part of it").substr(2, 4), std::move(source));
    tell_texts();
    containers(std::vector<int>(1000, 9));
    tell_containers();
    wrappers(std::make_unique<int>(4), shared, task.handle);
    tell_wrappers();
    Named named;
    named.id = 1, named.balance = 2, named.owner = "ann", named.open = 1, named.level = -3,
    named.inner = {3, 4};
    classes(named, &account, account);
    tell_classes();
    blocks(3);
    tell_blocks();
    initialized_by_await();
    tell_initialized_by_await();
    same_name(100);
    tell_same_name();
    one_line();
    loop_on_one_line(3);
    bodies_without_braces(3, {4, 5});
    tell_one_line();
    service.serve(21);
    tell("value? serve this %p", static_cast<void*>(&service));
    tell("value serve clients 21");
    tell("value serve served 42");
    const Lazy lazy = not_started("argument");
    tell("value not_started argument \"argument\"");
    tell("none not_started local");
    truth::show(lazy);
    tell_stack();
    tell_running();
    fflush(stdout);
    running(17).handle.resume();
}

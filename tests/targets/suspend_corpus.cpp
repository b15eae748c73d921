// Coroutines in all shapes for the suspend point tests. Each is suspended at each of its points; the program prints a
// line for every suspended frame: name, frame address, true line, kind, the frame's bytes. Reads nothing, waits for
// nothing. The truth comes from __LINE__: in an await's operand, or, where the operand must stay natural, in a list of
// line numbers relative to the line above the coroutine.
// clang-format off: the layout of the co_await expressions is what is tested.
#include "suspend_corpus_support.h"

#include <link.h>

#include <cstdio>
#include <cstdlib>
#include <new>

namespace corpus {

// --- straight lines ----------------------------------------------------------------------------------------------

Lazy one_await() { co_await at(__LINE__); }

Lazy one_await_between() {
    work(1);
    co_await at(__LINE__);
    work(2);
}

Lazy three_awaits() {
    co_await at(__LINE__);
    work(1);
    co_await at(__LINE__);
    work(2);
    co_await at(__LINE__);
}

Lazy adjacent_awaits() {
    co_await at(__LINE__);
    co_await at(__LINE__);
    co_await at(__LINE__);
    co_await at(__LINE__);
    co_await at(__LINE__);
}

Lazy adjacent_pauses() {
    co_await Pause(__LINE__);
    co_await Pause(__LINE__);
    co_await Pause(__LINE__);
    co_await Pause(__LINE__);
}

constexpr int natural_base = __LINE__;
Lazy natural() {
    co_await std::suspend_always{};
    work(1);
    co_await std::suspend_always{};

    co_await std::suspend_always{};
    work(2);
}
constexpr int natural_lines[] = {2, 4, 6, 0};

constexpr int natural_bare_base = __LINE__;
Lazy natural_bare() {
    co_await std::suspend_always{};
    co_await std::suspend_always{};
}
constexpr int natural_bare_lines[] = {2, 3, 0};

constexpr int natural_loop_base = __LINE__;
Lazy natural_loop(int n) {
    for (int i = 0; i < n; ++i) {
        co_await std::suspend_always{};
        work(i);
    }
    co_await std::suspend_always{};
}
constexpr int natural_loop_lines[] = {3, 3, 3, 6, 0};

Lazy blank_lines() {

    co_await at(__LINE__);


    work(1);

    co_await at(__LINE__);

}

Lazy outlined() {
    co_await Outlined{__LINE__};
    work(1);
    co_await Outlined{__LINE__};
    int x = co_await Outlined{__LINE__};
    work(x);
}

Lazy results(int start) {
    int a = co_await at(__LINE__);
    int b = co_await at(__LINE__);
    work(a + start);
    int c = co_await at(__LINE__) + a;
    work(c + b);
    auto d = a + co_await Outlined{__LINE__};
    work(d);
}

Lazy guarded() {
    co_await Guarded(__LINE__);
    work(co_await Guarded(__LINE__));
    Guarded named(__LINE__ + 1);
    co_await named;
    work(3);
}

// --- several on a line, several lines ------------------------------------------------------------------------------

Lazy two_on_a_line() {
    work(co_await at(__LINE__) + co_await at(__LINE__));
    co_await at(__LINE__); co_await at(__LINE__);
    int x = co_await Outlined{__LINE__} * co_await Outlined{__LINE__}; work(x);
}

constexpr int multi_line_base = __LINE__;
Lazy multi_line(int v) {
    co_await
        (mark(multi_line_base + 2),
         at(multi_line_base + 2));
    work(co_await at(
        multi_line_base + 5));
    auto x = 1 +
        co_await at(multi_line_base + 8)
        + 2;
    work(x);
    work(
        v +
        co_await at(multi_line_base + 13)
        + co_await at(multi_line_base + 14));
    co_await Outlined{
        multi_line_base + 15
    };
    co_await Pause(
        multi_line_base + 18
    );
    co_await Guarded(
        multi_line_base + 21,
        false
    );
}

int three(int a, int b, int c) { return opaque(a + b + c); }

constexpr int arguments_base = __LINE__;
Lazy arguments() {
    work(three(co_await at(__LINE__), 2, 3));
    work(three(1, co_await at(__LINE__), co_await at(__LINE__)));
    work(three(opaque(1),
               co_await at(arguments_base + 5),
               opaque(co_await at(arguments_base + 6))));
}

// --- branches --------------------------------------------------------------------------------------------------------

Lazy branches(int which) {
    if (which == 0) {
        co_await at(__LINE__);
    } else if (which == 1) {
        work(1);
        co_await at(__LINE__);
    } else {
        co_await Outlined{__LINE__};
        work(2);
    }
    work(3);
    if (which) co_await at(__LINE__);
    co_await at(__LINE__);
}

Lazy same_in_branches(int which) {
    if (which)
        co_await Pause(__LINE__);
    else
        co_await Pause(__LINE__);
    work(1);
    if (which) {
        co_await at(__LINE__);
    } else {
        co_await at(__LINE__);
    }
}

Lazy conditions(int which) {
    int local = opaque(which);
    if (co_await at(__LINE__) > local) work(1);
    if (local == 1 && co_await at(__LINE__) != 0) work(2);
    if (local == 1 || co_await at(__LINE__) != 0) work(3);
    if (int x = co_await at(__LINE__); x > 3) work(x);
    bool both = (co_await at(__LINE__) != 0) && (co_await at(__LINE__) != 1);
    work(both);
    while (co_await Conditional{__LINE__, true} && local++ < 1) work(4);
    do {
        work(5);
    } while (co_await Conditional{__LINE__, true} && local++ < 4);
}

// GCC 12.2 makes no frame with the resume pointer in front of a coroutine whose only co_await is the condition of an if without
// locals; with a local and a second await it does.
Lazy condition_only(int which) {
    int local = opaque(which);
    if (co_await Conditional{__LINE__, true}) work(local);
    co_await at(__LINE__);
}

Lazy ternary(int which) {
    int local = which ? co_await at(__LINE__) : co_await at(__LINE__);
    work(local);
    local = which ? opaque(3) : co_await Outlined{__LINE__};
    work(local);
}

Lazy switched(int which) {
    switch (which) {
        case 0: co_await at(__LINE__); break;
        case 1:
            work(1);
            co_await at(__LINE__);
            [[fallthrough]];
        case 2:
            co_await Outlined{__LINE__};
            break;
        case 3: {
            int x = co_await at(__LINE__);
            work(x);
            break;
        }
        default:
            co_await Pause(__LINE__);
    }
    work(2);
    switch (co_await at(__LINE__)) {
        case 1: work(1); break;
        default: co_await at(__LINE__);
    }
}

#if __clang_major__ != 14  // clang 14 crashes on it when optimising
Lazy early_return(int which) {
    if (which == 0) {
        co_await at(__LINE__);
        co_return;
    }
    co_await at(__LINE__);
    if (which == 1) co_return;
    work(1);
    co_await at(__LINE__);
}

#endif

Lazy jumps(int which) {
again:
    co_await at(__LINE__);
    if (which-- > 0) goto again;
    work(which);
    co_await at(__LINE__);
}

// --- loops -----------------------------------------------------------------------------------------------------------

Lazy loop(int n) {
    for (int i = 0; i < n; ++i) co_await at(__LINE__);
}

Lazy loop_body(int n) {
    for (int i = 0; i < n; ++i) {
        work(i);
        co_await at(__LINE__);
        work(i);
    }
    co_await at(__LINE__);
}

Lazy nested_loops(int n) {
    for (int i = 0; i < n; ++i) {
        for (int j = 0; j < n; ++j) {
            co_await at(__LINE__);
            if (opaque(j) == 7) break;
            co_await Pause(__LINE__);
        }
        co_await at(__LINE__);
        if (opaque(i) == 9) continue;
        work(i);
    }
}

Lazy while_loop(int n) {
    while (n-- > 0) {
        co_await at(__LINE__);
        if (n == 1) {
            co_await at(__LINE__);
            continue;
        }
        work(n);
        co_await Outlined{__LINE__};
    }
}

Lazy for_header(int n) {
    for (int i = co_await at(__LINE__);
         i != 0 && n > 0;
         n -= (co_await at(__LINE__) != 0)) {
        work(i);
        co_await at(__LINE__);
    }
}

Lazy unrolled() {
    for (int i = 0; i < 3; ++i) co_await at(__LINE__);
    for (int i = 0; i < 2; ++i) {
        co_await Pause(__LINE__);
        co_await Pause(__LINE__);
    }
}

Eager forever() {
    for (;;) {
        co_await at(__LINE__);
        work(1);
        co_await at(__LINE__);
    }
}

Eager forever_one() {
    while (true) co_await at(__LINE__);
}

// --- scopes and exceptions -------------------------------------------------------------------------------------------

struct Noisy {
    int value;
    explicit Noisy(int v) : value(v) {}
    Noisy(const Noisy&) = delete;
    ~Noisy() { work(value); }
};

Lazy scopes() {
    Noisy outer(1);
    co_await at(__LINE__);
    {
        Noisy inner(2);
        co_await at(__LINE__);
        {
            Noisy innermost(3);
            co_await Pause(__LINE__);
        }
        co_await at(__LINE__);
    }
    Noisy last(4);
    co_await Pause(__LINE__);
}

Lazy try_catch() {
    try {
        co_await at(__LINE__);
        co_await Guarded(__LINE__, true);
        co_await at(__LINE__);
    } catch (int line) {
        work(line);
    }
    co_await at(__LINE__);
    int caught = 0;
    try {
        work(co_await Guarded(__LINE__, true));
    } catch (...) {
        caught = 1;
    }
    if (caught) co_await at(__LINE__);
    co_await Outlined{__LINE__};
}

Lazy temporaries() {
    work((Noisy(1), co_await at(__LINE__)));
    work(Noisy(co_await at(__LINE__)).value);
    const Noisy& extended = Noisy(co_await Outlined{__LINE__});
    co_await at(__LINE__);
    work(extended.value);
}

Lazy big_frame() {
    char buffer[600];
    for (char& c : buffer) c = static_cast<char>(opaque(1));
    co_await at(__LINE__);
    work(buffer[3]);
    co_await at(__LINE__);
    work(buffer[599]);
}

Aligned aligned(int n) {
    alignas(32) char data[32];
    data[0] = static_cast<char>(opaque(n));
    co_await at(__LINE__);
    work(data[0]);
    co_await at(__LINE__);
    co_await at(__LINE__);
}

Lazy parameters(int a, long b, Noisy& c, double d, const char* e) {
    co_await at(__LINE__);
    work(a + static_cast<int>(b));
    co_await at(__LINE__);
    work(c.value + static_cast<int>(d));
    co_await Pause(__LINE__);
    work(e[0]);
}

// --- awaiters of many kinds ------------------------------------------------------------------------------------------

Lazy kinds() {
    co_await Conditional{__LINE__, true};
    co_await Conditional{__LINE__, false};
    co_await Transfer{__LINE__};
    work(1);
    co_await Transfer{__LINE__};
    co_await Member{__LINE__};
    co_await Free{__LINE__};
    co_await std::suspend_never{};
    work(co_await Member{__LINE__} + co_await Free{__LINE__});
}

Lazy transfers() {
    co_await Transfer{__LINE__};
    co_await Transfer{__LINE__};
    co_await Transfer{__LINE__};
}

Lazy conditionals(bool suspends) {
    bool a = co_await Conditional{__LINE__, true};
    bool b = co_await Conditional{__LINE__, suspends};
    co_await Conditional{__LINE__, !suspends};
    work(a + b);
    co_await Conditional{__LINE__, true};
}

Lazy lvalue_awaiter(Event<int>& event) {
    co_await (mark(__LINE__), event);
    work(1);
    int& value = co_await (mark(__LINE__), event);
    work(value);
    Event<long> local;
    co_await (mark(__LINE__), local);
    co_await at(__LINE__);
}

constexpr int natural_event_base = __LINE__;
Lazy natural_event(Event<int>& event) {
    co_await event;
    work(1);
    int value = co_await event;
    work(value);
    if (value == 0) {
        work(co_await event);
    }
    Event<long> local;
    co_await local;
}
constexpr int natural_event_lines[] = {2, 4, 7, 10, 0};

Transforming transforming() {
    co_await Ticks{__LINE__};
    work(1);
    co_await at(__LINE__);
    int x = co_await Ticks{__LINE__} + co_await Ticks{__LINE__};
    work(x);
    co_await Pause(__LINE__);
}

// --- coroutines awaiting coroutines ----------------------------------------------------------------------------------

Task<int> leaf(int v) {
    co_await at(__LINE__);
    co_return v;
}

Task<int> middle(int v) {
    int sum = 0;
    sum += co_await leaf(v);
    work(sum);
    sum += co_await leaf(v) + co_await leaf(v + 1);
    if (opaque(v)) {
        sum += co_await leaf(sum);
    }
    co_return sum;
}

Task<int> returns_an_await() {
    co_return co_await at(__LINE__);
}

#if __clang_major__ != 14
Task<int> returns_a_task(int v) {
    if (v == 0) co_return co_await at(__LINE__);
    co_return co_await at(__LINE__) + co_await Outlined{__LINE__};
}
#endif

constexpr int parent_base = __LINE__;
Task<int> parent(int v) {
    int sum = co_await leaf(v);
    sum += co_await leaf(v);
    for (int i = 0; i < 2; ++i) {
        sum += co_await leaf(
            sum);
    }
    sum += co_await leaf(1) + co_await leaf(2);
    try {
        sum += co_await leaf(v);
    } catch (...) {
        work(1);
    }
    co_return co_await leaf(sum);
}
constexpr int parent_lines[] = {2, 3, 5, 5, 8, 8, 10, 14, 0};

// --- where the compiler needs no index -------------------------------------------------------------------------------

Detached detached_one() {
    work(1);
    co_await at(__LINE__);
    work(2);
}

Detached detached_outlined() {
    co_await Outlined{__LINE__};
}

Detached detached_two() {
    co_await at(__LINE__);
    work(1);
    co_await at(__LINE__);
}

Detached detached_loop() {
    for (int i = 0; i < 3; ++i) {
        co_await at(__LINE__);
        work(i);
    }
}

Eager eager(int n) {
    work(n);
    co_await at(__LINE__);
    work(n);
    co_await at(__LINE__);
}

Eager eager_pauses() {
    co_await Pause(__LINE__);
    co_await Pause(__LINE__);
    co_await Pause(__LINE__);
}

Eager eager_branch(int which) {
    if (which) {
        co_await at(__LINE__);
    }
    co_await Outlined{__LINE__};
}

// --- generators ------------------------------------------------------------------------------------------------------

Generator<int> numbers(int n) {
    for (int i = 0; i < n; ++i) co_yield (mark_yield(__LINE__), i);
}

constexpr int natural_numbers_base = __LINE__;
Generator<int> natural_numbers(int n) {
    co_yield 1;
    co_yield 2;
    for (int i = 0; i < n; ++i) {
        work(i);
        co_yield i;
    }
    co_yield opaque(n);
}
constexpr int natural_numbers_lines[] = {-2, -3, -6, -6, -8, 0};

constexpr int fibonacci_base = __LINE__;
Generator<unsigned> fibonacci() {
    unsigned a = 0, b = 1;
    while (a < 4) {
        co_yield a;
        unsigned next = a + b;
        a = b;
        b = next;
    }
}
constexpr int fibonacci_lines[] = {-4, -4, -4, -4, -4, 0};

Generator<int> yields_and_awaits(int n) {
    co_yield (mark_yield(__LINE__), n);
    co_await at(__LINE__);
    co_yield (mark_yield(__LINE__),
              n + 1);
    work(co_await at(__LINE__));
    co_yield (mark_yield(__LINE__), opaque(3));
}

Lazy ranges(int n) {
    for (int v : numbers(n)) {
        mark(0);
        work(v);
        co_await at(__LINE__);
    }
    co_await at(__LINE__);
}

// --- templates, members, lambdas -------------------------------------------------------------------------------------

template <class T, int N>
Lazy templated(T value) {
    T local = value;
    co_await at(__LINE__);
    if constexpr (N > 1) {
        work(static_cast<int>(local));
        co_await at(__LINE__);
    }
    for (int i = 0; i < N; ++i) co_await Pause(__LINE__);
    co_await at(__LINE__);
}

struct Server {
    int state = 0;
    Lazy handle(int n) {
        state += co_await at(__LINE__);
        work(n);
        co_await Pause(__LINE__);
        state += co_await Outlined{__LINE__};
    }
    static Lazy accept() {
        co_await at(__LINE__);
        work(1);
        co_await at(__LINE__);
    }
    template <class T>
    Lazy send(T value) const {
        co_await at(__LINE__);
        work(static_cast<int>(value));
        co_await at(__LINE__);
    }
    virtual Lazy stop() {
        co_await at(__LINE__);
        co_await at(__LINE__);
    }
    virtual ~Server() = default;
};

namespace {
Lazy internal_linkage(int n) {
    co_await at(__LINE__);
    work(n);
    co_await at(__LINE__);
}
}  // namespace

[[gnu::noinline]] Lazy lambda_plain() {
    return []() -> Lazy {
        co_await at(__LINE__);
        work(1);
        co_await at(__LINE__);
    }();
}

auto generic_lambda = [](auto value) -> Lazy {
    co_await at(__LINE__);
    work(static_cast<int>(value));
    co_await Pause(__LINE__);
};

// A macro's tokens all stand on the line of its use.
#define AWAIT_TWICE(line) co_await at(line); co_await at(line)
#define AWAIT(line) co_await at(line)
Lazy macros() {
    AWAIT(__LINE__);
    work(1);
    AWAIT_TWICE(__LINE__);
    AWAIT(__LINE__);
}

Lazy many() {
#include "suspend_corpus_300.inc"
}

// --- what misleads a reader of code or text --------------------------------------------------------------------------

Lazy split_statement() {
    work(co_await at(__LINE__) +
         co_await at(__LINE__));
    work(co_await Outlined{__LINE__} +
         co_await Outlined{__LINE__});
    co_await Pause(__LINE__),
        co_await Pause(__LINE__);
}

constexpr int natural_split_base = __LINE__;
Lazy natural_split(Event<int>& event) {
    int total = co_await event +
        co_await event;
    work(total);
    work(three(1, co_await event,
               co_await event));
}
constexpr int natural_split_lines[] = {2, 3, 5, 6, 0};

struct Table {
    int cells[4]{};
    int& operator[](int i) { return cells[i & 3]; }
    Table& operator<<(int v) {
        cells[0] += v;
        return *this;
    }
};

// In a statement of several lines the compiler's order of the awaits matters; the line of the statement says nothing.
constexpr int orders_base = __LINE__;
Lazy orders(Event<int>& event, int which) {
    Table table;
    table << co_await event
          << co_await event
          << co_await event;
    table[co_await at(__LINE__)] =
        co_await at(__LINE__);
    int x = which ? co_await event
                  : co_await event;
    work(x);
    const int list[] = {co_await at(__LINE__),
                        co_await at(__LINE__)};
    work(list[0]);
    bool both = co_await at(__LINE__) != 0 &&
                co_await at(__LINE__) != 0;
    work(both);
    x = three(co_await at(
                  co_await at(orders_base + 18) * 0 + orders_base + 17),
              co_await at(orders_base + 19),
              3);
    work(x);
    event.value += co_await at(__LINE__) +
                   co_await at(__LINE__);
}

constexpr int natural_orders_base = __LINE__;
Lazy natural_orders(Event<int>& event) {
    Table table;
    table << co_await event
          << co_await event;
    const int list[] = {co_await event,
                        co_await event};
    work(three(list[0],
               co_await event,
               opaque(co_await event)));
    bool both = co_await event == 0 &&
                co_await event == 0;
    work(both);
}
constexpr int natural_orders_lines[] = {3, 4, 5, 6, 8, 9, 10, 11, 0};

constexpr int nested_base = __LINE__;
Lazy nested() {
    work(co_await at((co_await at(__LINE__) != 0) * 0 + __LINE__));
    co_await at(
        (co_await at(nested_base + 4) != 0) * 0 + nested_base + 3);
    co_await Outlined{
        opaque(0) * co_await Outlined{nested_base + 6} +
        nested_base + 5};
}

constexpr int natural_branches_base = __LINE__;
Lazy natural_branches(int which) {
    if (which == 0)
        co_await std::suspend_always{};
    else
        co_await std::suspend_always{};
    if (which) work(which);
    if (which == 0) {
        co_await std::suspend_always{};
    } else {
        co_await std::suspend_always{};
    }
}
constexpr int natural_branches_lines[2][3] = {{3, 8, 0}, {5, 10, 0}};

constexpr int natural_switch_base = __LINE__;
Lazy natural_switch(int which) {
    switch (which) {
        case 0: co_await std::suspend_always{}; break;
        case 1: co_await std::suspend_always{}; break;
        case 2: co_await std::suspend_always{}; break;
        case 3: co_await std::suspend_always{}; break;
        case 4: co_await std::suspend_always{}; work(4); break;
        case 5: work(4); co_await std::suspend_always{}; break;
        default: co_await std::suspend_always{}; break;
    }
    work(which);
}

// The user's own state in the frame, tested where the coroutine goes on: no dispatch, though it looks like one.
Eager flag_single() {
    bool first = true;
    for (;;) {
        co_await at(__LINE__);
        if (first) work(1);
        first = false;
    }
}

constexpr int natural_flag_base = __LINE__;
Eager natural_flag() {
    char state = 0;
    for (;;) {
        co_await std::suspend_always{};
        if (state == 0) {
            work(1);
            state = 1;
        } else if (state == 1) {
            work(2);
            state = 2;
        } else {
            state = 0;
        }
    }
}
constexpr int natural_flag_lines[] = {4, 4, 4, 4, 0};

Lazy state_machine(int state) {
    for (int i = 0; i < 6; ++i) {
        co_await at(__LINE__);
        switch (state) {
            case 0: state = 2; work(2); break;
            case 1: state = 3; work(3); break;
            case 2: state = 1; work(1); break;
            case 3: state = 4; break;
            case 4: state = 5; opaque(3); break;
            default: co_await at(__LINE__); state = 0;
        }
    }
}

constexpr int index_like_base = __LINE__;
Lazy index_like(short& counter) {
    short a = 2, b = 4;
    counter = 6;
    co_await std::suspend_always{};
    a = 4;
    b = 6;
    work(a + b);
    co_await std::suspend_always{};
    counter = 4;
    a = 6;
    b = 8;
    co_await std::suspend_always{};
    work(a + b);
}
constexpr int index_like_lines[] = {4, 8, 12, 0};

Lazy nothing() { co_return; }

Lazy never_suspends() {
    co_await std::suspend_never{};
    work(1);
}

constexpr int natural_eager_base = __LINE__;
Eager natural_eager(int n) {
    work(n);
    co_await std::suspend_always{};
    work(n);
    co_await std::suspend_always{};
}
constexpr int natural_eager_lines[] = {3, 5, 0};

namespace {
// Inlined into its only caller: the ramp leaves no function behind.
Eager hidden_eager(int n) {
    work(n);
    co_await at(__LINE__);
    work(n);
}
constexpr int hidden_natural_base = __LINE__;
Eager hidden_natural() {
    co_await std::suspend_always{};
    co_await std::suspend_always{};
    work(3);
}
constexpr int hidden_natural_lines[] = {2, 3, 0};
}  // namespace

Lazy one_line() { co_await at(__LINE__); work(1); co_await at(__LINE__); }

Lazy opening() { co_await at(__LINE__);
    work(1);
    co_await at(__LINE__); }

constexpr int natural_braces_base = __LINE__;
Lazy natural_braces() { co_await std::suspend_always{};
    work(1);
    co_await std::suspend_always{}; }
constexpr int natural_braces_lines[] = {1, 3, 0};

Lazy
long_declaration(int a,
                 int b)
{
    co_await at(__LINE__);
    work(a);
    co_await Pause(__LINE__);
    work(b);
}

#define PAUSE co_await std::suspend_always{}
constexpr int natural_macros_base = __LINE__;
Lazy natural_macros() {
    PAUSE;
    work(1);
    PAUSE; co_await std::suspend_always{};
    co_await std::suspend_always{};
}
constexpr int natural_macros_lines[] = {2, 4, 4, 5, 0};

constexpr int inner_lambda_base = __LINE__;
Lazy inner_lambda() {
    co_await std::suspend_always{};
    auto inner = []() -> Lazy { co_await std::suspend_always{}; };
    Lazy child = inner();
    co_await std::suspend_always{};
    struct Local {
        static Lazy run() {
            co_await std::suspend_always{};
        }
    };
    Lazy other = Local::run();
    co_await std::suspend_always{};
}
constexpr int inner_lambda_lines[] = {2, 5, 12, 0};

constexpr int natural_increment_base = __LINE__;
Lazy natural_increment(int n) {
    for (int i = 0; i < n; co_await std::suspend_always{}, ++i) {
        co_await std::suspend_always{};
    }
    co_await std::suspend_always{};
}
constexpr int natural_increment_lines[] = {3, 2, 3, 2, 5, 0};

template <bool With>
constexpr int natural_constexpr_base() { return __LINE__; }
template <bool With>
Lazy natural_constexpr() {
    co_await std::suspend_always{};
    if constexpr (With) {
        co_await std::suspend_always{};
    } else {
        work(1);
    }
    co_await std::suspend_always{};
}
constexpr int natural_constexpr_lines[2][4] = {{3, 9, 0}, {3, 5, 9, 0}};

constexpr int natural_try_base = __LINE__;
Lazy natural_try(int n) {
    try {
        co_await std::suspend_always{};
        if (n) throw 1;
        co_await std::suspend_always{};
    } catch (int v) {
        work(v);
    }
    try {
        Noisy noisy(2);
        co_await std::suspend_always{};
        opaque(n);
        co_await std::suspend_always{};
    } catch (...) {
    }
}
constexpr int natural_try_lines[2][5] = {{3, 5, 11, 13, 0}, {3, 11, 13, 0}};

constexpr int yields_multi_line_base = __LINE__;
Generator<int> yields_multi_line(int n) {
    co_yield three(1,
                   n,
                   2);
    co_yield
        n + 2;
    for (int i = 0;
         i < 2;
         ++i)
        co_yield i +
            n;
}
constexpr int yields_multi_line_lines[] = {-2, -5, -10, -10, 0};

// An asynchronous mutex, as libraries write it.
struct Mutex {
    void* holder = nullptr;
    struct Lock {
        Mutex& mutex;
        int line;
        Lock* next = nullptr;
        std::coroutine_handle<> waiter = nullptr;
        bool await_ready() noexcept {
            if (mutex.holder != nullptr) return false;
            mutex.holder = this;
            return opaque(1) == 0;
        }
        bool await_suspend(std::coroutine_handle<> handle) noexcept {
            waiter = handle;
            void* old = mutex.holder;
            do {
                if (old == nullptr) return false;
                next = static_cast<Lock*>(old);
            } while (opaque(0) != 0);
            mutex.holder = this;
            mark(line);
            return true;
        }
        Mutex* await_resume() noexcept { return &mutex; }
    };
    Lock lock(int line) { return Lock{*this, line}; }
};

Lazy locking(Mutex& mutex) {
    co_await mutex.lock(__LINE__);
    work(1);
    Mutex* held = co_await mutex.lock(__LINE__);
    held->holder = nullptr;
    mutex.holder = &mutex;
    for (int i = 0; i < 2; ++i) {
        (co_await mutex.lock(__LINE__))->holder = &mutex;
        if (opaque(i)) work(i);
    }
}

// --- a library's state beside the index, or where there is none ----------------------------------------------------

Stateful stateful_one() {
    co_await Ticks{__LINE__};
    co_return 1;
}

Stateful stateful_two(int n) {
    co_await Ticks{__LINE__};
    work(n);
    co_await Ticks{__LINE__};
    co_return n;
}

Stateful stateful_loop() {
    for (;;) co_await Ticks{__LINE__};
}

StatefulLater stateful_later() {
    co_await Ticks{__LINE__};
    co_return 1;
}

StatefulNow stateful_now() {
    co_await Ticks{__LINE__};
    co_return 1;
}

constexpr int stateful_natural_base = __LINE__;
Stateful stateful_natural(Event<int>& event) {
    const int value = co_await event;
    co_return value;
}
constexpr int stateful_natural_lines[] = {2, 0};

// Suspends at the beginning only: what is awaited never suspends.
StatefulLater stateful_never() {
    co_await std::suspend_never{};
    co_return 1;
}

// A flag of the coroutine's own: set before the only suspend point, tested behind it.
Eager own_flag(int n) {
    bool is_odd = false;
    if (n & 1) is_odd = true;
    co_await at(__LINE__);
    if (is_odd) work(n);
    is_odd = false;
    work(n);
}

// From the initial suspend point it goes on as from the await.
constexpr int lazy_forever_base = __LINE__;
Lazy lazy_forever() {
    while (true) co_await std::suspend_always{};
}
constexpr int lazy_forever_lines[] = {2, 2, 2, 0};

constexpr int ones_base = __LINE__;
Generator<int> ones() {
    while (true) co_yield 1;
}
constexpr int ones_lines[] = {-2, -2, -2, 0};

constexpr int counting_base = __LINE__;
Generator<int> counting(int n) {
    for (;;) {
        co_yield n++;
    }
}
constexpr int counting_lines[] = {-3, -3, -3, 0};

Lazy lazy_forever_marked() {
    while (true) co_await at(__LINE__);
}

Task<int> joins(Event<int>** events, int which) {
    co_return co_await (mark(__LINE__), Joined{events[which]});
}

constexpr int natural_joins_base = __LINE__;
Task<int> natural_joins(Event<int>** events, int which) {
    co_return co_await Joined{events[which]};
}
constexpr int natural_joins_lines[] = {2, 0};

constexpr int descend_base = __LINE__;
Task<int> descend(int depth) {
    if (depth == 0) {
        co_await at(__LINE__);
        co_return 0;
    }
    const int below = co_await descend(depth - 1);
    co_return below + 1;
}
constexpr int descend_line = 6;

// --- GCC gives the awaits of a co_return the line where its expression ends ------------------------------------------

/// Something to call members of.
struct Chain {
    Chain with(int) const { return *this; }
    Wait done() const { return at(1); }
    Wait operator()(int v) const { return at(v); }
    void use(int v) const { work(v); }
};
struct ChainWait {
    Wait wait{1};
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) const noexcept { wait.await_suspend(handle); }
    Chain await_resume() const noexcept { return {}; }
};
ChainWait chain_of(int v) { return {Wait{opaque(v)}}; }
template <class F>
Wait applied(F f, int v) {
    return at(f(v));
}
template <class F>
Outlined outlined_by(F f, int v) {
    return Outlined{f(v)};
}

constexpr int returned_call_base = __LINE__;
Task<int> returned_call() {
    co_return co_await at(
        three(1,
              2, 3));
}
constexpr int returned_call_lines[] = {2, 0};

constexpr int returned_end_base = __LINE__;
Task<int> returned_end() {
    co_return co_await
        at(1);
}
constexpr int returned_end_lines[] = {2, 0};

constexpr int returned_outlined_base = __LINE__;
Task<int> returned_outlined() {
    co_return co_await outlined_by([](int v) {
        return v;
    }, 3);
}
constexpr int returned_outlined_lines[] = {2, 0};

constexpr int returned_lambda_base = __LINE__;
Task<int> returned_lambda() {
    co_return co_await applied([](int v) {
        return v;
    }, 3);
}
constexpr int returned_lambda_lines[] = {2, 0};

constexpr int returned_members_base = __LINE__;
Task<int> returned_members() {
    co_return co_await Chain()
        .with(1)
        .with(2)
        .done();
}
constexpr int returned_members_lines[] = {2, 0};

constexpr int returned_braces_base = __LINE__;
Task<int> returned_braces() {
    co_return co_await Outlined{
        .line = opaque(1),
    };
}
constexpr int returned_braces_lines[] = {2, 0};

constexpr int returned_arguments_base = __LINE__;
Task<int> returned_arguments() {
    co_return three(
        co_await at(1),
        co_await outlined_by(opaque,
            2),
        co_await at(
            3));
}
constexpr int returned_arguments_lines[] = {3, 4, 6, 0};

constexpr int returned_inner_base = __LINE__;
Task<int> returned_inner() {
    co_return co_await at(
        co_await at(1) + co_await Outlined{
            opaque(2)}
        );
}
constexpr int returned_inner_lines[] = {3, 3, 2, 0};

constexpr int returned_template_base = __LINE__;
template <class T>
Task<T> returned_template(T v) {
    if (v == 0) work(1);
    co_return co_await at(
        static_cast<int>(v) + 3);
}
constexpr int returned_template_lines[] = {4, 0};

// In templates GCC gives all of an await the place of the keyword or that of the statement.
constexpr int template_orders_base = __LINE__;
template <class T>
Task<T> template_orders(T v, Event<int>& event) {
    T x = co_await at(
        co_await at(static_cast<int>(v))
    );
    work(three(co_await at(1),
               co_await at(2),
               static_cast<int>(x)));
    work(co_await event +
         co_await event);
    co_await at(
        three(1, co_await outlined_by(opaque,
                     static_cast<int>(v)), 2));
    x = co_await at(3) +
        co_await event;
    three(
        1, 2,
        co_await event);
    co_return three(
        co_await at(co_await at(1) +
            2),
        static_cast<int>(v),
        co_await event);
}
constexpr int template_orders_lines[] = {4, 3, 6, 7, 9, 10, 12, 11, 14, 15, 18, 20, 20, 23, 0};

// The statement is the last call: its line is that of the call's parenthesis.
constexpr int called_on_base = __LINE__;
Lazy called_on() {
    (co_await chain_of(
        1)).use(2);
    work(1);
    (co_await chain_of(
        opaque(1))).use(co_await at(2));
    (co_await chain_of(3))
        .use(co_await outlined_by(opaque,
                 4));
    co_await (co_await chain_of(
        5))(6);
}
constexpr int called_on_lines[] = {2, 5, 6, 7, 8, 10, 10, 0};

// --- no trace but the word in a comment: co_await here and there must not confuse who reads the source text -------

constexpr int comments_base = __LINE__;
Lazy comments() {
    // co_await nothing
    work(1); /* co_await
    co_await */ co_await std::suspend_always{};
    work(*"co_await");  // co_await
    co_await std::suspend_always{};
    // co_await
}
constexpr int comments_lines[] = {4, 6, 0};

}  // namespace corpus

// =====================================================================================================================

namespace corpus {
namespace {

struct Block {
    char* begin = nullptr;
    std::size_t size = 0;
};
Block blocks[256];
int current_line = 0;
Kind current_kind = Kind::await;
void* current_frame = nullptr;
volatile int zero = 0;

void remember(void* begin, std::size_t size) {
    for (Block& block : blocks) {
        if (block.begin == nullptr) {
            block = {static_cast<char*>(begin), size};
            return;
        }
    }
}
void forget(void* begin) {
    for (Block& block : blocks) {
        if (block.begin == begin) block = {};
    }
}

const char* kind_name(Kind kind) {
    switch (kind) {
        case Kind::initial: return "initial";
        case Kind::await: return "await";
        case Kind::yield: return "yield";
        case Kind::final: return "final";
    }
    return "?";
}

template <class Handle>
void drive_to_end(const char* name, Handle handle, const int* lines, int base) {
    while (!handle.done()) {
        handle.resume();
        if (handle.done()) break;
        if (lines != nullptr) {
            current_kind = *lines < 0 ? Kind::yield : Kind::await;
            current_line = base + (*lines < 0 ? -*lines : *lines);
            ++lines;
        }
        record(name, handle.address(), current_line, current_kind);
    }
    record(name, handle.address(), 0, Kind::final);
}

template <class Promise>
void lazy(const char* name, Owner<Promise> owner, const int* lines = nullptr, int base = 0) {
    record(name, owner.handle.address(), 0, Kind::initial);
    drive_to_end(name, owner.handle, lines, base);
}

template <class Promise>
void eager_from_start(const char* name, Owner<Promise> owner, int steps) {
    for (int i = 0; i < steps && !owner.handle.done(); ++i) {
        record(name, owner.handle.address(), current_line, current_kind);
        owner.handle.resume();
    }
    if (owner.handle.done()) record(name, owner.handle.address(), 0, Kind::final);
}

template <class Promise>
void eager_natural(const char* name, Owner<Promise> owner, const int* lines, int base) {
    for (; *lines != 0 && !owner.handle.done(); ++lines) {
        record(name, owner.handle.address(), base + *lines, Kind::await);
        owner.handle.resume();
    }
    if (owner.handle.done()) record(name, owner.handle.address(), 0, Kind::final);
}

/// Of one that never ends: as many suspensions as there are lines, or three.
template <class Promise>
void endless(const char* name, Owner<Promise> owner, const int* lines = nullptr, int base = 0) {
    record(name, owner.handle.address(), 0, Kind::initial);
    for (int i = 0; lines != nullptr ? *lines != 0 : i < 3; ++i) {
        owner.handle.resume();
        if (lines != nullptr) {
            current_kind = *lines < 0 ? Kind::yield : Kind::await;
            current_line = base + (*lines < 0 ? -*lines : *lines);
            ++lines;
        }
        record(name, owner.handle.address(), current_line, current_kind);
    }
}

void detached(const char* name, int suspensions) {
    void* frame = current_frame;
    for (int i = 0; i < suspensions; ++i) {
        record(name, frame, current_line, Kind::await);
        std::coroutine_handle<>::from_address(frame).resume();
    }
}

// The parent is recorded while its child is suspended.
void chain(const char* name, Task<int> task, const int* lines, int base) {
    void* frame = task.handle.address();
    record(name, frame, 0, Kind::initial);
    task.handle.resume();
    while (!task.handle.done()) {
        record("leaf", current_frame, current_line, Kind::await);
        record(name, frame, base + *lines++, Kind::await);
        std::coroutine_handle<>::from_address(current_frame).resume();
    }
    record(name, frame, 0, Kind::final);
}

// Its first and fourth statements await naturally.
void orders_frames(Event<int>& event) {
    for (int which = 0; which < 2; ++which) {
        Lazy owner = orders(event, which);
        auto handle = owner.handle;
        handle.resume();
        const int first = orders_base + 3;
        for (int line = first; line < first + 3; ++line) {
            record("orders", handle.address(), line, Kind::await);
            handle.resume();
        }
        for (int i = 0; i < 2; ++i) {
            record("orders", handle.address(), current_line, Kind::await);
            handle.resume();
        }
        record("orders", handle.address(), first + 5 + (which ? 0 : 1), Kind::await);
        handle.resume();
        drive_to_end("orders", handle, nullptr, 0);
    }
}

int print_bias(dl_phdr_info* info, std::size_t, void*) {
    std::printf("bias %lx\n", static_cast<unsigned long>(info->dlpi_addr));
    return 1;
}

void run() {
    lazy("one_await", one_await());
    lazy("one_await_between", one_await_between());
    lazy("three_awaits", three_awaits());
    lazy("adjacent_awaits", adjacent_awaits());
    lazy("adjacent_pauses", adjacent_pauses());
    lazy("natural", natural(), natural_lines, natural_base);
    lazy("natural_bare", natural_bare(), natural_bare_lines, natural_bare_base);
    lazy("natural_loop", natural_loop(3), natural_loop_lines, natural_loop_base);
    lazy("blank_lines", blank_lines());
    lazy("outlined", outlined());
    lazy("results", results(1));
    lazy("two_on_a_line", two_on_a_line());
    lazy("multi_line", multi_line(1));
    lazy("arguments", arguments());
    for (int which = 0; which < 3; ++which) {
        lazy("branches", branches(which));
        lazy("conditions", conditions(which));
        lazy("condition_only", condition_only(which));
#if __clang_major__ != 14
        lazy("early_return", early_return(which));
#endif
        lazy("jumps", jumps(which));
    }
    for (int which = 0; which < 2; ++which) {
        lazy("same_in_branches", same_in_branches(which));
        lazy("ternary", ternary(which));
        lazy("conditionals", conditionals(which != 0));
#if __clang_major__ != 14
        lazy("returns_a_task", returns_a_task(which));
#endif
    }
    for (int which = 0; which < 5; ++which) lazy("switched", switched(which));
    lazy("loop", loop(2));
    lazy("loop_body", loop_body(2));
    lazy("nested_loops", nested_loops(2));
    lazy("while_loop", while_loop(3));
    lazy("for_header", for_header(2));
    lazy("unrolled", unrolled());
    eager_from_start("forever", forever(), 4);
    eager_from_start("forever_one", forever_one(), 3);
    lazy("scopes", scopes());
    lazy("try_catch", try_catch());
    lazy("temporaries", temporaries());
    lazy("big_frame", big_frame());
    lazy("aligned", aligned(1));
    Noisy noisy(5);
    lazy("parameters", parameters(1, 2, noisy, 3.0, "e"));
    lazy("kinds", kinds());
    lazy("transfers", transfers());
    Event<int> event;
    lazy("lvalue_awaiter", lvalue_awaiter(event));
    lazy("natural_event", natural_event(event), natural_event_lines, natural_event_base);
    lazy("transforming", transforming());
    chain("parent", parent(1), parent_lines, parent_base);
    lazy("returns_an_await", returns_an_await());
    detached_one();
    detached("detached_one", 1);
    detached_outlined();
    detached("detached_outlined", 1);
    detached_two();
    detached("detached_two", 2);
    detached_loop();
    detached("detached_loop", 3);
    eager_from_start("eager", eager(1), 3);
    eager_from_start("eager_pauses", eager_pauses(), 4);
    eager_from_start("eager_branch", eager_branch(zero), 3);
    eager_from_start("eager_branch", eager_branch(zero + 1), 3);
    lazy("numbers", numbers(2));
    lazy("natural_numbers", natural_numbers(2), natural_numbers_lines, natural_numbers_base);
    lazy("fibonacci", fibonacci(), fibonacci_lines, fibonacci_base);
    lazy("yields_and_awaits", yields_and_awaits(2));
    lazy("ranges", ranges(2));
    lazy("templated<int,1>", templated<int, 1>(3));
    lazy("templated<double,2>", templated<double, 2>(3.0));
    Server server;
    lazy("Server::handle", server.handle(1));
    lazy("Server::accept", Server::accept());
    lazy("Server::send", server.send(2.0));
    lazy("Server::stop", server.stop());
    lazy("internal_linkage", internal_linkage(1));
    lazy("lambda_plain", lambda_plain());
    auto capturing = [&server](int n) -> Lazy {
        server.state += co_await at(__LINE__);
        if (n) co_await at(__LINE__);
        co_await Pause(__LINE__);
    };
    lazy("lambda_capturing", capturing(1));
    lazy("generic_lambda", generic_lambda(2.0));
    lazy("macros", macros());
    lazy("many", many());
    lazy("split_statement", split_statement());
    lazy("natural_split", natural_split(event), natural_split_lines, natural_split_base);
    lazy("nested", nested());
    lazy("natural_orders", natural_orders(event), natural_orders_lines, natural_orders_base);
    orders_frames(event);
    for (int which = 0; which < 2; ++which) {
        lazy("natural_branches", natural_branches(which), natural_branches_lines[which], natural_branches_base);
        lazy("natural_try", natural_try(which), natural_try_lines[which], natural_try_base);
    }
    for (int which = 0; which < 7; ++which) {
        const int lines[] = {3 + which, 0};
        lazy("natural_switch", natural_switch(which), lines, natural_switch_base);
    }
    eager_from_start("stateful_one", stateful_one(), 2);
    eager_from_start("stateful_two", stateful_two(2), 3);
    eager_from_start("stateful_loop", stateful_loop(), 3);
    lazy("stateful_later", stateful_later());
    eager_from_start("stateful_now", stateful_now(), 2);
    eager_natural("stateful_natural", stateful_natural(event), stateful_natural_lines, stateful_natural_base);
    lazy("stateful_never", stateful_never());
    eager_from_start("own_flag", own_flag(zero), 2);
    eager_from_start("own_flag", own_flag(zero + 1), 2);
    endless("lazy_forever", lazy_forever(), lazy_forever_lines, lazy_forever_base);
    endless("ones", ones(), ones_lines, ones_base);
    endless("counting", counting(1), counting_lines, counting_base);
    endless("lazy_forever_marked", lazy_forever_marked());
    Event<int>* events[] = {&event, &event};
    lazy("joins", joins(events, zero));
    lazy("natural_joins", natural_joins(events, zero), natural_joins_lines, natural_joins_base);
    {
        Task<int> task = descend(zero + 2);
        record("descend", task.handle.address(), 0, Kind::initial);
        task.handle.resume();
        record("descend", current_frame, current_line, Kind::await);
        record("descend", task.handle.address(), descend_base + descend_line, Kind::await);
    }
    eager_from_start("flag_single", flag_single(), 4);
    eager_natural("natural_flag", natural_flag(), natural_flag_lines, natural_flag_base);
    for (int state = 0; state < 6; ++state) lazy("state_machine", state_machine(state));
    short counter = 0;
    lazy("index_like", index_like(counter), index_like_lines, index_like_base);
    lazy("nothing", nothing());
    lazy("never_suspends", never_suspends());
    eager_natural("natural_eager", natural_eager(1), natural_eager_lines, natural_eager_base);
    eager_from_start("hidden_eager", hidden_eager(1), 2);
    eager_natural("hidden_natural", hidden_natural(), hidden_natural_lines, hidden_natural_base);
    lazy("one_line", one_line());
    lazy("opening", opening());
    lazy("natural_braces", natural_braces(), natural_braces_lines, natural_braces_base);
    lazy("long_declaration", long_declaration(1, 2));
    lazy("natural_macros", natural_macros(), natural_macros_lines, natural_macros_base);
    lazy("inner_lambda", inner_lambda(), inner_lambda_lines, inner_lambda_base);
    lazy("natural_increment", natural_increment(2), natural_increment_lines, natural_increment_base);
    lazy("natural_constexpr<false>", natural_constexpr<false>(), natural_constexpr_lines[0], natural_constexpr_base<false>());
    lazy("natural_constexpr<true>", natural_constexpr<true>(), natural_constexpr_lines[1], natural_constexpr_base<true>());
    lazy("yields_multi_line", yields_multi_line(2), yields_multi_line_lines, yields_multi_line_base);
    lazy("returned_call", returned_call(), returned_call_lines, returned_call_base);
    lazy("returned_end", returned_end(), returned_end_lines, returned_end_base);
    lazy("returned_outlined", returned_outlined(), returned_outlined_lines, returned_outlined_base);
    lazy("returned_lambda", returned_lambda(), returned_lambda_lines, returned_lambda_base);
    lazy("returned_members", returned_members(), returned_members_lines, returned_members_base);
    lazy("returned_braces", returned_braces(), returned_braces_lines, returned_braces_base);
    lazy("returned_arguments", returned_arguments(), returned_arguments_lines, returned_arguments_base);
    lazy("returned_inner", returned_inner(), returned_inner_lines, returned_inner_base);
    lazy("called_on", called_on(), called_on_lines, called_on_base);
    lazy("returned_template", returned_template(zero + 1L), returned_template_lines, returned_template_base);
    lazy("template_orders", template_orders(zero + 1L, event), template_orders_lines, template_orders_base);
    Mutex mutex;
    mutex.holder = &mutex;
    lazy("locking", locking(mutex));
    lazy("comments", comments(), comments_lines, comments_base);
}

}  // namespace

void mark(int line) {
    current_line = line;
    current_kind = Kind::await;
}
void mark_yield(int line) {
    current_line = line;
    current_kind = Kind::yield;
}
int opaque(int value) { return value + zero; }
void work(int value) { zero = value - value; }
void park(void* frame) { current_frame = frame; }

void record(const char* name, void* frame, int line, Kind kind) {
    auto* bytes = static_cast<unsigned char*>(frame);
    std::size_t size = 1024;  // a frame that lies in another one or on the stack
    for (const Block& block : blocks) {
        auto* begin = reinterpret_cast<unsigned char*>(block.begin);
        if (begin != nullptr && begin <= bytes && bytes < begin + block.size) {
            size = static_cast<std::size_t>(begin + block.size - bytes);
        }
    }
    std::printf("frame %s %lx %d %s ", name, reinterpret_cast<unsigned long>(frame), line, kind_name(kind));
    for (std::size_t i = 0; i < size; ++i) std::printf("%02x", bytes[i]);
    std::putchar('\n');
}

}  // namespace corpus

void* operator new(std::size_t size) {
    void* result = std::malloc(size);
    if (result == nullptr) std::abort();
    corpus::remember(result, size);
    return result;
}
void operator delete(void* pointer) noexcept {
    corpus::forget(pointer);
    std::free(pointer);
}
void operator delete(void* pointer, std::size_t) noexcept { operator delete(pointer); }

int main() {
    dl_iterate_phdr(corpus::print_bias, nullptr);
    corpus::run();
}

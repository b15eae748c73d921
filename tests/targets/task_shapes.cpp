// Every way in which the tasks of task_library.h can wait for each other, one a subcommand.
#include <array>
#include <concepts>
#include <cstring>

#include "async_primitives.h"
#include "task_library.h"
#include "truth.h"

using namespace tasks;

namespace {

Event never;
std::vector<Task> kept;

void keep(Task task) {
    task.start();
    kept.push_back(std::move(task));
}

[[noreturn]] void wait_in_loop() {
    loop.run_ready();
    puts("thread shapes tasks::RunLoop::run");
    truth::ready();
    loop.run();
}

template <typename T>
T leaf(int id) {
    co_await never;  // @leaf
    co_return id;
}

template <typename T>
T middle(int id) {
    const int value = co_await leaf<T>(id);  // @middle
    co_return value + 1;
}

template <typename T>
T handle(int id) {
    int sum = 0;
    sum += co_await middle<T>(id);  // @handle
    co_return sum;
}

// ---- layouts: chains of three in each promise layout

template <typename T>
void start_layout() {
    static T first = handle<T>(1);
    static std::vector<T> on_heap;
    on_heap.push_back(handle<T>(2));
    first.start();
    on_heap.back().start();
    puts("chains 2 handle@handle > middle@middle > leaf@leaf");
}

void layouts() {
    start_layout<Task>();
    start_layout<AlignedTask>();
    start_layout<AddressTask>();
    start_layout<BasePointerTask>();
    start_layout<ListedTask>();
    puts("count 30");
    puts("edges 20");
}

// ---- states: created, done, eager

Task finishes(int id) {
    co_return id * 2;
}

EagerTask eager_child() {
    co_await never;  // @eager_child
    co_return 1;
}

Task eager_awaited() {
    EagerTask child = eager_child();
    co_return co_await child;  // @eager_awaited
}

Task eager_only_held() {
    EagerTask child = eager_child();
    co_await never;  // @eager_only_held
    co_return co_await child;
}

/// Begins with an awaiter of its own, of which nobody knows whether it suspends.
struct OwnBeginPromise : tasks::PromiseBase {
    struct Begin {
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<>) const noexcept {}
        void await_resume() const noexcept {}
    };
    Begin initial_suspend() const noexcept { return {}; }
    tasks::Owner<OwnBeginPromise> get_return_object() {
        return tasks::Owner(std::coroutine_handle<OwnBeginPromise>::from_promise(*this));
    }
    std::coroutine_handle<> take_continuation() { return {}; }
};

/// Has no suspend point but the initial and the final one.
tasks::Owner<OwnBeginPromise> never_started(int id) {
    co_return id * 3;
}

void states() {
    static auto not_started = never_started(1);
    puts("chain never_started@- [created]");
    kept.push_back(handle<Task>(1));
    keep(finishes(2));
    keep(eager_awaited());
    keep(eager_only_held());
    puts("chain handle@- [created]");
    puts("chain finishes@- [done]");
    puts("chain eager_awaited@eager_awaited > eager_child@eager_child");
    puts("chain eager_only_held@eager_only_held");
    puts("chain eager_child@eager_child");
    puts("count 7");
    puts("edges 1");
}

// ---- joins: when_all, when_any, a shared task

Task gather() {
    std::vector<Task> both;
    both.push_back(middle<Task>(1));
    both.push_back(leaf<Task>(2));
    co_await when_all(std::move(both));  // @gather
    co_return 0;
}

Task race() {
    std::vector<Task> runners;
    for (int id = 0; id < 3; ++id) runners.push_back(leaf<Task>(id));
    co_await when_any(std::move(runners));  // @race
    co_return 0;
}

SharedTask shared_work() {
    co_await never;  // @shared_work
    co_return 1;
}

Task shared_user(SharedTask work) {
    co_return co_await work;  // @shared_user
}

void joins() {
    printf("source %s\n", async_primitives_source);
    keep(gather());
    keep(race());
    SharedTask work = shared_work();
    for (int id = 0; id < 3; ++id) keep(shared_user(work));
    puts("chain gather@gather > join_leg@join_leg > middle@middle > leaf@leaf");
    puts("chain gather@gather > join_leg@join_leg > leaf@leaf");
    puts("chains 3 race@race > join_leg@join_leg > leaf@leaf");
    puts("chains 3 shared_user@shared_user > shared_work@shared_work");
    puts("count 17");
    puts("edges 14");
}

// ---- cycle: two that await each other, once with one outside who awaits them, once without

SharedTask* ping_of[2];
SharedTask* pong_of[2];

SharedTask ping(int pair) {
    co_return co_await *pong_of[pair];  // @ping
}

SharedTask pong(int pair) {
    co_return co_await *ping_of[pair];  // @pong
}

void cycle() {
    for (int pair = 0; pair < 2; ++pair) {
        ping_of[pair] = new SharedTask(ping(pair));
        pong_of[pair] = new SharedTask(pong(pair));
    }
    keep(shared_user(*ping_of[0]));
    ping_of[1]->start();
    puts("chain shared_user@shared_user > ping@ping > pong@pong > ping@ping");
    puts("chain ping@ping > pong@pong > ping@ping");
    puts("count 5");
    puts("edges 5");
}

// ---- references: pointers between frames that are no awaits

Detached helper(int& counter, const std::string* text) {
    co_await never;  // @helper
    counter += static_cast<int>(text->size());
}

Task lends_locals() {
    int counter = 0;
    std::string text = "lent to a coroutine that nobody here awaits";
    helper(counter, &text);
    co_await never;  // @lends_locals
    co_return counter;
}

Task with_parent_local(int& result) {
    co_await never;  // @with_parent_local
    co_return ++result;
}

Task awaits_with_reference() {
    int result = 0;
    co_await with_parent_local(result);  // @awaits_with_reference
    co_return result;
}

void references() {
    keep(lends_locals());
    keep(awaits_with_reference());
    puts("chain lends_locals@lends_locals");
    puts("chain helper@helper");
    puts("chain awaits_with_reference@awaits_with_reference > with_parent_local@with_parent_local");
    puts("count 4");
    puts("edges 1");
}

// ---- generators inside coroutines

Generator<int> numbers(int first) {
    for (int number = first;; ++number) {
        co_yield number;  // @numbers
    }
}

Task pulls() {
    Generator<int> source = numbers(10);
    source.next();
    source.next();
    co_await never;  // @pulls
    source.next();
    co_return source.value();
}

AsyncGenerator<int> ticks() {
    co_yield 1;      // @ticks_yield
    co_await never;  // @ticks_await
    co_yield 2;
}

Task after_value() {
    AsyncGenerator<int> source = ticks();
    const auto value = co_await source.next();
    co_await never;  // @after_value
    co_return *value;
}

Task for_value() {
    AsyncGenerator<int> source = ticks();
    const auto first = co_await source.next();
    const auto second = co_await source.next();  // @for_value
    co_return *first + *second;
}

void generators() {
    keep(pulls());
    keep(after_value());
    keep(for_value());
    puts("chain pulls@pulls");
    puts("chain numbers@numbers");
    puts("chain after_value@after_value");
    puts("chain ticks@ticks_yield");
    puts("chain for_value@for_value > ticks@ticks_await");
    puts("count 6");
    puts("edges 1");
}

// ---- kinds of functions

template <typename Key, int Size>
Task look_up(Key key) {
    co_await never;  // @look_up
    co_return static_cast<int>(key) + Size;
}

// Clang 18 and later have the constraints in the mangled names.
template <std::integral Key>
Task constrained(Key key) {
    co_await never;  // @constrained
    co_return static_cast<int>(key);
}

template <typename Key>
requires(sizeof(Key) > 4) Task large_only(Key key) {
    co_await never;  // @large_only
    co_return static_cast<int>(key);
}

struct Server {
    int connections = 3;
    Task accept_one(int id) {
        co_return co_await greet(id);  // @accept_one
    }
    Task greet(int id) const {
        co_await never;  // @greet
        co_return id + connections;
    }
    static Task shut_down() {
        co_await never;  // @shut_down
        co_return 0;
    }
    Task operator()(int id) {
        co_await never;  // @call_operator
        co_return id + connections;
    }
};

Task overloaded(int id) {
    co_await never;  // @overloaded_int
    co_return id;
}

Task overloaded(std::string text) {
    co_await never;  // @overloaded_string
    co_return static_cast<int>(text.size());
}

void kinds() {
    static Server server;
    static int captured = 4;
    static auto lambda = [](int id) -> Task {
        co_await never;  // @lambda
        co_return id;
    };
    static auto with_capture = [pointer = &captured]() -> Task {
        co_await never;  // @with_capture
        co_return *pointer;
    };
    keep(look_up<long, 8>(1));
    keep(constrained(2L));
    keep(large_only(2L));
    keep(server.accept_one(2));
    keep(Server::shut_down());
    keep(server(3));
    keep(lambda(4));
    keep(with_capture());
    keep(overloaded(5));
    keep(overloaded(std::string(100, 'x')));
    puts("chain look_up<long, 8>@look_up");
    puts("chain constrained<long>@constrained");
    puts("chain large_only<long>@large_only");
    puts("chain Server::accept_one@accept_one > Server::greet@greet");
    puts("chain Server::shut_down@shut_down");
    puts("chain Server::operator()@call_operator");
    puts("chain kinds::lambda::operator()@lambda");
    puts("chain kinds::lambda::operator()@with_capture");
    puts("chain overloaded@overloaded_int");
    puts("chain overloaded@overloaded_string");
    puts("count 11");
    puts("edges 1");
}

// ---- recursion: a thousand frames deep

Task descend(int depth) {
    if (depth == 0) {
        co_await never;  // @bottom
        co_return 0;
    }
    const int below = co_await descend(depth - 1);  // @descend
    co_return below + 1;
}

void recursion() {
    keep(descend(999));
    puts("chain descend@descend x 999 > descend@bottom");
    puts("count 1000");
    puts("edges 999");
}

// ---- primitives: who waits for an event awaits no coroutine

Mutex mutex;
Semaphore permits(1);

Task holds_mutex() {
    co_await mutex.lock();
    co_await never;  // @holds_mutex
    mutex.unlock();
    co_return 0;
}

Task wants_mutex() {
    co_await mutex.lock();  // @wants_mutex
    mutex.unlock();
    co_return 0;
}

Task wants_permit() {
    co_await permits.acquire();
    co_await permits.acquire();  // @wants_permit
    co_return 0;
}

Detached waits_for_event(Event& event) {
    co_await event;  // @waits_for_event
}

Task owns_event() {
    Event done;
    for (int id = 0; id < 3; ++id) waits_for_event(done);
    co_await never;  // @owns_event
    done.set();
    co_return 0;
}

void primitives() {
    keep(holds_mutex());
    for (int id = 0; id < 3; ++id) keep(wants_mutex());
    keep(wants_permit());
    keep(owns_event());
    puts("chain holds_mutex@holds_mutex");
    puts("chains 3 wants_mutex@wants_mutex");
    puts("chain wants_permit@wants_permit");
    puts("chain owns_event@owns_event");
    puts("chains 3 waits_for_event@waits_for_event");
    puts("count 9");
    puts("edges 0");
}

// ---- running: a coroutine that blocks its thread, below one that awaits it and inside one that resumed it

Task blocks(bool last) {
    if (last) truth::ready();
    truth::block();
    co_return 1;
}

Task awaits_running() {
    co_return co_await blocks(false);  // @awaits_running
}

Task resumes_another() {
    Task other = blocks(true);
    truth::show(other);
    other.handle().resume();
    co_return 0;
}

void* run_awaits_running(void*) {
    static Task task = awaits_running();
    task.handle().resume();
    return nullptr;
}

void running() {
    pthread_t thread;
    pthread_create(&thread, nullptr, run_awaits_running, nullptr);
    pthread_setname_np(thread, "runner");
    puts("chain awaits_running@awaits_running > blocks@- [running]");
    puts("chain resumes_another@- [running]");
    puts("chain blocks@- [running]");
    puts("count 4");
    puts("edges 1");
    puts("threads 2");
    puts("thread runner blocks");
    puts("thread shapes resumes_another");
    static Task task = resumes_another();
    task.handle().resume();
}

// ---- large: pages that nobody touched lie inside a frame, before its index and its awaiters

template <std::size_t Bytes>
Task large(int points) {
    std::array<char, Bytes> buffer;
    truth::show(buffer);
    int sum = 0;
    if (points > 1) co_await never;                      // @large_first
    if (points > 0) sum += co_await leaf<Task>(points);  // @large_second
    truth::show(buffer);
    co_return sum;
}

template <std::size_t Bytes>
void start_large() {
    kept.push_back(large<Bytes>(0));
    for (int points = 0; points < 3; ++points) keep(large<Bytes>(points));
}

void large_frames() {
    start_large<5'000>();
    start_large<20'000>();
    start_large<300'000>();
    puts("chains 3 large@- [created]");
    puts("chains 3 large@- [done]");
    puts("chains 3 large@large_second > leaf@leaf");
    puts("chains 3 large@large_first");
    puts("count 15");
    puts("edges 3");
}

// ---- many: a thousand equal trees

void many() {
    for (int id = 0; id < 1000; ++id) keep(handle<Task>(id));
    puts("chains 1000 handle@handle > middle@middle > leaf@leaf");
    puts("count 3000");
    puts("edges 2000");
}

constexpr struct {
    const char* name;
    void (*start)();
} scenarios[] = {
    {"layouts", layouts},       {"states", states},         {"joins", joins}, {"cycle", cycle},
    {"references", references}, {"generators", generators}, {"kinds", kinds}, {"recursion", recursion},
    {"primitives", primitives}, {"running", running},       {"many", many},   {"large", large_frames}};

}  // namespace

int main(int argc, char** argv) {
    TRUTH_BEGIN();
    pthread_setname_np(pthread_self(), "shapes");
    for (const auto& scenario : scenarios) {
        if (argc == 2 && std::strcmp(argv[1], scenario.name) == 0) {
            scenario.start();
            wait_in_loop();
        }
    }
    fputs("usage: task_shapes SCENARIO\n", stderr);
    return 64;
}

// What can be wrong with a program of coroutines and threads, one scenario each, and its healthy twin beside
// it. The scenario is the first argument. Lines of truth: "finding KIND" for each error that has to be found,
// and nothing for a healthy one.
#include <semaphore.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstring>
#include <ctime>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <semaphore>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "async_locks.h"
#include "async_primitives.h"
#include "task_library.h"
#include "truth.h"

namespace {

using tasks::loop;
using tasks::Task;

/// Lets every other coroutine run first.
struct Yield {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> coroutine) const { loop.post(coroutine); }
    void await_resume() const noexcept {}
};

void expect(const char* kind) {
    printf("finding %s\n", kind);
}

/// Says that it is ready when everything before has run, and blocks for ever.
[[noreturn]] void rest() {
    truth::ready();
    loop.run();
}

// ---- two locks, taken in one order or in two

template <typename Lock>
Task use_guards(Lock& first, Lock& second) {
    auto outer = co_await first.lock();
    co_await Yield{};
    auto inner = co_await second.lock();  // @inner
    co_return 0;
}

/// A scheduler that knows all who have ever waited for it: a word that leads to it stays in their frames.
struct Scheduler {
    std::vector<std::coroutine_handle<>> known;
};
Scheduler scheduler;

struct Pause {
    Scheduler& scheduler;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> coroutine) const {
        scheduler.known.push_back(coroutine);
        loop.post(coroutine);
    }
    void await_resume() const noexcept {}
};

Task dine(std::vector<std::unique_ptr<locks::async_mutex>>& forks, int left, int right) {
    auto first = co_await forks[static_cast<std::size_t>(left)]->scoped_lock_async();
    co_await Pause{scheduler};
    auto second = co_await forks[static_cast<std::size_t>(right)]->scoped_lock_async();
    co_return 0;
}

void run_ring(bool healthy) {
    static std::vector<std::unique_ptr<locks::async_mutex>> forks;
    for (int i = 0; i < 5; ++i) forks.push_back(std::make_unique<locks::async_mutex>());
    static std::vector<Task> tasks;
    for (int i = 0; i < (healthy ? 4 : 5); ++i) tasks.push_back(dine(forks, i, (i + 1) % 5));
    if (!healthy) expect("lock_cycle");
    for (Task& task : tasks) task.start();
    loop.run_ready();
    rest();
}

Task use_derived(locks::Mutex& first, locks::Mutex& second) {
    auto outer = co_await first.acquire();
    co_await Yield{};
    auto inner = co_await second.acquire();
    co_return 0;
}

/// Guards that are not variables of their own.
template <typename Keeper>
Task use_kept(locks::Mutex& first, locks::Mutex& second) {
    Keeper keeper;
    keeper.keep(co_await first.lock());
    co_await Yield{};
    Keeper inner;
    inner.keep(co_await second.lock());
    co_return 0;
}

struct InOptional {
    std::optional<locks::Mutex::Guard> guard;
    void keep(locks::Mutex::Guard given) { guard.emplace(std::move(given)); }
};

struct InVector {
    std::vector<locks::Mutex::Guard> guards;
    void keep(locks::Mutex::Guard given) { guards.push_back(std::move(given)); }
};

struct Owned {
    std::unique_ptr<locks::Mutex::Guard> guard;
    void keep(locks::Mutex::Guard given) { guard = std::make_unique<locks::Mutex::Guard>(std::move(given)); }
};

struct InTuple {
    std::tuple<int, std::array<std::optional<locks::Mutex::Guard>, 2>> guards;
    void keep(locks::Mutex::Guard given) { std::get<1>(guards)[1].emplace(std::move(given)); }
};

/// The lock is held by what its holder awaits.
Task with_guard([[maybe_unused]] locks::Mutex::Guard outer, locks::Mutex& second) {
    auto inner = co_await second.lock();
    co_return 0;
}

Task use_handed_on(locks::Mutex& first, locks::Mutex& second) {
    auto outer = co_await first.lock();
    co_await Yield{};
    co_return co_await with_guard(std::move(outer), second);
}

Task use_scoped(locks::async_mutex& first, locks::async_mutex& second) {
    auto outer = co_await first.scoped_lock_async();
    co_await Yield{};
    auto inner = co_await second.scoped_lock_async();
    co_return 0;
}

/// An event of one word: what stands behind it may be taken for a part of it.
struct Gate {
    struct Awaiter {
        Gate& gate;
        Awaiter* next = nullptr;
        std::coroutine_handle<> waiting = {};
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<> coroutine) noexcept {
            waiting = coroutine;
            next = std::exchange(gate.first, this);
        }
        void await_resume() const noexcept {}
    };
    Awaiter operator co_await() noexcept { return Awaiter{*this}; }
    void open() {
        for (Awaiter* waiter = std::exchange(first, nullptr); waiter != nullptr; waiter = waiter->next)
            loop.post(waiter->waiting);
    }
    Awaiter* first = nullptr;
};

struct GatedLocks {
    Gate gate;
    locks::async_mutex first, second;
};
GatedLocks gated;

Task use_gated(locks::async_mutex& first, locks::async_mutex& second) {
    auto outer = co_await first.scoped_lock_async();
    co_await gated.gate;
    auto inner = co_await second.scoped_lock_async();
    co_return 0;
}

Task use_owned(locks::OwnedMutex& first, locks::OwnedMutex& second) {
    co_await first.lock();
    co_await Yield{};
    co_await second.lock();
    second.unlock();
    first.unlock();
    co_return 0;
}

Task use_permits(locks::Semaphore& first, locks::Semaphore& second) {
    auto outer = co_await first.acquire();
    co_await Yield{};
    auto inner = co_await second.acquire();
    co_return 0;
}

Task use_tasks(locks::TaskMutex& first, locks::TaskMutex& second) {
    co_await first.lock();
    auto outer = first.guard();
    co_await Yield{};
    co_await second.lock();
    auto inner = second.guard();
    co_return 0;
}

/// The lock is held by one coroutine and waited for by one that it awaits.
Task lock_inside(locks::Mutex& mutex) {
    auto inner = co_await mutex.lock();
    co_return 0;
}

Task lock_outside(locks::Mutex& mutex) {
    auto outer = co_await mutex.lock();
    co_return co_await lock_inside(mutex);
}

/// Holds a lock that others wait for, and will give it back when its event comes.
Task hold_until(locks::Mutex& mutex, tasks::Event& event) {
    auto guard = co_await mutex.lock();
    co_await event;
    co_return 0;
}

/// A guard that lived before is no guard that lives now.
Task lock_again_and_again(locks::Mutex& first, locks::Mutex& second) {
    for (int round = 0; round < 3; ++round) {
        {
            auto guard = co_await first.lock();
            co_await Yield{};
        }
        auto other = co_await second.lock();
        co_await Yield{};
    }
    co_return 0;
}

// clang-format off
Task use_on_one_line(locks::Mutex& first, locks::Mutex& second) { auto outer = co_await first.lock(); co_await Yield{}; auto inner = co_await second.lock(); co_return 0; }

/// The first guard has ended when the second lock is waited for.
Task use_one_by_one(locks::Mutex& first, locks::Mutex& second) { { auto outer = co_await first.lock(); co_await Yield{}; } auto inner = co_await second.lock(); co_return 0; }
// clang-format on

template <typename Lock, typename Use>
void run_pair(Use use, bool healthy, Lock& a, Lock& b, Gate* gate = nullptr) {
    static std::vector<Task> all;
    all.push_back(use(a, b));
    if (healthy) {
        all.push_back(use(a, b));
    } else {
        all.push_back(use(b, a));
        expect("lock_cycle");
    }
    for (auto& task : all) task.start();
    loop.run_ready();
    if (gate != nullptr) gate->open();
    loop.run_ready();
    rest();
}

[[noreturn]] void run_one_by_one(locks::Mutex& a, locks::Mutex& b) {
    static tasks::Event event;
    static Task all[] = {use_one_by_one(a, b), use_one_by_one(b, a), hold_until(a, event),
                         hold_until(b, event)};
    for (auto& task : all) task.start();
    loop.run_ready();
    rest();
}

// ---- std::mutex across co_await

std::mutex across;

Task hold_across(tasks::Event& event) {
    std::lock_guard<std::mutex> guard(across);
    co_await event;
    co_return 0;
}

Task lock_briefly() {
    const std::lock_guard<std::mutex> guard(across);
    co_return 0;
}

[[noreturn]] void run_mutex_across(bool healthy) {
    static tasks::Event event;
    static Task holder = hold_across(event), waiter = lock_briefly();
    holder.start();
    loop.run_ready();
    if (healthy) rest();
    expect("thread_deadlock");
    waiter.start();
    truth::ready();
    loop.run();
}

// ---- a future on the thread that has to make it

Task compute(std::promise<int>& promise) {
    promise.set_value(1);
    co_return 0;
}

Task wait_for_future() {
    static std::promise<int> promise;
    static Task other = compute(promise);
    other.start();
    co_return promise.get_future().get();
}

void run_future(bool healthy) {
    static Task task = wait_for_future();
    if (healthy) {
        static std::promise<int> promise;
        static Task other = compute(promise);
        static std::thread io([] { loop.run(); });
        other.start();
        promise.get_future().wait();
        truth::ready();
        truth::block();
    }
    expect("blocked_executor");
    task.start();
    truth::ready();
    loop.run();
}

// ---- a handle that was dropped

struct Forgotten {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<>) const noexcept {}
    void await_resume() const noexcept {}
};

Task wait_for_nothing() {
    co_await Forgotten{};
    co_return 0;
}

Task wait_for_event(tasks::Event& event) {
    co_await event;
    co_return 0;
}

tasks::Detached detached(Task task) {
    co_await task;
}

[[noreturn]] void run_dropped(bool healthy) {
    static tasks::Event event;
    if (!healthy) expect("unwakeable");
    // Deep enough that nothing of it is left on the stack where main waits.
    std::thread([&] {
        detached(healthy ? wait_for_event(event) : wait_for_nothing());
        loop.run_ready();
    }).join();
    rest();
}

// ---- a handle that is kept where no whole word of writable memory holds it

/// Packed: between words. Readonly: in a page that is only read since. Pipe: in bytes that nobody has read
/// yet.
struct Keep {
    std::string where;

    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> coroutine) const {
        struct [[gnu::packed]] Entry {
            char kind;
            void* handle;
        };
        static Entry entry;
        void* const address = coroutine.address();
        if (where == "packed") entry = {'h', address};
        asm volatile("" : : "r"(&entry) : "memory");  // or the compiler drops what nobody reads
        if (where == "readonly") {
            void* const page =
                mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            std::memcpy(page, &address, sizeof(address));
            mprotect(page, 4096, PROT_READ);
        }
        int ends[2];
        if (where == "pipe" &&
            (pipe(ends) != 0 || write(ends[1], &address, sizeof(address)) != sizeof(address)))
            abort();
    }
    void await_resume() const noexcept {}
};

Task wait_for_kept(const char* where) {
    co_await Keep{where};
    co_return 0;
}

[[noreturn]] void run_kept(const char* where) {
    std::thread([&] {
        detached(wait_for_kept(where));
        loop.run_ready();
    }).join();
    rest();
}

// ---- a wait inside a coroutine that somebody else may end than a thread of the process

sem_t* outside;

Task wait_for_semaphore() {
    truth::ready();
    sem_wait(outside);
    co_return 0;
}

[[noreturn]] void run_outside(const std::string& who) {
    constexpr auto shared = MAP_SHARED | MAP_ANONYMOUS, own = MAP_PRIVATE | MAP_ANONYMOUS;
    outside = static_cast<sem_t*>(
        mmap(nullptr, 4096, PROT_READ | PROT_WRITE, who == "process" ? shared : own, -1, 0));
    sem_init(outside, who == "process", 0);
    if (who == "signal") std::signal(SIGALRM, [](int) { sem_post(outside); });
    timer_t timer;
    sigevent event{};
    event.sigev_notify = SIGEV_NONE;
    if (who == "timer" && timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) abort();
    if (who == "nobody") expect("blocked_executor");
    static Task task = wait_for_semaphore();
    task.start();
    loop.run();
}

// ---- threads

/// Locks by which the kernel lends priority: it sees the circle, refuses the last lock, and glibc lets that
/// thread wait for ever.
class PriorityMutex {
  public:
    PriorityMutex() {
        pthread_mutexattr_t attributes;
        pthread_mutexattr_init(&attributes);
        pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
        pthread_mutex_init(&mutex_, &attributes);
    }
    void lock() { pthread_mutex_lock(&mutex_); }
    void unlock() { pthread_mutex_unlock(&mutex_); }

  private:
    pthread_mutex_t mutex_;
};

template <typename Mutex>
void run_threads(bool healthy) {
    static Mutex first, second;
    static std::binary_semaphore one_has_first(0), other_has_second(0);
    if (!healthy) expect("thread_deadlock");
    std::thread one([] {
        pthread_setname_np(pthread_self(), "one");
        std::lock_guard outer(first);
        one_has_first.release();
        other_has_second.acquire();
        std::lock_guard inner(second);
    });
    std::thread other([healthy] {
        pthread_setname_np(pthread_self(), "other");
        one_has_first.acquire();
        std::optional<std::lock_guard<Mutex>> outer;
        if (!healthy) outer.emplace(second);
        other_has_second.release();
        if (healthy) truth::block();
        std::lock_guard inner(first);
    });
    one.detach();
    other.detach();
    truth::ready();
    truth::block();
}

// ---- a circle

struct AwaitTask {
    std::coroutine_handle<tasks::PlainPromise> child;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> parent) const noexcept {
        child.promise().continuation = parent;
    }
    void await_resume() const noexcept {}
};

Task await_other(const Task& other) {
    co_await AwaitTask{other.handle()};
    co_return 0;
}

[[noreturn]] void run_circle(bool healthy) {
    static Task one, two;
    static tasks::Event event;
    one = await_other(two);
    two = healthy ? wait_for_event(event) : await_other(one);
    if (!healthy) expect("await_cycle");
    one.start();
    two.start();
    loop.run_ready();
    rest();
}

}  // namespace

int main(int count, char** arguments) {
    TRUTH_BEGIN();
    const std::string scenario = count > 1 ? arguments[1] : "";
    const bool healthy = count > 2 && arguments[2] == std::string("healthy");
    static locks::Mutex a, b;
    if (scenario == "guards") run_pair(use_guards<locks::Mutex>, healthy, a, b);
    if (scenario == "ring") run_ring(healthy);
    if (scenario == "derived") run_pair(use_derived, healthy, a, b);
    if (scenario == "in_optional") run_pair(use_kept<InOptional>, healthy, a, b);
    if (scenario == "in_vector") run_pair(use_kept<InVector>, healthy, a, b);
    if (scenario == "in_unique_ptr") run_pair(use_kept<Owned>, healthy, a, b);
    if (scenario == "in_tuple") run_pair(use_kept<InTuple>, healthy, a, b);
    if (scenario == "handed_on") run_pair(use_handed_on, healthy, a, b);
    if (scenario == "inline") {
        static locks::InlineMutex first, second;
        run_pair(use_guards<locks::InlineMutex>, healthy, first, second);
    }
    if (scenario == "one_line") {
        if (healthy) run_one_by_one(a, b);
        run_pair(use_on_one_line, healthy, a, b);
    }
    if (scenario == "scoped") {
        static locks::async_mutex first, second;
        run_pair(use_scoped, healthy, first, second);
    }
    if (scenario == "gated") run_pair(use_gated, healthy, gated.first, gated.second, &gated.gate);
    if (scenario == "owned") {
        static locks::OwnedMutex first, second;
        run_pair(use_owned, healthy, first, second);
    }
    if (scenario == "permits") {
        static locks::Semaphore first(1), second(1);
        run_pair(use_permits, healthy, first, second);
    }
    if (scenario == "tasks") {
        static locks::TaskMutex first, second;
        run_pair(use_tasks, healthy, first, second);
    }
    if (scenario == "nested") {
        static Task task = lock_outside(a);
        static tasks::Event event;
        static Task holder = hold_until(b, event), waiter = lock_inside(b);
        if (!healthy) {
            expect("lock_cycle");
            task.start();
        }
        holder.start();
        waiter.start();
        loop.run_ready();
        rest();
    }
    if (scenario == "stale") {
        static tasks::Event event;
        static Task holder = hold_until(a, event), one = lock_again_and_again(b, a),
                    two = lock_again_and_again(a, b);
        one.start();
        loop.run_ready();
        holder.start();
        two.start();
        loop.run_ready();
        rest();
    }
    if (scenario == "mutex_across_await") run_mutex_across(healthy);
    if (scenario == "future") run_future(healthy);
    if (scenario == "dropped") run_dropped(healthy);
    if (scenario == "kept") run_kept(arguments[2]);
    if (scenario == "outside") run_outside(arguments[2]);
    if (scenario == "threads") run_threads<std::mutex>(healthy);
    if (scenario == "priority") run_threads<PriorityMutex>(healthy);
    if (scenario == "circle") run_circle(healthy);
    fprintf(stderr, "unknown scenario\n");
    return 64;
}

// Coroutines that know each other without awaiting: what passes the turn on, what has lost a race, who was
// only spawned. And what looks alike and is awaited. One scenario each, the first argument.
#include <coroutine>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "truth.h"

namespace {

std::multimap<long, std::coroutine_handle<>> timers;
std::coroutine_handle<> gate;

struct SleepFor {
    long milliseconds;
    explicit SleepFor(long time) : milliseconds(time) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) const { timers.emplace(milliseconds, handle); }
    void await_resume() const noexcept {}
};

struct OpenGate {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) const noexcept { gate = handle; }
    void await_resume() const noexcept {}
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

/// Begins when it is awaited, and resumes who awaits it.
class Lazy {
  public:
    struct promise_type {
        std::coroutine_handle<> waiting = std::noop_coroutine();
        Lazy get_return_object() { return Lazy(std::coroutine_handle<promise_type>::from_promise(*this)); }
        std::suspend_always initial_suspend() const noexcept { return {}; }
        auto final_suspend() const noexcept {
            struct GoOn {
                bool await_ready() const noexcept { return false; }
                std::coroutine_handle<> await_suspend(
                    std::coroutine_handle<promise_type> done) const noexcept {
                    return done.promise().waiting;
                }
                void await_resume() const noexcept {}
            };
            return GoOn{};
        }
        void return_void() const noexcept {}
        void unhandled_exception() const noexcept { std::abort(); }
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
            explicit Awaiter(Handle awaited) : handle(awaited) {}
            bool await_ready() const noexcept { return false; }
            Handle await_suspend(std::coroutine_handle<> waiting) const noexcept {
                handle.promise().waiting = waiting;
                return handle;
            }
            void await_resume() const noexcept {}
        };
        return Awaiter(handle_);
    }
    Handle handle() const { return handle_; }

  private:
    Handle handle_;
};

Lazy slow_work(int id) {
    co_await SleepFor(1000 + id);  // @slow_work
}

Lazy quick_work() {
    co_await OpenGate{};
}

Detached begin(Lazy work) {
    co_await work;  // @begin
}

// ---- turns: an awaiter that has the other one's handle, because it lets that one go on

struct Fiber {
    struct promise_type {
        Fiber get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_always initial_suspend() const noexcept { return {}; }
        std::suspend_always final_suspend() const noexcept { return {}; }
        void return_void() const noexcept {}
        void unhandled_exception() const noexcept { std::abort(); }
    };
    std::coroutine_handle<promise_type> handle;
};

/// The same with something in its promise.
struct NamedFiber {
    struct promise_type {
        std::string name = "a fiber that has a name";
        int priority = 1;
        NamedFiber get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_always initial_suspend() const noexcept { return {}; }
        std::suspend_always final_suspend() const noexcept { return {}; }
        void return_void() const noexcept {}
        void unhandled_exception() const noexcept { std::abort(); }
    };
    std::coroutine_handle<promise_type> handle;
};

struct Wake {
    std::coroutine_handle<> other;
    long after;
    Wake(std::coroutine_handle<> woken, long time) : other(woken), after(time) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<>) const { timers.emplace(after, other); }
    void await_resume() const noexcept {}
};

std::coroutine_handle<> left, right, named_left, named_right;

Fiber left_player() {
    for (int n = 0;; ++n) {
        co_await Wake(right, 1000 + n);  // @left_player
    }
}

Fiber right_player() {
    for (int n = 0;; ++n) {
        co_await Wake(left, 2000 + n);  // @right_player
    }
}

NamedFiber named_left_player() {
    for (int n = 0;; ++n) {
        co_await Wake(named_right, 3000 + n);  // @named_left_player
    }
}

NamedFiber named_right_player() {
    for (int n = 0;; ++n) {
        co_await Wake(named_left, 4000 + n);  // @named_right_player
    }
}

void fire_first() {
    const auto first = timers.begin()->second;
    timers.erase(timers.begin());
    first.resume();
}

void run_turns() {
    left = left_player().handle;
    right = right_player().handle;
    left.resume();
    fire_first();
    std::multimap<long, std::coroutine_handle<>> others = std::exchange(timers, {});
    named_left = named_left_player().handle;
    named_right = named_right_player().handle;
    named_left.resume();
    fire_first();
    timers.merge(others);
    puts("chain left_player@left_player");
    puts("chain right_player@right_player");
    puts("chain named_left_player@named_left_player");
    puts("chain named_right_player@named_right_player");
    puts("edges 0");
}

struct SwitchTo {
    std::coroutine_handle<> next;
    explicit SwitchTo(std::coroutine_handle<> other) : next(other) {}
    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> caller) const {
        timers.emplace(0, caller);
        return next;
    }
    void await_resume() const noexcept {}
};

Fiber gives_way() {
    co_await SwitchTo(right);  // @gives_way
}

Fiber goes_on() {
    co_await SleepFor(5);  // @goes_on
}

void run_switch() {
    right = goes_on().handle;
    gives_way().handle.resume();
    puts("chain gives_way@gives_way");
    puts("chain goes_on@goes_on");
    puts("edges 0");
}

// ---- a race that somebody has won: the loser still has the state, where the former waiter's handle stands

struct Race {
    bool is_over = false;
    std::coroutine_handle<> waiting;
};

Detached runner(std::shared_ptr<Race> race, Lazy work) {
    co_await work;  // @runner
    if (!std::exchange(race->is_over, true)) race->waiting.resume();
}

struct FirstOf {
    std::shared_ptr<Race> race = std::make_shared<Race>();
    Lazy slow, quick;
    FirstOf(Lazy one, Lazy other) : slow(std::move(one)), quick(std::move(other)) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) {
        race->waiting = handle;
        runner(race, std::move(slow));
        runner(race, std::move(quick));
    }
    void await_resume() const noexcept {}
};

Lazy hedged() {
    co_await FirstOf(slow_work(1), quick_work());
    co_await SleepFor(3000);  // @hedged
}

/// Gives up on a child that it keeps: that one would still resume it.
struct UntilAlarm {
    const Lazy& work;
    explicit UntilAlarm(const Lazy& child) : work(child) {}
    bool await_ready() const noexcept { return false; }
    Lazy::Handle await_suspend(std::coroutine_handle<> handle) const noexcept {
        work.handle().promise().waiting = gate = handle;
        return work.handle();
    }
    void await_resume() const noexcept {}
};

Lazy gives_up() {
    const Lazy child = slow_work(2);
    co_await UntilAlarm(child);
    co_await SleepFor(4000);  // @gives_up
}

void run_lost() {
    begin(hedged());
    gate.resume();
    begin(gives_up());
    gate.resume();
    puts("chain begin@begin > hedged@hedged");
    puts("chain runner@runner > slow_work@slow_work");
    puts("chain begin@begin > gives_up@gives_up");
    puts("chain slow_work@slow_work");
    puts("edges 3");
}

// ---- a promise that remembers who has spawned it

struct Traced {
    struct promise_type {
        std::coroutine_handle<> spawned_by = current;
        static inline std::coroutine_handle<> current;
        Traced get_return_object() const noexcept { return {}; }
        auto initial_suspend() const noexcept {
            struct Remember {
                bool await_ready() const noexcept { return false; }
                bool await_suspend(std::coroutine_handle<> handle) const noexcept {
                    current = handle;
                    return false;
                }
                void await_resume() const noexcept {}
            };
            return Remember{};
        }
        std::suspend_never final_suspend() const noexcept { return {}; }
        void return_void() const noexcept {}
        void unhandled_exception() const noexcept { std::abort(); }
    };
};

Traced background(int id) {
    co_await SleepFor(40 + id);  // @background
}

Traced spawner() {
    background(1);
    co_await SleepFor(4000);  // @spawner
}

void run_spawned() {
    spawner();
    puts("chain spawner@spawner");
    puts("chain background@background");
    puts("edges 0");
}

// ---- an awaiter that owns a coroutine and lets another one await it

struct Operation {
    Lazy work;
    std::coroutine_handle<> receiver;
    explicit Operation(Lazy owned) : work(std::move(owned)) {}
    static Detached drive(Operation* self) {
        co_await self->work;  // @drive
        self->receiver.resume();
    }
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) {
        receiver = handle;
        drive(this);
    }
    void await_resume() const noexcept {}
};

Lazy connects() {
    co_await Operation(slow_work(3));  // @connects
}

void run_driver() {
    static const Lazy task = connects();
    task.handle().resume();
    puts("chain connects@connects > Operation::drive@drive > slow_work@slow_work");
    puts("edges 2");
}

// ---- a counter in memory that another frame's dead awaiter remembers

struct Counter {
    int left;
    std::coroutine_handle<> waiting;
};

Detached leg(std::shared_ptr<Counter> counter, Lazy work) {
    co_await work;  // @leg
    const auto waiting = counter->waiting;
    const bool is_last = --counter->left == 0;
    counter.reset();
    if (is_last) waiting.resume();
}

struct AllOf {
    int count;
    std::shared_ptr<Counter> counter;
    explicit AllOf(int legs) : count(legs) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) {
        counter = std::make_shared<Counter>(Counter{count, handle});
        for (int i = 0; i < count; ++i) leg(counter, slow_work(i));
    }
    void await_resume() const noexcept {}
};

Lazy early() {
    co_await AllOf(2);
    co_await SleepFor(9000);  // @early
}

Lazy late() {
    co_await AllOf(2);  // @late
}

void run_recycled() {
    begin(early());
    fire_first();
    fire_first();
    begin(late());
    puts("chain begin@begin > early@early");
    puts("chains 2 begin@begin > late@late > leg@leg > slow_work@slow_work");
    puts("edges 6");
}

// ---- several that wait for one over the state that it shares with them

class Future {
  public:
    struct State {
        std::optional<int> value;
        std::vector<std::function<void()>> callbacks;
    };
    struct promise_type {
        std::shared_ptr<State> state = std::make_shared<State>();
        Future get_return_object() { return Future(state); }
        std::suspend_never initial_suspend() const noexcept { return {}; }
        std::suspend_never final_suspend() const noexcept { return {}; }
        void return_value(int value) {
            state->value = value;
            for (auto& callback : state->callbacks) callback();
        }
        void unhandled_exception() const noexcept { std::abort(); }
    };
    explicit Future(std::shared_ptr<State> state) : state_(std::move(state)) {}
    bool await_ready() const noexcept { return state_->value.has_value(); }
    void await_suspend(std::coroutine_handle<> handle) {
        state_->callbacks.push_back([handle] { handle.resume(); });
    }
    int await_resume() const { return *state_->value; }

  private:
    std::shared_ptr<State> state_;
};

Future fetch(int id) {
    co_await SleepFor(100 + id);  // @fetch
    co_return id;
}

Future shares(Future common) {
    co_return co_await common;  // @shares
}

void run_shared_state() {
    static const Future common = fetch(1);
    static const Future one = shares(common), other = shares(common);
    puts("chains 2 shares@shares > fetch@fetch");
    puts("count 3");
    puts("edges 2");
}

// ---- a buffer that is full: the consumer, who knows it too, sleeps

template <typename Element>
class RingBuffer {
  public:
    struct ProduceOperation {
        RingBuffer& buffer;
        Element element;
        std::coroutine_handle<> producer;
        ProduceOperation* next = nullptr;
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<> handle) noexcept {
            producer = handle;
            next = std::exchange(buffer.producers_, this);
        }
        void await_resume() const noexcept {}
    };
    ProduceOperation produce(Element element) { return {*this, element, {}}; }

  private:
    Element elements_[4] = {};
    ProduceOperation* producers_ = nullptr;
};

Detached producer(std::shared_ptr<RingBuffer<int>> buffer) {
    co_await buffer->produce(1);  // @producer
}

Detached consumer(std::shared_ptr<RingBuffer<int>> buffer) {
    co_await SleepFor(1000);  // @consumer
    co_await buffer->produce(2);
}

void run_ring_buffer() {
    const auto buffer = std::make_shared<RingBuffer<int>>();
    producer(buffer);
    consumer(buffer);
    puts("chain producer@producer");
    puts("chain consumer@consumer");
    puts("count 2");
    puts("edges 0");
}

}  // namespace

int main(int count, char** arguments) {
    TRUTH_BEGIN();
    const std::string scenario = count > 1 ? arguments[1] : "";
    if (scenario == "turns") run_turns();
    if (scenario == "switch") run_switch();
    if (scenario == "lost") run_lost();
    if (scenario == "spawned") run_spawned();
    if (scenario == "driver") run_driver();
    if (scenario == "recycled") run_recycled();
    if (scenario == "shared_state") run_shared_state();
    if (scenario == "ring_buffer") run_ring_buffer();
    truth::ready();
    truth::block();
}

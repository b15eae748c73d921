// Structured concurrency as widely used libraries build it: what joins the coroutines lies inside the
// awaiting frame, or in a list that runs through the frames of those who wait. One scenario each, the first
// argument.
#include <coroutine>
#include <cstring>
#include <list>
#include <map>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "task_library.h"
#include "truth.h"

namespace {

using tasks::Task;

struct Never {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) { kept.push_back(handle); }
    void await_resume() const noexcept {}
    static inline std::vector<std::coroutine_handle<>> kept;
};

Task leaf(int n) {
    co_await Never{};  // @leaf
    co_return n;
}

// ---- when_all: the counter and the legs are a temporary of the awaiting frame, the awaiter refers to it

struct Counter {
    std::size_t remaining = 0;
    std::coroutine_handle<> waiting;
};

class Leg {
  public:
    struct promise_type {
        Counter* counter = nullptr;
        int* result = nullptr;
        Leg get_return_object() { return Leg(std::coroutine_handle<promise_type>::from_promise(*this)); }
        std::suspend_always initial_suspend() const noexcept { return {}; }
        std::suspend_always final_suspend() const noexcept { return {}; }
        void unhandled_exception() const noexcept { std::abort(); }
        void return_void() const noexcept {}
    };
    explicit Leg(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
    Leg(Leg&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
    Leg& operator=(Leg&&) = delete;
    ~Leg() {
        if (handle_) handle_.destroy();
    }
    void start(Counter& counter) {
        handle_.promise().counter = &counter;
        handle_.resume();
    }

  private:
    std::coroutine_handle<promise_type> handle_;
};

Leg leg(Task task) {
    co_await task;  // @leg
}

template <typename... Legs>
class WhenAll {
  public:
    explicit WhenAll(Legs... legs) : counter_{sizeof...(Legs), {}}, legs_(std::move(legs)...) {}
    auto operator co_await() && noexcept {
        struct Awaiter {
            WhenAll& all;
            bool await_ready() const noexcept { return all.counter_.remaining == 0; }
            void await_suspend(std::coroutine_handle<> handle) {
                all.counter_.waiting = handle;
                std::apply([&](Legs&... legs) { (legs.start(all.counter_), ...); }, all.legs_);
            }
            void await_resume() const noexcept {}
        };
        return Awaiter{*this};
    }

  private:
    Counter counter_;
    std::tuple<Legs...> legs_;
};

template <typename... Tasks>
auto when_all(Tasks... all) {
    return WhenAll(leg(std::move(all))...);
}

Task pair_of_leaves() {
    co_await when_all(leaf(1), leaf(2));  // @pair_of_leaves
    co_return 0;
}

Task tree() {
    co_await when_all(pair_of_leaves(), leaf(3), pair_of_leaves());  // @tree
    co_return 0;
}

void run_when_all() {
    static Task task = tree();
    task.handle().resume();
    puts("chains 4 tree@tree > leg@leg > pair_of_leaves@pair_of_leaves > leg@leg > leaf@leaf");
    puts("chain tree@tree > leg@leg > leaf@leaf");
    puts("count 15");
    puts("edges 14");
}

// ---- a nursery among the locals of the one that waits for its children

class Nursery {
  public:
    void spawn(Task task) { run(this, std::move(task)); }
    auto join() noexcept {
        struct Awaiter {
            Nursery& nursery;
            bool await_ready() const noexcept { return nursery.running_ == 0; }
            void await_suspend(std::coroutine_handle<> handle) { nursery.joining_ = handle; }
            void await_resume() const noexcept {}
        };
        return Awaiter{*this};
    }

  private:
    static tasks::Detached run(Nursery* nursery, Task task) {
        ++nursery->running_;
        co_await task;  // @spawned
        if (--nursery->running_ == 0) nursery->joining_.resume();
    }
    std::size_t running_ = 0;
    std::coroutine_handle<> joining_;
};

Task family() {
    Nursery nursery;
    for (int i = 0; i < 3; ++i) nursery.spawn(leaf(i));
    co_await nursery.join();  // @family
    co_return 0;
}

void run_nursery() {
    static Task task = family();
    task.handle().resume();
    static Nursery elsewhere;
    elsewhere.spawn(leaf(7));
    puts("chains 3 family@family > Nursery::run@spawned > leaf@leaf");
    puts("chain Nursery::run@spawned > leaf@leaf");
    puts("count 9");
}

/// Has a nursery, but waits for something else: for an object that stands beside it and holds its own handle.
Task busy_family() {
    Nursery nursery;
    for (int i = 0; i < 2; ++i) nursery.spawn(leaf(i));
    co_await when_all(leaf(3), leaf(4));  // @busy_family
    co_await nursery.join();
    co_return 0;
}

void run_busy_nursery() {
    static Task task = busy_family();
    task.handle().resume();
    puts("chains 2 busy_family@busy_family > leg@leg > leaf@leaf");
    puts("chains 2 Nursery::run@spawned > leaf@leaf");
    puts("count 9");
    puts("edges 6");
}

// ---- gather: the awaiter itself, in the awaiting frame, makes the legs, which know it by `this`; whom to
// resume is kept as a base class of the promise

struct Resumable {
    virtual void resume() = 0;

  protected:
    ~Resumable() = default;
};

class Job {
  public:
    struct promise_type final : Resumable {
        Resumable* waiting = nullptr;
        int result = 0;
        void resume() override { std::coroutine_handle<promise_type>::from_promise(*this).resume(); }
        Job get_return_object() { return Job(std::coroutine_handle<promise_type>::from_promise(*this)); }
        std::suspend_always initial_suspend() const noexcept { return {}; }
        auto final_suspend() const noexcept {
            struct Continue {
                bool await_ready() const noexcept { return false; }
                void await_suspend(std::coroutine_handle<promise_type> done) const noexcept {
                    if (done.promise().waiting != nullptr) done.promise().waiting->resume();
                }
                void await_resume() const noexcept {}
            };
            return Continue{};
        }
        void return_value(int value) { result = value; }
        void unhandled_exception() const noexcept { std::abort(); }
    };
    explicit Job(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
    Job(Job&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
    Job& operator=(Job&&) = delete;
    ~Job() {
        if (handle_) handle_.destroy();
    }
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) const noexcept {
        handle_.promise().waiting = &waiting.promise();
        handle_.resume();
    }
    int await_resume() const noexcept { return handle_.promise().result; }
    void start() const { handle_.resume(); }

  private:
    std::coroutine_handle<promise_type> handle_;
};

class Gather {
  public:
    struct Results {
        std::vector<int> values;
    };
    Gather(Job first, Job second) : legs_{collect(std::move(first)), collect(std::move(second))} {}
    Gather(const Gather&) = delete;
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) noexcept {
        waiting_ = &waiting.promise();
        for (const Job& leg : legs_) leg.start();
    }
    Results await_resume() { return std::move(results_); }

  private:
    Job collect(Job job) {
        results_.values.push_back(co_await job);  // @collect
        if (results_.values.size() == std::size(legs_)) waiting_->resume();
        co_return 0;
    }
    Results results_;
    Job legs_[2];
    Resumable* waiting_ = nullptr;
};

Job part(int n) {
    co_await Never{};  // @part
    co_return n;
}

Job both(int n) {
    const Gather::Results results = co_await Gather(part(n), part(n + 1));  // @both
    co_return results.values.front();
}

void run_gather() {
    static Job job = both(1);
    job.start();
    puts("chains 2 both@both > Gather::collect@collect > part@part");
    puts("count 5");
    puts("edges 4");
}

// ---- what begins at once: its first await, not its beginning, is the first suspend point

int summed = 0;

[[gnu::noinline]] tasks::Detached one_after_the_other(int id) {
    summed += co_await leaf(id);  // @first_of_several
    summed -= co_await leaf(id + 1);
    co_await leaf(summed);
}

void run_eager() {
    one_after_the_other(1);
    puts("chain one_after_the_other@first_of_several > leaf@leaf");
    puts("count 2");
    puts("edges 1");
}

// ---- one coroutine that several wait for, in a list through their awaiters

class Shared {
  public:
    struct Waiter {
        std::coroutine_handle<> handle;
        Waiter* next = nullptr;
    };
    struct promise_type {
        Waiter* waiters = nullptr;
        Shared get_return_object() {
            return Shared(std::coroutine_handle<promise_type>::from_promise(*this));
        }
        std::suspend_never initial_suspend() const noexcept { return {}; }
        std::suspend_always final_suspend() const noexcept { return {}; }
        void unhandled_exception() const noexcept { std::abort(); }
        void return_void() const noexcept {}
    };
    explicit Shared(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
    auto operator co_await() const noexcept {
        struct Awaiter {
            std::coroutine_handle<promise_type> shared;
            Waiter waiter = {};
            bool await_ready() const noexcept { return shared.done(); }
            void await_suspend(std::coroutine_handle<> handle) {
                waiter = {handle, std::exchange(shared.promise().waiters, &waiter)};
            }
            void await_resume() const noexcept {}
        };
        return Awaiter{handle_};
    }

  private:
    std::coroutine_handle<promise_type> handle_;
};

Shared connect() {
    co_await Never{};  // @connect
}

Task user(Shared shared) {
    co_await shared;  // @user
    co_return 0;
}

void run_shared() {
    static Shared shared = connect();
    static Task one = user(shared), two = user(shared), three = user(shared);
    for (Task* task : {&one, &two, &three}) task->handle().resume();
    puts("chains 3 user@user > connect@connect");
    puts("count 4");
    puts("edges 3");
}

// ---- generators of generators: one whose consumer awaits, and one that yields another

template <typename T>
class AsyncGenerator {
  public:
    struct promise_type {
        std::coroutine_handle<> consumer;
        T* current = nullptr;
        struct Yield {
            bool await_ready() const noexcept { return false; }
            std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> self) noexcept {
                return self.promise().consumer;
            }
            void await_resume() const noexcept {}
        };
        AsyncGenerator get_return_object() {
            return AsyncGenerator(std::coroutine_handle<promise_type>::from_promise(*this));
        }
        std::suspend_always initial_suspend() const noexcept { return {}; }
        Yield final_suspend() const noexcept { return {}; }
        Yield yield_value(T& value) noexcept {
            current = &value;
            return {};
        }
        void unhandled_exception() const noexcept { std::abort(); }
        void return_void() const noexcept {}
    };
    struct Next {
        std::coroutine_handle<promise_type> generator;
        bool await_ready() const noexcept { return false; }
        std::coroutine_handle<> await_suspend(std::coroutine_handle<> handle) noexcept {
            generator.promise().consumer = handle;
            return generator;
        }
        T* await_resume() const noexcept { return generator.promise().current; }
    };
    explicit AsyncGenerator(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
    AsyncGenerator(AsyncGenerator&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
    AsyncGenerator& operator=(AsyncGenerator&&) = delete;
    ~AsyncGenerator() {
        if (handle_) handle_.destroy();
    }
    Next next() const noexcept { return Next{handle_}; }

  private:
    std::coroutine_handle<promise_type> handle_;
};

AsyncGenerator<int> numbers() {
    for (int i = 0; i < 4; ++i) {
        if (i == 2) co_await Never{};  // @numbers
        co_yield i;
    }
}

AsyncGenerator<int> even(AsyncGenerator<int> source) {
    while (int* value = co_await source.next())  // @even
        if (*value % 2 == 0) co_yield *value;
}

Task consume() {
    auto generator = even(numbers());
    int sum = 0;
    while (int* value = co_await generator.next()) sum += *value;  // @consume
    co_return sum;
}

class Walk {
  public:
    struct promise_type {
        int value = 0;
        promise_type* parent = nullptr;
        struct Inner {
            promise_type* child;
            bool await_ready() const noexcept { return false; }
            void await_suspend(std::coroutine_handle<> outer) noexcept {
                child->parent = &std::coroutine_handle<promise_type>::from_address(outer.address()).promise();
                std::coroutine_handle<promise_type>::from_promise(*child).resume();
            }
            void await_resume() const noexcept {}
        };
        Walk get_return_object() { return Walk(*this); }
        std::suspend_always initial_suspend() const noexcept { return {}; }
        std::suspend_always final_suspend() const noexcept { return {}; }
        std::suspend_always yield_value(int next) noexcept {
            value = next;
            return {};
        }
        Inner yield_value(Walk&& walk) noexcept { return Inner{walk.promise_}; }
        void unhandled_exception() const noexcept { std::abort(); }
        void return_void() const noexcept {}
    };
    explicit Walk(promise_type& promise) : promise_(&promise) {}
    Walk(Walk&& other) noexcept : promise_(std::exchange(other.promise_, nullptr)) {}
    Walk& operator=(Walk&&) = delete;
    ~Walk() {
        if (promise_ != nullptr) std::coroutine_handle<promise_type>::from_promise(*promise_).destroy();
    }
    void start() { std::coroutine_handle<promise_type>::from_promise(*promise_).resume(); }

  private:
    promise_type* promise_;
};

Walk walk(int depth) {
    if (depth > 0)
        co_yield walk(depth - 1);  // @walk
    else
        co_yield depth;  // @bottom
}

void run_generators() {
    static Task consumer = consume();
    consumer.handle().resume();
    puts("chain consume@consume > even@even > numbers@numbers");
    puts("count 3");
}

void run_recursion() {
    static Walk top = walk(3);
    top.start();
    puts("chain walk@walk x 3 > walk@bottom");
    puts("count 4");
}

// ---- the awaiting coroutine in a node of a container

template <typename Container>
struct ContainerPromise : tasks::PromiseBase {
    Container waiting;
    tasks::Owner<ContainerPromise> get_return_object() {
        return tasks::Owner(std::coroutine_handle<ContainerPromise>::from_promise(*this));
    }
    void set_continuation(std::coroutine_handle<> parent) {
        if constexpr (requires { waiting.push_back(parent); })
            waiting.push_back(parent);
        else
            waiting.emplace(3, parent);
    }
    std::coroutine_handle<> take_continuation() { return {}; }
};
using ListTask = tasks::Owner<ContainerPromise<std::list<std::coroutine_handle<>>>>;
using MapTask = tasks::Owner<ContainerPromise<std::map<int, std::coroutine_handle<>>>>;

ListTask in_list() {
    co_await Never{};  // @in_list
    co_return 1;
}
MapTask in_map() {
    co_await Never{};  // @in_map
    co_return 1;
}
Task over_list() {
    co_return co_await in_list();  // @over_list
}
Task over_map() {
    co_return co_await in_map();  // @over_map
}

void run_containers() {
    static Task list = over_list(), map = over_map();
    list.handle().resume();
    map.handle().resume();
    puts("chain over_list@over_list > in_list@in_list");
    puts("chain over_map@over_map > in_map@in_map");
    puts("count 4");
}

// ---- when_any: the state on the heap has the one that waits, and owns those that it waits for

struct AnyState {
    std::coroutine_handle<> waiting;
    int left = 1;
    std::vector<Task> owned;
};

Task contender(std::shared_ptr<AnyState> state, Task task) {
    const int result = co_await task;  // @contender
    if (state->left-- == 1) state->waiting.resume();
    co_return result;
}

struct AnyAwaiter {
    std::shared_ptr<AnyState> state;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) {
        state->waiting = handle;
        state->owned[0].handle().resume();
    }
    void await_resume() const noexcept {}
};

Task first_of_one() {
    auto state = std::make_shared<AnyState>();
    state->owned.push_back(contender(state, leaf(1)));
    co_await AnyAwaiter{state};  // @first_of_one
    co_return 1;
}

/// Owns one, and waits for something else.
Task owner_only() {
    auto state = std::make_shared<AnyState>();
    state->owned.push_back(contender(state, leaf(2)));
    state->owned[0].handle().resume();
    co_await Never{};  // @owner_only
    co_return 1;
}

// ---- senders: the operation on the heap has the one that waits and the coroutines that were connected to
// it, which know the operation as their receiver

/// Does not remember who waits for it.
struct ConnectedPromise : tasks::PromiseBase {
    tasks::Owner<ConnectedPromise> get_return_object() {
        return tasks::Owner(std::coroutine_handle<ConnectedPromise>::from_promise(*this));
    }
    std::coroutine_handle<> take_continuation() { return {}; }
};
using Connected = tasks::Owner<ConnectedPromise>;

struct Operation;
struct Receiver {
    Operation* operation;
    void set_value(int value) const;
};

Connected connected(Task task, Receiver receiver) {
    const int result = co_await task;  // @connected
    receiver.set_value(result);
    co_return result;
}

struct Operation {
    std::coroutine_handle<> waiting;
    int left = 2, sum = 0;
    Connected first{connected(leaf(1), Receiver{this})}, second{connected(leaf(2), Receiver{this})};
};

void Receiver::set_value(int value) const {
    operation->sum += value;
    if (--operation->left == 0) operation->waiting.resume();
}

struct AllOf {
    std::unique_ptr<Operation> operation;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) {
        operation = std::make_unique<Operation>();
        operation->waiting = handle;
        operation->first.handle().resume();
        operation->second.handle().resume();
    }
    int await_resume() const noexcept { return operation->sum; }
};

Task sends_both() {
    co_return co_await AllOf{};  // @sends_both
}

void run_senders() {
    static Task both = sends_both();
    both.handle().resume();
    puts("chain sends_both@sends_both > connected@connected > leaf@leaf");
    puts("chain sends_both@sends_both > connected@connected > leaf@leaf");
    puts("count 5");
}

void run_when_any() {
    static Task waiting = first_of_one(), owning = owner_only();
    waiting.handle().resume();
    owning.handle().resume();
    puts("chain first_of_one@first_of_one > contender@contender > leaf@leaf");
    puts("chain contender@contender > leaf@leaf");
    puts("chain owner_only@owner_only");
    puts("count 6");
}

// ---- what was there before: freed frames that two remember, and buffers in the memory of freed frames

Task short_call(int n) {
    co_return n;
}

Task waits_after_call(int n) {
    n += co_await short_call(n);
    co_await Never{};  // @waits_after_call
    co_return n;
}

Task reads_into(std::size_t bytes) {
    std::unique_ptr<char[]> buffer(new char[bytes]);
    buffer[0] = 'x';
    co_await Never{};  // @reads_into
    co_return buffer[0];
}

void run_leftovers() {
    static std::vector<Task> all;
    const auto run = [](Task task) {
        all.push_back(std::move(task));
        all.back().handle().resume();
    };
    all.reserve(100);
    for (int round = 0; round < 4; ++round) {
        run(waits_after_call(round));
        run(waits_after_call(round));
        for (std::size_t bytes = 40; bytes <= 104; bytes += 16) {
            run(waits_after_call(round));
            run(reads_into(bytes));
        }
    }
    puts("chains 28 waits_after_call@waits_after_call");
    puts("chains 20 reads_into@reads_into");
    // An optimising compiler puts the call's frame into its caller's, where its last bytes stay.
    puts("passing short_call");
    puts("edges 0");
}

}  // namespace

int main(int count, char** arguments) {
    TRUTH_BEGIN();
    const std::string scenario = count > 1 ? arguments[1] : "";
    if (scenario == "when_all") run_when_all();
    if (scenario == "senders") run_senders();
    if (scenario == "nursery") run_nursery();
    if (scenario == "busy_nursery") run_busy_nursery();
    if (scenario == "gather") run_gather();
    if (scenario == "eager") run_eager();
    if (scenario == "shared") run_shared();
    if (scenario == "generators") run_generators();
    if (scenario == "recursion") run_recursion();
    if (scenario == "containers") run_containers();
    if (scenario == "when_any") run_when_any();
    if (scenario == "leftovers") run_leftovers();
    truth::ready();
    truth::block();
}

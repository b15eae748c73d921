// Coroutines that wait for an object on the heap (the shared state of a future, an event), and what leads to
// that object. The scenario is the first argument, "healthy" the second one where somebody is left who can
// end the wait. Lines of truth: "finding KIND" for each error that has to be found.
#include <sys/epoll.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "async_primitives.h"
#include "task_library.h"
#include "truth.h"

namespace {

using tasks::loop;
using tasks::Task;

/// Between a promise and its future.
struct State {
    int value = 0;
    bool is_set = false;
    std::coroutine_handle<> waiter;
};

class Future {
  public:
    explicit Future(std::shared_ptr<State> state) : state_(std::move(state)) {}
    bool await_ready() const noexcept { return state_->is_set; }
    void await_suspend(std::coroutine_handle<> coroutine) noexcept { state_->waiter = coroutine; }
    int await_resume() const noexcept { return state_->value; }

  private:
    std::shared_ptr<State> state_;
};

class Promise {
  public:
    Future future() const { return Future(state_); }
    void set(int value) const {
        state_->is_set = true;
        state_->value = value;
        if (state_->waiter) loop.post(state_->waiter);
    }

  private:
    std::shared_ptr<State> state_ = std::make_shared<State>();
};

/// Wakes all that wait for it; the waiters stand in memory of the container's own.
template <typename Waiters>
class Gate {
  public:
    auto wait() {
        struct Awaiter {
            Gate& gate;
            bool await_ready() const noexcept { return false; }
            void await_suspend(std::coroutine_handle<> coroutine) { gate.waiters_.push_back(coroutine); }
            void await_resume() const noexcept {}
        };
        return Awaiter{*this};
    }
    void open() {
        for (const auto waiter : std::exchange(waiters_, {})) loop.post(waiter);
    }

  private:
    Waiters waiters_;
};
using VectorGate = Gate<std::vector<std::coroutine_handle<>>>;
using DequeGate = Gate<std::deque<std::coroutine_handle<>>>;

Task wait_for(Future future) {
    co_return co_await future;
}

/// With a frame of its own: clang does not merge it into its parent.
[[gnu::noinline]] Task wait_by_reference(Future& future) {
    co_return co_await future;
}

Task wait_for_child(Future future) {
    co_return co_await wait_by_reference(future);
}

template <typename Gate>
Task wait_for_gate(std::shared_ptr<Gate> gate) {
    co_await gate->wait();
    co_return 0;
}

Task wait_then_set(Future future, Promise promise) {
    promise.set(co_await future);
    co_return 0;
}

Task wait_for_event_then_set(tasks::Event& event, Promise promise) {
    co_await event;
    promise.set(1);
    co_return 0;
}

tasks::Detached detached(Task task) {
    co_await task;
}

/// What lives on in healthy scenarios, and how far it is from the object.
struct Kept {
    Promise promise;
    std::map<int, std::shared_ptr<VectorGate>> gates;
    std::shared_ptr<DequeGate> gate;
    std::unique_ptr<std::function<void()>> callback;
    tasks::Event event;
};
Kept& kept() {
    static Kept kept;
    return kept;
}

void begin_callback(bool healthy) {
    Promise promise;
    detached(wait_for(promise.future()));
    auto callback = std::make_unique<std::function<void()>>([promise] { promise.set(1); });
    if (healthy) kept().callback = std::move(callback);
}

void begin_in_kernel(bool healthy) {
    auto* const promise = new Promise;
    detached(wait_for(promise->future()));
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = promise;
    int ends[2];
    if (healthy && (pipe(ends) != 0 || epoll_ctl(epoll_create1(0), EPOLL_CTL_ADD, ends[0], &event) != 0))
        abort();
    if (!healthy) delete promise;
}

void begin(const std::string& scenario, bool healthy) {
    if (scenario == "future") {
        const Promise promise;
        detached(wait_for(promise.future()));
        if (healthy) kept().promise = promise;
    } else if (scenario == "by_reference") {
        const Promise promise;
        detached(wait_for_child(promise.future()));
        if (healthy) kept().promise = promise;
    } else if (scenario == "vector") {
        const auto gate = std::make_shared<VectorGate>();
        for (int i = 0; i < 3; ++i) detached(wait_for_gate(gate));
        if (healthy) kept().gates.emplace(1, gate);
    } else if (scenario == "deque") {
        const auto gate = std::make_shared<DequeGate>();
        detached(wait_for_gate(gate));
        if (healthy) kept().gate = gate;
    } else if (scenario == "callback") {
        begin_callback(healthy);
    } else if (scenario == "in_kernel") {
        begin_in_kernel(healthy);
    } else if (scenario == "crosswise") {
        // Each has the other one's promise. A third one that is woken from outside may set one of them.
        const Promise one, other;
        detached(wait_then_set(one.future(), other));
        detached(wait_then_set(other.future(), one));
        if (healthy) detached(wait_for_event_then_set(kept().event, one));
    }
}

}  // namespace

int main(int count, char** arguments) {
    TRUTH_BEGIN();
    const std::string scenario = count > 1 ? arguments[1] : "";
    const bool healthy = count > 2 && arguments[2] == std::string("healthy");
    // On a stack that is gone when the program rests.
    std::thread([&] {
        begin(scenario, healthy);
        loop.run_ready();
    }).join();
    if (!healthy) printf("finding unwakeable\n");
    truth::ready();
    loop.run();
}

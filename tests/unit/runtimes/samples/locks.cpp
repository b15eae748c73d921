// Guards, awaiters and locks, and a coroutine that holds two; prints where its guards lie: "<what> <number>"
// lines.
#include <coroutine>
#include <cstdio>
#include <cstdlib>

namespace ns {

class Mutex {
  public:
    class Guard {
      public:
        explicit Guard(Mutex& mutex) : mutex_(&mutex) {}
        ~Guard() { mutex_->locked_ = false; }

      private:
        Mutex* mutex_;
    };
    struct Awaiter {
        Mutex& mutex;
        ~Awaiter() {}
    };
    bool locked_ = false;
    void* waiters_ = nullptr;
};

struct UniqueLock {
    void* other = nullptr;
    Mutex* mutex = nullptr;
    bool owns = false;
};

struct Holds {
    Mutex& mutex;
};
struct Releases {
    long number = 0;
    Holds holds;
    ~Releases() { holds.mutex.locked_ = false; }
};

/// No destructor of its own.
struct Mentions {
    Mutex* mutex = nullptr;
};

struct EmptyGuard {
    long number = 0;
    ~EmptyGuard() { number = 1; }
};

}  // namespace ns

struct Task {
    struct promise_type {
        Task get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_always initial_suspend() noexcept { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() { std::abort(); }
    };
    std::coroutine_handle<promise_type> handle;
};

ns::Mutex first, second;
void *guard_at, *inner_at;
constexpr int guard_line = __LINE__ + 3, inner_await = guard_line + 5, outer_await = inner_await + 2;

__attribute__((noinline)) Task holds_two() {
    ns::Mutex::Guard guard(first);
    guard_at = &guard;
    {
        ns::Mutex::Guard inner(second);
        inner_at = &inner;
        co_await std::suspend_always();
    }
    co_await std::suspend_always();
}

template <typename T>
void use(T object) {
    asm volatile("" : : "r"(&object) : "memory");
}

int main() {
    use(ns::Mutex::Awaiter{first});
    use(ns::UniqueLock{nullptr, &first, true});
    use(ns::Releases{0, {first}});
    use(ns::Mentions{&first});
    use(ns::EmptyGuard{});
    const Task task = holds_two();
    task.handle.resume();
    const auto offset = [&](void* place) {
        return static_cast<unsigned>(static_cast<char*>(place) - static_cast<char*>(task.handle.address()));
    };
    std::printf("guard %u\ninner %u\n", offset(guard_at), offset(inner_at));
    std::printf("guard_line %d\ninner_await %d\nouter_await %d\n", guard_line, inner_await, outer_await);
    return 0;
}

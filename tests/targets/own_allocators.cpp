// Frames in memory that no hook of the agent sees: promises with an operator new over malloc, and over an
// arena in static storage. With OWN_SOMETHING the promise owns an object whose size its destructor tells.
#include <coroutine>
#include <cstdlib>
#include <memory>

#include "truth.h"

namespace {

alignas(64) unsigned char arena[1 << 14];
std::size_t used = 0;

struct FromMalloc {
    static void* get(std::size_t size) { return std::malloc(size); }
    static void put(void* memory) { std::free(memory); }
};

struct FromArena {
    static void* get(std::size_t size) {
        void* const memory = arena + used;
        used += (size + 63) / 64 * 64;
        return memory;
    }
    static void put(void*) {}
};

template <typename Memory>
struct Task {
    struct promise_type {
        static void* operator new(std::size_t size) { return Memory::get(size); }
        static void operator delete(void* frame) { Memory::put(frame); }
        Task get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_always initial_suspend() noexcept { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() { std::abort(); }
        struct Waiting {
            long since = 0;
            std::coroutine_handle<> handle;
        };
#ifdef OWN_SOMETHING
        std::unique_ptr<Waiting> waiting = std::make_unique<Waiting>();
        Waiting* continuation() const {
            return waiting.get();
        }
#else
        Waiting waiting;
        Waiting* continuation() {
            return &waiting;
        }
#endif
    };

    auto operator co_await() const noexcept {
        struct Awaiter {
            std::coroutine_handle<promise_type> child;
            bool await_ready() const noexcept { return false; }
            auto await_suspend(std::coroutine_handle<> parent) const noexcept {
                child.promise().continuation()->handle = parent;
                return child;
            }
            void await_resume() const noexcept {}
        };
        return Awaiter{handle};
    }

    std::coroutine_handle<promise_type> handle;
};

template <typename Memory>
Task<Memory> leaf(int) {
    co_await std::suspend_always{};  // @leaf
}

template <typename Memory>
Task<Memory> parent(Task<Memory> child) {
    co_await child;  // @parent
}

template <typename Memory>
void start() {
    static Task<Memory> task = parent<Memory>(leaf<Memory>(1));
    truth::show(task);
    task.handle.resume();
}

}  // namespace

int main() {
    TRUTH_BEGIN();
    start<FromMalloc>();
    start<FromArena>();
    puts("chain parent@parent > leaf@leaf");
    puts("chain parent@parent > leaf@leaf");
    puts("count 4");
    truth::ready();
    truth::block();
}

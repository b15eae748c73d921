// Coroutines that print how their frames look: "<what> <number>" lines, offsets from the frame's
// beginning.
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

struct Task;
std::size_t allocated_bytes;

struct Promise {
    std::uint64_t number = 0x1122334455667788;
    Promise* next = nullptr;
    std::coroutine_handle<> then;
    Promise* waiter = nullptr;
    char text[24] = {};

    Task get_return_object();
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() {}
    static void* operator new(std::size_t bytes) {
        allocated_bytes = bytes;
        return std::malloc(bytes);
    }
    static void operator delete(void* frame) { std::free(frame); }
};

struct Task {
    using promise_type = Promise;
    std::coroutine_handle<Promise> handle;
};
Task Promise::get_return_object() {
    return {std::coroutine_handle<Promise>::from_promise(*this)};
}

struct Event {
    void* here = nullptr;
    bool await_ready() noexcept { return false; }
    void await_suspend(std::coroutine_handle<>) noexcept { here = this; }
    void await_resume() noexcept {}
};

void* parameter_at;
void* local_at;

// Not inlined, so that its frame is allocated.
constexpr int declared = __LINE__ + 1;
__attribute__((noinline)) Task measured(std::uint64_t parameter) {
    std::uint64_t local_value = parameter * 3;
    parameter_at = &parameter;
    local_at = &local_value;
    co_await Event{};
    std::printf("sum %d\n", static_cast<int>(parameter + local_value));
}

struct alignas(64) Wide {
    char bytes[64];
};

struct WideTask {
    struct promise_type {
        Wide wide;
        WideTask get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_always initial_suspend() noexcept { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() {}
    };
    std::coroutine_handle<promise_type> handle;
};

__attribute__((noinline)) WideTask overaligned() {
    co_await Event{};
}

struct Flag : Event {
    bool await_resume() noexcept { return false; }
};

__attribute__((noinline)) Task conditional() {
    if (!co_await Flag()) co_await Event{};
}

int main() {
    const Task task = measured(4);
    auto* const frame = static_cast<char*>(task.handle.address());
    const auto offset = [&](void* place) { return static_cast<long>(static_cast<char*>(place) - frame); };
    task.handle.resume();
    Promise& promise = task.handle.promise();
    std::printf("size %zu\npromise %ld\npromise_size %zu\n", allocated_bytes, offset(&promise),
                sizeof(Promise));
    std::printf("next %ld\nthen %ld\nwaiter %ld\n", offset(&promise.next), offset(&promise.then),
                offset(&promise.waiter));
    std::printf("parameter %ld\nlocal_value %ld\n", offset(parameter_at), offset(local_at));
    // The words that hold the frame's own address.
    for (std::size_t at = 16; at + 8 <= allocated_bytes; at += 8) {
        void* word = *reinterpret_cast<void**>(frame + at);
        if (word == frame) std::printf("self %zu\n", at);
    }
    std::printf("declared %d\n", declared);
    const WideTask wide = overaligned();
    std::printf("wide_promise %ld\n", static_cast<long>(reinterpret_cast<char*>(&wide.handle.promise()) -
                                                        static_cast<char*>(wide.handle.address())));
    wide.handle.destroy();
    // Never destroyed: GCC 12 translates it to code that looks for its members in the wrong places.
    const Task shifted = conditional();
    std::printf("conditional_promise %ld\n",
                static_cast<long>(reinterpret_cast<char*>(&shifted.handle.promise()) -
                                  static_cast<char*>(shifted.handle.address())));
    task.handle.resume();
    task.handle.destroy();
}

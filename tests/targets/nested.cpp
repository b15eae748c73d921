// Coroutines of one and the same function, several on one stack, among words that lead to others of them.
// Usage: nested SCENARIO. Tells for each of its threads the frames of the coroutines that it executes,
// innermost first, as
//   executes THREAD-NAME ADDRESS...
// and of those that wait for one that they have handed over to
//   lingers ADDRESS...
// and of those that execute await_suspend, and may be called suspended
//   may await ADDRESS
#include <coroutine>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <utility>
#include <vector>

#include "truth.h"

namespace {

constexpr int depth_of_nesting = 4;
constexpr int number_of_decoys = 8;

/// Frames of the functions under test that no thread executes.
void* decoys[number_of_decoys];

/// Innermost last.
thread_local std::vector<void*> executed;

void tell() {
    char name[16] = "";
    pthread_getname_np(pthread_self(), name, sizeof name);
    printf("executes %s", name);
    for (auto frame = executed.rbegin(); frame != executed.rend(); ++frame) printf(" %p", *frame);
    puts("");
}

[[gnu::noinline]] void tell_and_block() {
    tell();
    truth::ready();
    truth::block();
}

/// Calls while decoys lie in registers that calls preserve, and in the caller's own stack frame.
template <typename Call>
[[gnu::always_inline]] inline void call_among_decoys(Call call) {
    void* volatile on_stack[number_of_decoys];
    for (int i = 0; i < number_of_decoys; ++i) on_stack[i] = decoys[i];
    void *a = decoys[0], *b = decoys[1], *c = decoys[2], *d = decoys[3], *e = decoys[4];
    asm volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e));
    call();
    asm volatile("" : : "r"(a), "r"(b), "r"(c), "r"(d), "r"(e), "m"(on_stack));
}

struct Own {
    void* address = nullptr;
    bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> own) noexcept {
        address = own.address();
        return false;
    }
    void* await_resume() const noexcept { return address; }
};

struct ToParent {
    bool await_ready() const noexcept { return false; }
    template <typename Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> done) const noexcept {
        const auto parent = done.promise().parent;
        return parent ? parent : std::noop_coroutine();
    }
    void await_resume() const noexcept {}
};

template <typename InitialSuspend>
class Task {
  public:
    struct promise_type {
        std::coroutine_handle<> parent;
        Task get_return_object() { return Task(std::coroutine_handle<promise_type>::from_promise(*this)); }
        InitialSuspend initial_suspend() const noexcept { return {}; }
        ToParent final_suspend() const noexcept { return {}; }
        void return_void() const noexcept {}
        void unhandled_exception() const noexcept { std::abort(); }
    };
    explicit Task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
    Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
    ~Task() {
        if (handle_) handle_.destroy();
    }
    std::coroutine_handle<> handle() const { return handle_; }
    std::coroutine_handle<> release() { return std::exchange(handle_, {}); }

    auto operator co_await() const noexcept {
        struct Awaiter {
            std::coroutine_handle<promise_type> child;
            bool await_ready() const noexcept { return false; }
            std::coroutine_handle<> await_suspend(std::coroutine_handle<> parent) const noexcept {
                child.promise().parent = parent;
                return child;
            }
            void await_resume() const noexcept {}
        };
        return Awaiter{handle_};
    }

  private:
    std::coroutine_handle<promise_type> handle_;
};
using Lazy = Task<std::suspend_always>;
using Eager = Task<std::suspend_never>;

void set_decoys(Lazy (*make)(int)) {
    for (void*& decoy : decoys) decoy = make(depth_of_nesting).release().address();
}

// ---- resumed: each resumes the next from its own body

Lazy resumes(int depth) {
    executed.push_back(co_await Own());
    if (depth > 0) {
        Lazy next = resumes(depth - 1);
        call_among_decoys([&next] { next.handle().resume(); });
    } else {
        call_among_decoys(tell_and_block);
    }
}

void resumed() {
    set_decoys(resumes);
    resumes(depth_of_nesting).release().resume();
}

// ---- transferred: each resumes one that hands over to a child by symmetric transfer

/// Not inlined: else a compiler makes one loop of it, in which no frame is the function's own.
[[gnu::noinline]] Lazy hands_over(int depth) {
    void* const own = co_await Own();
    if (depth % 2 == 1) {
        printf("lingers %p\n", own);
        co_await hands_over(depth - 1);
    } else if (depth > 0) {
        executed.push_back(own);
        Lazy next = hands_over(depth - 1);
        call_among_decoys([&next] { next.handle().resume(); });
    } else {
        executed.push_back(own);
        call_among_decoys(tell_and_block);
    }
}

void transferred() {
    set_decoys(hands_over);
    hands_over(depth_of_nesting).release().resume();
}

// ---- merged: the body, and with clang the frame, becomes part of the one that resumes it

Lazy merged_inside(int) {
    co_await std::suspend_never();
    tell_and_block();
}

Lazy merged_outside() {
    Lazy inside = merged_inside(1);
    executed.push_back(inside.handle().address());
    inside.handle().resume();
    asm volatile("" ::: "memory");  // no tail call
    co_return;
}

void merged() {
    const std::coroutine_handle<> outside = merged_outside().release();
    executed.push_back(outside.address());
    outside.resume();
}

// ---- started: nothing suspends before its body runs, so that the call of the coroutine executes it

Eager starts(int depth) {
    executed.push_back(co_await Own());
    if (depth > 0) {
        call_among_decoys([depth] { starts(depth - 1).release(); });
    } else if (depth == 0) {
        call_among_decoys(tell_and_block);
    } else {
        executed.pop_back();
        co_await std::suspend_always();
    }
}

void started() {
    for (void*& decoy : decoys) decoy = starts(-1).release().address();
    starts(depth_of_nesting).release();
}

// ---- destroyed: the destructor of a local of each destroys the next

struct DestroysNext {
    std::coroutine_handle<> next;
    void* own = nullptr;
    ~DestroysNext() {
        if (own == nullptr) return;
        executed.push_back(own);
        if (next)
            next.destroy();
        else
            tell_and_block();
    }
};

Lazy destroys(int depth) {
    DestroysNext at_end;
    at_end.own = co_await Own();
    if (depth > 0) {
        at_end.next = destroys(depth - 1).release();
        at_end.next.resume();
    }
    co_await std::suspend_always();
}

void destroyed() {
    set_decoys(destroys);
    auto first = destroys(depth_of_nesting).release();
    truth::show(first);  // its frame lies on the heap
    first.resume();
    first.destroy();
}

// ---- caught: in the handler of an exception, which an optimiser puts into a part of its own

Lazy handles(int depth) {
    executed.push_back(co_await Own());
    try {
        if (depth >= 0) throw std::runtime_error("expected");
    } catch (const std::exception&) {
        if (depth > 0) {
            Lazy next = handles(depth - 1);
            call_among_decoys([&next] { next.handle().resume(); });
        } else {
            call_among_decoys(tell_and_block);
        }
    }
}

void caught() {
    set_decoys(handles);
    handles(depth_of_nesting).release().resume();
}

// ---- suspending: in the await_suspend of each

struct ResumesWhileSuspending {
    std::coroutine_handle<> next;
    bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<>) {
        call_among_decoys([this] {
            if (next)
                next.resume();
            else
                tell_and_block();
        });
        return false;
    }
    void await_resume() const noexcept {}
};

Lazy suspends(int depth) {
    executed.push_back(co_await Own());
    if (depth > 0) {
        printf("may await %p\n", executed.back());
        co_await ResumesWhileSuspending{suspends(depth - 1).release()};
    } else {
        co_await ResumesWhileSuspending{};
    }
}

void suspending() {
    set_decoys(suspends);
    suspends(depth_of_nesting).release().resume();
}

constexpr struct {
    const char* name;
    void (*start)();
} scenarios[] = {{"resumed", resumed},      {"transferred", transferred}, {"merged", merged},
                 {"started", started},      {"destroyed", destroyed},     {"caught", caught},
                 {"suspending", suspending}};

}  // namespace

int main(int count, char** arguments) {
    TRUTH_BEGIN();
    pthread_setname_np(pthread_self(), "executor");
    for (const auto& scenario : scenarios) {
        if (count == 2 && std::strcmp(arguments[1], scenario.name) == 0) scenario.start();
    }
    return 64;
}

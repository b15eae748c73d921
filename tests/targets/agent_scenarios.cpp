// One program, many short lives under the agent: agent_scenarios NAME checks itself from within and exits
// with 0, or prints what was not as it should be and exits with 1.
#include <dlfcn.h>
#include <malloc.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "agent_registry_reader.h"
#include "agent_task.h"
#include "asyncdump/annotate.h"

using agent_test::Entry;
using agent_test::Registry;

namespace {

#define EXPECT(condition)                                                       \
    do {                                                                        \
        if (!(condition)) {                                                     \
            std::printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            std::exit(1);                                                       \
        }                                                                       \
    } while (false)

std::uint64_t registry_address() {
    return reinterpret_cast<std::uint64_t>(dlsym(RTLD_DEFAULT, "asyncdump_registry"));
}

Registry registry() {
    EXPECT(registry_address() != 0);
    auto opened = Registry::open(agent_test::own_memory(), registry_address());
    EXPECT(opened.has_value());
    return *opened;
}

std::optional<Entry> entry_of(const void* block) {
    return registry().at(reinterpret_cast<std::uint64_t>(block));
}
std::uint64_t number(const void* block) {
    return reinterpret_cast<std::uint64_t>(block);
}
bool is_registered(std::uint64_t address) {
    return registry().at(address).has_value();
}
bool is_registered(const void* block) {
    return is_registered(number(block));
}

std::uint64_t milliseconds_now() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1000 +
           static_cast<std::uint64_t>(now.tv_nsec) / 1'000'000;
}

std::uint64_t sum;

[[gnu::noinline]] Task simple(std::uint64_t value) {
    sum += value;
    co_await std::suspend_always{};
}

[[gnu::noinline]] Task with_array(std::array<std::uint64_t, 40> values) {
    sum += values[1];
    co_await std::suspend_always{};
    sum += values[2];
}

[[gnu::noinline]] void* make_simple() {
    void* frame = simple(3).release();
    asm volatile("" : : "r"(frame) : "memory");
    return frame;
}

// ---- what is recorded ----

void record() {
    const std::uint64_t before = milliseconds_now();
    void* frame = make_simple();
    const auto entry = entry_of(frame);
    EXPECT(entry.has_value());
    EXPECT(entry->size >= 24 && entry->size < 256);
    EXPECT(entry->size <= malloc_usable_size(frame));
    EXPECT(entry->thread == static_cast<std::uint32_t>(syscall(SYS_gettid)));
    EXPECT(entry->time + 20 >= before && entry->time <= milliseconds_now());
    EXPECT(!registry().incomplete());
    destroy_frame(frame);
    EXPECT(!is_registered(frame));

    std::thread([&] { frame = make_simple(); }).join();
    EXPECT(entry_of(frame)->thread != static_cast<std::uint32_t>(syscall(SYS_gettid)));
    destroy_frame(frame);
    EXPECT(!is_registered(frame));
}

bool is_inside(std::uint64_t address, const char* function) {
    Dl_info info;
    return dladdr(reinterpret_cast<void*>(address), &info) != 0 && info.dli_sname != nullptr &&
           std::strcmp(info.dli_sname, function) == 0;
}

}  // namespace

extern "C" [[gnu::noinline]] void* agent_test_inner() {
    void* frame = simple(1).release();
    asm volatile("" : : "r"(frame) : "memory");
    return frame;
}
extern "C" [[gnu::noinline]] void* agent_test_outer() {
    void* frame = agent_test_inner();
    asm volatile("" : : "r"(frame) : "memory");
    return frame;
}

namespace {

/// Built with frame pointers and exported symbols.
void stack() {
    for (int i = 0; i < 3; ++i) {
        void* frame = agent_test_outer();
        const auto addresses = registry().stack(entry_of(frame)->origin);
        std::size_t inner = 0;
        while (inner < addresses.size() && !is_inside(addresses[inner], "agent_test_inner")) ++inner;
        EXPECT(inner + 1 < addresses.size());
        EXPECT(is_inside(addresses[inner + 1], "agent_test_outer"));
        destroy_frame(frame);
    }
    // The same stack has the same origin.
    void* frames[2];
    volatile std::size_t both = 2;
    for (std::size_t i = 0; i < both; ++i) frames[i] = agent_test_outer();
    EXPECT(entry_of(frames[0])->origin == entry_of(frames[1])->origin);
    for (auto* frame : frames) destroy_frame(frame);
}

/// With stack=0 the allocation site remains.
void no_stack() {
    void* frame = agent_test_outer();
    EXPECT(registry().stack(entry_of(frame)->origin).size() == 1);
    destroy_frame(frame);
}

/// A thread whose frame pointer register holds rubbish, also such that points into its own stack.
[[gnu::noinline]] void* with_false_frame_pointer(std::uintptr_t value) {
    void* block;
    asm volatile(
        "pushq %%rbp\n\t"
        "movq %1, %%rbp\n\t"
        "subq $136, %%rsp\n\t"
        "movq %%rsp, %%rbx\n\t"
        "andq $-16, %%rsp\n\t"
        "movl $48, %%edi\n\t"
        "call _Znwm@PLT\n\t"
        "movq %%rbx, %%rsp\n\t"
        "addq $136, %%rsp\n\t"
        "popq %%rbp\n\t"
        : "=a"(block)
        : "r"(value)
        : "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
    return block;
}

void false_frame_pointers() {
    std::uintptr_t near[64];
    for (std::size_t i = 0; i < 64; ++i) near[i] = reinterpret_cast<std::uintptr_t>(&near[i]) + 32;
    std::uint64_t state = 88172645463325252;
    const auto try_all = [&] {
        for (int i = 0; i < 20000; ++i) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            const std::uintptr_t here = reinterpret_cast<std::uintptr_t>(&here);
            const std::uintptr_t values[] = {0,
                                             1,
                                             state,
                                             here + state % 65536,
                                             here + state % (8 << 20),
                                             here + (state & 0xfff8),
                                             reinterpret_cast<std::uintptr_t>(&near[state % 64])};
            for (const std::uintptr_t value : values) operator delete(with_false_frame_pointer(value));
        }
    };
    try_all();
    std::thread(try_all).join();
    EXPECT(registry().counters().origins_full == 0);
}

// ---- all forms ----

void forms() {
    constexpr auto align = std::align_val_t{128};
    const std::vector<std::pair<std::function<void*()>, std::function<void(void*)>>> pairs = {
        {[] { return operator new(72); }, [](void* p) { operator delete(p); }},
        {[] { return operator new(80); }, [](void* p) { operator delete(p, 80); }},
        {[] { return operator new[](72); }, [](void* p) { operator delete[](p); }},
        {[] { return operator new[](80); }, [](void* p) { operator delete[](p, 80); }},
        {[] { return operator new(72, std::nothrow); }, [](void* p) { operator delete(p, std::nothrow); }},
        {[] { return operator new[](72, std::nothrow); },
         [](void* p) { operator delete[](p, std::nothrow); }},
        {[=] { return operator new(72, align); }, [=](void* p) { operator delete(p, align); }},
        {[=] { return operator new(72, align); }, [=](void* p) { operator delete(p, 72, align); }},
        {[=] { return operator new[](72, align); }, [=](void* p) { operator delete[](p, align); }},
        {[=] { return operator new[](72, align); }, [=](void* p) { operator delete[](p, 72, align); }},
        {[=] { return operator new(72, align, std::nothrow); },
         [=](void* p) { operator delete(p, align, std::nothrow); }},
        {[=] { return operator new[](72, align, std::nothrow); },
         [=](void* p) { operator delete[](p, align, std::nothrow); }},
        {[] { return aligned_alloc(64, 128); }, [](void* p) { free(p); }},
        {[] { return memalign(64, 100); }, [](void* p) { free(p); }},
        {[] {
             void* p = nullptr;
             return posix_memalign(&p, 64, 100) == 0 ? p : nullptr;
         },
         [](void* p) { free(p); }},
    };
    for (const auto& [allocate, release] : pairs) {
        void* block = allocate();
        EXPECT(block != nullptr);
        std::memset(block, 0x5a, 72);
        const std::uint64_t address = number(block);
        EXPECT(is_registered(address));
        release(block);
        EXPECT(!is_registered(address));
    }
    operator delete(nullptr);
    operator delete[](nullptr);
    free(nullptr);
    operator delete(operator new(0));
    void* small = operator new(16);
    EXPECT(!is_registered(small));
    operator delete(small);
}

void* allocate_anything(std::size_t size);

[[gnu::noinline]] void* allocate_anything(std::size_t size) {
    void* block = operator new(size);
    asm volatile("" : : "r"(block) : "memory");
    return block;
}

struct Wrapped {
    struct promise_type {
        static void* operator new(std::size_t size) { return allocate_anything(size); }
        static void operator delete(void* block) { ::operator delete(block); }
        Wrapped get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_always initial_suspend() noexcept { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() { std::abort(); }
    };
    std::coroutine_handle<promise_type> handle;
};

[[gnu::noinline]] Wrapped wrapped(std::uint64_t value) {
    sum += value;
    co_return;
}

/// A wrapper that served plain blocks first still shows frames of another size.
void shared_wrapper() {
    void* frame = wrapped(1).handle.address();
    const std::size_t size = malloc_usable_size(frame);
    destroy_frame(frame);
    for (int i = 0; i < 100000; ++i) operator delete(allocate_anything(size + 200));
    void* plain = allocate_anything(size + 200);
    EXPECT(!is_registered(plain));
    operator delete(plain);
    frame = wrapped(2).handle.address();
    EXPECT(is_registered(frame));
    destroy_frame(frame);
}

/// The same wrapper with the same size: frames are missed, a sample notices, and from then on they are seen.
void late_verdict() {
    EXPECT(!registry().incomplete());
    void* frame = make_simple();
    for (int i = 0; i < 100; ++i) {
        void* plain = allocate_anything(1000);
        std::memset(plain, 0, 1000);
        operator delete(plain);
    }
    void* missed = allocate_anything(1000);
    EXPECT(!is_registered(missed));
    operator delete(missed);
    bool noticed = false;
    for (int i = 0; i < 100000 && !noticed; ++i) {
        void* late = allocate_anything(1000);
        std::memcpy(late, frame, 16);
        asm volatile("" : : "r"(late) : "memory");
        operator delete(late);
        noticed = registry().counters().late_verdicts != 0;
    }
    EXPECT(noticed);
    EXPECT(registry().incomplete());
    void* seen = allocate_anything(1000);
    EXPECT(is_registered(seen));
    operator delete(seen);
    destroy_frame(frame);
}

/// Plain blocks that live on are judged too, so that a program that only allocates is not registered for
/// ever.
void plain_that_stays() {
    std::vector<void*> blocks;
    for (int i = 0; i < 2000; ++i) blocks.push_back(allocate_anything(4000));
    std::size_t registered = 0;
    for (const Entry& entry : registry().entries()) registered += entry.size == 4000;
    EXPECT(registered >= 8);
    EXPECT(registered < 40);
    for (void* block : blocks) operator delete(block);
}

/// A promise whose constructor allocates at places that are not judged yet: the frame is complete by then.
struct Busy {
    struct promise_type {
        std::vector<std::unique_ptr<std::string>> strings;
        promise_type() {
            for (int i = 0; i < 20; ++i) strings.push_back(std::make_unique<std::string>(30 + i * 9, 'x'));
        }
        Busy get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_always initial_suspend() noexcept { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() { std::abort(); }
    };
    std::coroutine_handle<promise_type> handle;
};

[[gnu::noinline]] Busy busy() {
    co_return;
}

void busy_promise() {
    std::vector<void*> frames;
    for (int i = 0; i < 200; ++i) frames.push_back(busy().handle.address());
    for (void* frame : frames) EXPECT(is_registered(frame));
    for (void* frame : frames) destroy_frame(frame);
}

struct alignas(64) Aligned {
    std::uint64_t values[8];
};

[[gnu::noinline]] Task over_aligned(Aligned value) {
    co_await std::suspend_always{};
    sum += value.values[0];
}

/// The frame may stand behind the block's beginning.
void over_aligned_frame() {
    std::vector<void*> frames;
    for (int i = 0; i < 100; ++i) {
        frames.push_back(over_aligned(Aligned{}).release());
        const auto frame = reinterpret_cast<std::uint64_t>(frames.back());
        bool found = false;
        for (const Entry& entry : registry().entries())
            found |= entry.address <= frame && frame - entry.address < entry.size;
        EXPECT(found);
    }
    for (void* frame : frames) destroy_frame(frame);
}

// ---- threads, signals, processes ----

void threads() {
    std::vector<void*> frames(200);
    for (auto& frame : frames) std::thread([&frame] { frame = make_simple(); }).join();
    std::size_t found = 0;
    for (const Entry& entry : registry().entries())
        for (void* frame : frames) found += entry.address == reinterpret_cast<std::uint64_t>(frame);
    EXPECT(found == frames.size());
    std::thread([&] {
        for (void* frame : frames) destroy_frame(frame);
    }).join();
    for (void* frame : frames) EXPECT(!is_registered(frame));
}

std::atomic<std::uint64_t> signals_taken;

void on_signal(int) {
    const int saved = errno;
    void* frame = make_simple();
    delete new std::string(100, 'x');
    destroy_frame(frame);
    signals_taken.fetch_add(1);
    errno = saved;
}

/// Needs an allocator that signal handlers may use (agent_safe_malloc), so that the signals hit the agent's
/// own code.
void signals() {
    struct sigaction action {};
    action.sa_handler = on_signal;
    sigaction(SIGPROF, &action, nullptr);
    timer_t timer;
    sigevent event{};
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGPROF;
    EXPECT(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    const itimerspec interval{{0, 50'000}, {0, 50'000}};
    EXPECT(timer_settime(timer, 0, &interval, nullptr) == 0);
    while (signals_taken.load() < 5000) {
        void* frames[3] = {make_simple(), with_array({}).release(), make_simple()};
        delete new std::array<int, 30>;
        for (void* frame : frames) destroy_frame(frame);
    }
    timer_delete(timer);
    void* frame = make_simple();
    EXPECT(is_registered(frame));
    destroy_frame(frame);
    EXPECT(!is_registered(frame));
    EXPECT(registry().counters().replaced == 0);
}

void fork_child() {
    void* inherited = make_simple();
    const pid_t child = fork();
    EXPECT(child >= 0);
    if (child == 0) {
        EXPECT(is_registered(inherited));
        EXPECT((registry().header().flags & ASYNCDUMP_FLAG_FORKED) != 0);
        EXPECT(registry().header().process_id == static_cast<std::uint32_t>(getpid()));
        void* own = make_simple();
        EXPECT(entry_of(own)->thread == static_cast<std::uint32_t>(getpid()));
        destroy_frame(own);
        destroy_frame(inherited);
        EXPECT(!is_registered(inherited));
        std::thread([] { destroy_frame(make_simple()); }).join();
        std::exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT(status == 0);
    EXPECT(is_registered(inherited));
    EXPECT((registry().header().flags & ASYNCDUMP_FLAG_FORKED) == 0);
    destroy_frame(inherited);
}

/// fork while other threads create and destroy: the child's registry works.
void fork_under_load() {
    std::atomic<bool> stop{false};
    std::vector<std::thread> workers;
    for (int i = 0; i < 3; ++i)
        workers.emplace_back([&stop] {
            while (!stop.load()) {
                void* frame = make_simple();
                std::string text(50, 'y');
                destroy_frame(frame);
            }
        });
    for (int i = 0; i < 50; ++i) {
        const pid_t child = fork();
        if (child == 0) {
            alarm(20);
            void* frame = make_simple();
            const bool seen = is_registered(frame);
            destroy_frame(frame);
            _exit(seen && !is_registered(frame) ? 0 : 1);
        }
        int status = 0;
        waitpid(child, &status, 0);
        EXPECT(status == 0);
    }
    stop = true;
    for (auto& worker : workers) worker.join();
}

std::string output_of(const char* command) {
    std::string output;
    FILE* pipe = popen(command, "r");
    EXPECT(pipe != nullptr);
    char text[256];
    while (std::fgets(text, sizeof text, pipe) != nullptr) output += text;
    pclose(pipe);
    return output;
}

void exec_child() {
    void* frame = make_simple();
    const pid_t child = vfork();
    if (child == 0) {
        // A careless child that shares our memory until it runs something else.
        operator delete(operator new(40));
        char name[] = "true";
        char* arguments[] = {name, nullptr};
        execv("/bin/true", arguments);
        _exit(1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT(status == 0);
    EXPECT(is_registered(frame));
    destroy_frame(frame);
    std::printf("%s", output_of("echo \"preload=${LD_PRELOAD-unset}\"").c_str());
}

void plugins() {
    const char* path = std::getenv("AGENT_TEST_PLUGIN");
    EXPECT(path != nullptr);
    for (int i = 0; i < 30; ++i) {
        void* plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        EXPECT(plugin != nullptr);
        auto* create = reinterpret_cast<void* (*)()>(dlsym(plugin, "agent_plugin_create"));
        auto* destroy = reinterpret_cast<void (*)(void*)>(dlsym(plugin, "agent_plugin_destroy"));
        EXPECT(create != nullptr && destroy != nullptr);
        std::vector<void*> frames;
        for (int frame = 0; frame < 20; ++frame) frames.push_back(create());
        for (void* frame : frames) EXPECT(is_registered(frame));
        for (void* frame : frames) destroy(frame);
        for (void* frame : frames) EXPECT(!is_registered(frame));
        EXPECT(dlclose(plugin) == 0);
    }
}

struct OwnsFrame {
    void* frame = make_simple();
    ~OwnsFrame() {
        if (registry_address() == 0) return;
        if (!is_registered(frame)) _exit(1);
        destroy_frame(frame);
        if (is_registered(frame)) _exit(1);
        void* last = make_simple();
        if (!is_registered(last)) _exit(1);
        destroy_frame(last);
        std::printf("destroyed statically\n");
    }
};

void static_destruction() {
    static OwnsFrame owner;
    static thread_local OwnsFrame of_thread;
    EXPECT(is_registered(owner.frame));
    EXPECT(is_registered(of_thread.frame));
}

// ---- failure ----

int handler_calls;

void give_up_later() {
    if (++handler_calls == 3) std::set_new_handler(nullptr);
}

void out_of_memory() {
    volatile std::size_t huge = std::size_t{1} << 60;
    bool thrown = false;
    try {
        operator delete(operator new(huge));
    } catch (const std::bad_alloc&) {
        thrown = true;
    }
    EXPECT(thrown);
    thrown = false;
    try {
        operator delete (operator new (huge, std::align_val_t{64}), std::align_val_t{64});
    } catch (const std::bad_alloc&) {
        thrown = true;
    }
    EXPECT(thrown);
    EXPECT(operator new(huge, std::nothrow) == nullptr);
    EXPECT(operator new[](huge, std::nothrow) == nullptr);

    std::set_new_handler(give_up_later);
    thrown = false;
    try {
        operator delete(operator new(huge));
    } catch (const std::bad_alloc&) {
        thrown = true;
    }
    EXPECT(thrown && handler_calls == 3);

    // Compilers know that malloc leaves errno alone.
    void* (*volatile unknown_malloc)(std::size_t) = &malloc;
    errno = 0;
    void* volatile refused = unknown_malloc(huge);
    EXPECT(refused == nullptr && errno == ENOMEM);
    refused = calloc(huge, 64);
    EXPECT(refused == nullptr);
    refused = realloc(nullptr, huge);
    EXPECT(refused == nullptr);
    refused = aligned_alloc(64, huge);
    EXPECT(refused == nullptr);
    void* pointer = &handler_calls;
    EXPECT(posix_memalign(&pointer, 3, 64) == EINVAL && pointer == &handler_calls);
    errno = 77;
    for (int i = 0; i < 100; ++i) operator delete(allocate_anything(300 + static_cast<std::size_t>(i) * 8));
    EXPECT(errno == 77);
}

void reallocation() {
    void* block = aligned_alloc(64, 256);
    std::memset(block, 7, 256);
    EXPECT(is_registered(block));
    volatile std::size_t huge = std::size_t{1} << 60;
    const std::uint64_t address = number(block);
    EXPECT(realloc(block, huge) == nullptr);
    EXPECT(is_registered(address));
    void* moved = realloc(reinterpret_cast<void*>(address), 100000);
    EXPECT(moved != nullptr);
    EXPECT(!is_registered(address) && !is_registered(moved));
    for (int i = 0; i < 256; ++i) EXPECT(static_cast<unsigned char*>(moved)[i] == 7);
    free(moved);
}

/// The kernel gives the registry no memory: that is counted, and the program runs on.
void no_memory() {
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    void* volatile room = malloc(32 << 20);  // volatile: the pair must not be optimised away
    free(room);
    EXPECT(registry().counters().dropped_no_memory == 0);
    const rlimit limit{1 << 20, 1 << 20};  // less than is in use
    EXPECT(setrlimit(RLIMIT_AS, &limit) == 0);
    static std::array<void*, 20000> frames;
    for (auto& frame : frames) frame = with_array({}).release();
    EXPECT(registry().counters().dropped_no_memory > 0);
    EXPECT(registry().incomplete());
    for (void* frame : frames) destroy_frame(frame);
}

[[gnu::noinline]] void* c_allocate(int kind, std::size_t size) {
    void* block = kind == 0 ? malloc(size) : kind == 1 ? calloc(1, size) : realloc(nullptr, size);
    asm volatile("" : : "r"(block) : "memory");
    return block;
}

void malloc_recorded() {
    EXPECT((registry().header().flags & ASYNCDUMP_FLAG_MALLOC) != 0);
    for (int kind = 0; kind < 3; ++kind) {
        void* block = c_allocate(kind, 700);
        const auto entry = entry_of(block);
        EXPECT(entry && entry->size == 700 && (entry->flags & ASYNCDUMP_SLOT_MALLOC) != 0);
        if (kind == 1)
            for (int i = 0; i < 700; ++i) EXPECT(static_cast<char*>(block)[i] == 0);
        std::memset(block, 3, 700);
        block = realloc(block, 900);
        for (int i = 0; i < 700; ++i) EXPECT(static_cast<char*>(block)[i] == 3);
        const std::uint64_t address = number(block);
        free(block);
        EXPECT(!is_registered(address));
    }
    for (int i = 0; i < 1000; ++i) {
        void* blocks[4];
        for (auto& block : blocks) block = c_allocate(i % 3, 800);
        for (auto& block : blocks) block = realloc(block, 1800);
        for (auto* block : blocks) free(block);
    }
    void* plain = c_allocate(0, 800);
    EXPECT(!is_registered(plain));
    free(plain);
}

void malloc_not_recorded() {
    EXPECT((registry().header().flags & ASYNCDUMP_FLAG_MALLOC) == 0);
    void* block = c_allocate(0, 700);
    EXPECT(!is_registered(block));
    free(block);
}

// ---- annotations ----

void names() {
    void* frame = make_simple();
    EXPECT(asyncdump::name_task(frame, "session 1"));
    EXPECT(asyncdump::label_task(static_cast<char*>(frame) + 16, "reading"));
    EXPECT(asyncdump::label_task(frame, "writing"));
    auto found = registry().annotations(*entry_of(frame));
    EXPECT(found.size() == 2);
    EXPECT(found[0].kind == ASYNCDUMP_ANNOTATION_TASK && found[0].name == "session 1" &&
           found[0].label == "writing");
    EXPECT(found[0].subject == reinterpret_cast<std::uint64_t>(frame));
    EXPECT(found[1].label == "reading" && found[1].name.empty());
    for (int i = 0; i < 100000; ++i) EXPECT(asyncdump::label_task(frame, "label " + std::to_string(i)));
    found = registry().annotations(*entry_of(frame));
    EXPECT(found.size() == 2 && found[0].label == "label 99999" && found[0].name == "session 1");
    EXPECT(asyncdump::name_task(std::coroutine_handle<>::from_address(frame), std::string(200, 'n')));
    EXPECT(registry().annotations(*entry_of(frame))[0].name == std::string(47, 'n'));
    destroy_frame(frame);

    int on_the_stack = 0;
    EXPECT(!asyncdump::name_task(&on_the_stack, "nothing"));

    std::vector<void*> frames;
    {
        asyncdump::scoped_name outer("request 17");
        frames.push_back(make_simple());
        {
            asyncdump::scoped_name inner("query");
            frames.push_back(make_simple());
            EXPECT(asyncdump::name_task(frames[1], "both"));
        }
        frames.push_back(make_simple());
    }
    frames.push_back(make_simple());
    EXPECT(registry().annotations(*entry_of(frames[0])).at(0).name == "request 17");
    found = registry().annotations(*entry_of(frames[1]));
    EXPECT(found.size() == 3 && found[0].name == "both" && found[1].name == "query" &&
           found[2].name == "request 17");
    EXPECT(registry().annotations(*entry_of(frames[2])).size() == 1);
    EXPECT(registry().annotations(*entry_of(frames[3])).empty());
    for (void* each : frames) destroy_frame(each);
}

/// Names of what is gone make room: more tasks than there is room for names.
void names_without_end() {
    for (int i = 0; i < 1'200'000; ++i) {
        void* each = make_simple();
        EXPECT(asyncdump::name_task(each, "short-lived"));
        destroy_frame(each);
    }
    EXPECT(registry().counters().annotations_full == 0);
}

[[gnu::noinline]] Task names_itself() {
    co_await asyncdump::name_this_task("janitor");
    co_await std::suspend_always{};
}

void names_from_within() {
    Task task = names_itself();
    task.handle.resume();
    const auto found = registry().annotations(*entry_of(task.handle.address()));
    EXPECT(found.size() == 1 && found[0].name == "janitor");
}

void explicit_frames() {
    alignas(64) static unsigned char arena[1024];
    EXPECT(asyncdump::register_frame(arena, 200));
    EXPECT(!asyncdump::register_frame(arena, 200));
    EXPECT(!asyncdump::register_frame(arena + 24, 200));
    EXPECT(!asyncdump::register_frame(arena + 33, 200));
    EXPECT(asyncdump::name_task(arena + 100, "in the arena"));
    const auto entry = entry_of(arena);
    EXPECT(entry && entry->size == 200 && (entry->flags & ASYNCDUMP_SLOT_EXPLICIT) != 0);
    EXPECT(registry().annotations(*entry).at(0).name == "in the arena");
    EXPECT(registry().counters().dropped_collisions == 1);
    asyncdump::unregister_frame(arena);
    EXPECT(!is_registered(arena));
    {
        asyncdump::registered_frame frame(arena + 8, 64);
        EXPECT(is_registered(arena + 8));
    }
    EXPECT(!is_registered(arena + 8));
    void* hooked = make_simple();
    EXPECT(!asyncdump::register_frame(hooked, 64));
    asyncdump::unregister_frame(hooked);
    EXPECT(is_registered(hooked));
    destroy_frame(hooked);
}

// ---- without the agent, and loaded late ----

void without_agent() {
    EXPECT(registry_address() == 0);
    void* frame = make_simple();
    EXPECT(!asyncdump::name_task(frame, "x"));
    EXPECT(!asyncdump::register_frame(frame, 64));
    asyncdump::scoped_name scope("x");
    destroy_frame(frame);
}

void loaded_late() {
    const char* path = std::getenv("AGENT_TEST_LIBRARY");
    EXPECT(path != nullptr && registry_address() == 0);
    void* early = make_simple();
    void* agent = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    EXPECT(agent != nullptr);
    auto* header = static_cast<asyncdump_registry_header*>(dlsym(agent, "asyncdump_registry"));
    EXPECT(header != nullptr && header->state == ASYNCDUMP_STATE_UNHOOKED);
    EXPECT((header->flags & (ASYNCDUMP_FLAG_INTERPOSED | ASYNCDUMP_FLAG_EXECUTABLE_DEFINES_NEW |
                             ASYNCDUMP_FLAG_OTHER_LIBRARY_DEFINES_NEW)) == 0);
    const auto open = [&] {
        return *Registry::open(agent_test::own_memory(), reinterpret_cast<std::uint64_t>(header));
    };
    EXPECT(open().incomplete());

    std::map<std::string, std::uint64_t> hooks;
    std::uint32_t last_phase = 0;
    for (std::uint64_t i = 0; i < header->hooks.count; ++i) {
        const auto& hook = reinterpret_cast<const asyncdump_hook*>(header->hooks.address)[i];
        hooks[reinterpret_cast<const char*>(hook.name)] = hook.address;
        EXPECT(hook.phase >= last_phase);
        last_phase = hook.phase;
    }
    auto* hooked_new = reinterpret_cast<void* (*)(std::size_t)>(hooks.at("_Znwm"));
    auto* hooked_delete = reinterpret_cast<void (*)(void*)>(hooks.at("_ZdlPv"));
    EXPECT(reinterpret_cast<std::uint64_t>(&std::free) != hooks.at("free"));
    const asyncdump_block block{reinterpret_cast<std::uint64_t>(early), 64};
    EXPECT(reinterpret_cast<std::uint64_t (*)(const asyncdump_block*, std::uint64_t)>(header->adopt)(&block,
                                                                                                     1) == 1);
    reinterpret_cast<void (*)()>(header->announce_patched)();
    EXPECT(header->state == ASYNCDUMP_STATE_RECORDING);
    const auto adopted = open().at(block.address);
    EXPECT(adopted && adopted->time == 0 && adopted->thread == 0 && adopted->size == 64);
    hooked_delete(early);  // what the patched program would do
    EXPECT(!open().at(block.address));
    void* late = hooked_new(100);
    EXPECT(open().at(reinterpret_cast<std::uint64_t>(late)).has_value());
    hooked_delete(late);
    EXPECT(!open().at(reinterpret_cast<std::uint64_t>(late)));
}

void flags() {
    std::printf("state %u flags %u\n", registry().header().state, registry().header().flags);
}

/// Keeps what it made; the test looks from outside.
void wait() {
    for (int i = 0; i < 10; ++i) make_simple();
    std::printf("registry %#lx\n", registry_address());
    std::fflush(stdout);
    while (std::getchar() != EOF) {
    }
}

const std::map<std::string, void (*)()> scenarios = {
    {"record", record},
    {"stack", stack},
    {"no_stack", no_stack},
    {"false_frame_pointers", false_frame_pointers},
    {"forms", forms},
    {"shared_wrapper", shared_wrapper},
    {"late_verdict", late_verdict},
    {"plain_that_stays", plain_that_stays},
    {"busy_promise", busy_promise},
    {"over_aligned_frame", over_aligned_frame},
    {"threads", threads},
    {"signals", signals},
    {"fork_child", fork_child},
    {"fork_under_load", fork_under_load},
    {"exec_child", exec_child},
    {"plugins", plugins},
    {"static_destruction", static_destruction},
    {"out_of_memory", out_of_memory},
    {"reallocation", reallocation},
    {"no_memory", no_memory},
    {"malloc_recorded", malloc_recorded},
    {"malloc_not_recorded", malloc_not_recorded},
    {"names", names},
    {"names_from_within", names_from_within},
    {"names_without_end", names_without_end},
    {"explicit_frames", explicit_frames},
    {"without_agent", without_agent},
    {"loaded_late", loaded_late},
    {"flags", flags},
    {"wait", wait},
};

}  // namespace

int main(int argc, char** argv) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const auto found = scenarios.find(argc > 1 ? argv[1] : "");
    if (found == scenarios.end()) {
        std::printf("no such scenario\n");
        return 64;
    }
    found->second();
    return 0;
}

#include "runtimes/native/futex_wait.h"

#include <fmt/format.h>
#include <linux/futex.h>

#include <algorithm>
#include <array>

namespace asyncdump {
namespace {

/// Functions of the C and C++ libraries between the system call and the program, inlined ones included.
constexpr std::size_t most_library_calls = 24;

enum class Waiting {
    mutex,
    read_write_lock,
    condition,
    join,
    semaphore,
    barrier,
    once,
    static_variable,
    future,
    atomic,
    c_library,
};

struct KnownFunction {
    std::string_view prefix;  ///< of the name without leading underscores
    Waiting waiting;
};

/// The first function of the stack that is listed here decides. Functions of the C library's own allocator
/// lock stand behind those that allocate on their way.
constexpr std::array known_functions = {
    KnownFunction{"pthread_mutex_", Waiting::mutex},
    KnownFunction{"pthread_rwlock_", Waiting::read_write_lock},
    KnownFunction{"pthread_cond_", Waiting::condition},
    KnownFunction{"pthread_join", Waiting::join},
    KnownFunction{"pthread_timedjoin", Waiting::join},
    KnownFunction{"pthread_clockjoin", Waiting::join},
    KnownFunction{"std::thread::join", Waiting::join},
    KnownFunction{"sem_wait", Waiting::semaphore},
    KnownFunction{"sem_timedwait", Waiting::semaphore},
    KnownFunction{"sem_clockwait", Waiting::semaphore},
    KnownFunction{"new_sem_wait", Waiting::semaphore},
    KnownFunction{"pthread_barrier_wait", Waiting::barrier},
    KnownFunction{"pthread_once", Waiting::once},
    KnownFunction{"cxa_guard_acquire", Waiting::static_variable},
    KnownFunction{"std::__atomic_futex_unsigned", Waiting::future},
    KnownFunction{"std::__future_base::", Waiting::future},
    KnownFunction{"std::__detail::__platform_wait", Waiting::atomic},
    KnownFunction{"std::__detail::__waiter", Waiting::atomic},
    KnownFunction{"std::__atomic_wait", Waiting::atomic},
    KnownFunction{"std::__1::__libcpp_atomic_wait", Waiting::atomic},
    KnownFunction{"std::__1::__cxx_atomic_", Waiting::atomic},
    KnownFunction{"malloc", Waiting::c_library},
    KnownFunction{"libc_malloc", Waiting::c_library},
    KnownFunction{"free", Waiting::c_library},
    KnownFunction{"libc_free", Waiting::c_library},
    KnownFunction{"cfree", Waiting::c_library},
    KnownFunction{"realloc", Waiting::c_library},
    KnownFunction{"calloc", Waiting::c_library},
    KnownFunction{"int_malloc", Waiting::c_library},
    KnownFunction{"int_free", Waiting::c_library},
};

std::optional<Waiting> recognise(std::span<const std::string_view> functions) {
    for (const std::string_view function : functions.first(std::min(functions.size(), most_library_calls))) {
        const std::string_view name = without_underscores(function);
        for (const KnownFunction& known : known_functions) {
            if (name.starts_with(known.prefix)) return known.waiting;
        }
    }
    return std::nullopt;
}

bool calls_any(std::span<const std::string_view> functions, std::initializer_list<std::string_view> parts) {
    const auto looked_at = functions.first(std::min(functions.size(), most_library_calls));
    return std::ranges::any_of(looked_at, [&](std::string_view function) {
        return std::ranges::any_of(parts, [&](auto part) { return function.find(part) != function.npos; });
    });
}

class FutexWait {
  public:
    FutexWait(const FutexCall& call, std::span<const std::string_view> functions,
              const WaitSurroundings& surroundings)
        : word_(call.address), value_(call.value), functions_(functions), surroundings_(surroundings) {}

    ThreadWait describe(std::optional<Waiting> waiting) {
        if (!waiting) return plain("futex", word_, fmt::format("futex {:#x}", word_.value()));
        switch (*waiting) {
            case Waiting::mutex:
                return mutex();
            case Waiting::read_write_lock:
                return read_write_lock();
            case Waiting::condition:
                return condition();
            case Waiting::join:
                return join();
            case Waiting::semaphore:
                return event(fmt::format("semaphore {:#x}", word_.value()));
            case Waiting::barrier:
                return event(fmt::format("the other threads at a barrier, {:#x}", word_.value()));
            case Waiting::once:
                return plain(
                    "futex", word_,
                    fmt::format("another thread's initialization (call_once), {:#x}", word_.value()));
            case Waiting::static_variable:
                return plain("futex", word_,
                             fmt::format("another thread's initialization of a static variable, {:#x}",
                                         word_.value()));
            case Waiting::future:
                return event(fmt::format("the result of a future, {:#x}", word_.value()));
            case Waiting::atomic:
                return event(atomic_words());
            case Waiting::c_library:
                return plain("futex", word_,
                             fmt::format("a lock of the C library's allocator, {:#x}", word_.value()));
        }
        return plain("futex", word_, fmt::format("futex {:#x}", word_.value()));
    }

    /// A priority-inheriting mutex: the kernel itself keeps the owner's id in the word.
    ThreadWait priority_inheriting() {
        ThreadWait wait;
        wait.kind = "mutex";
        wait.address = word_;
        if (const auto word = surroundings_.memory.read_value<std::uint32_t>(word_))
            set_owner(wait, *word & FUTEX_TID_MASK);
        wait.summary = fmt::format("mutex {:#x}{}", word_.value(), held_by(wait));
        return wait;
    }

  private:
    ThreadWait plain(std::string_view kind, RemoteAddress address, std::string summary) const {
        ThreadWait wait;
        wait.kind = kind;
        wait.address = address;
        wait.summary = std::move(summary);
        return wait;
    }

    ThreadWait event(std::string summary) const {
        ThreadWait wait = plain("futex", word_, std::move(summary));
        wait.for_event = true;
        return wait;
    }

    void set_owner(ThreadWait& wait, std::uint32_t id) {
        const auto tid = static_cast<std::int32_t>(id);
        if (tid <= 0) return;
        owner_name_ = surroundings_.thread_name(tid);
        if (owner_name_) wait.owner = tid;
    }

    std::string held_by(const ThreadWait& wait, std::string_view how = "held") const {
        if (wait.owner == 0) return "";
        return fmt::format(", {} by thread {}{}", how, wait.owner,
                           owner_name_->empty() ? "" : fmt::format(" ({})", *owner_name_));
    }

    /// struct __pthread_mutex_s: the lock word, a count, the owner's thread id, users, the kind.
    ThreadWait mutex() {
        // What waits for a mutex expects another value. Where the kernel refuses a lock with priority
        // inheritance (EDEADLK, ESRCH), glibc waits without end for a word of its own that is zero.
        if (value_ == 0) {
            ThreadWait refused =
                plain("mutex", RemoteAddress(),
                      "a mutex with priority inheritance, which the kernel has refused it: it would close a "
                      "circle, or the owner has ended");
            refused.never_ends = true;
            return refused;
        }
        constexpr std::uint64_t owner_offset = 8;
        ThreadWait wait = plain("mutex", word_, "");
        if (const auto owner = surroundings_.memory.read_value<std::uint32_t>(word_ + owner_offset))
            set_owner(wait, *owner);
        wait.summary = fmt::format("mutex {:#x}{}", word_.value(), held_by(wait));
        return wait;
    }

    /// struct __pthread_rwlock_arch_t: readers, writers, two words to wait on (at 8 and 12), padding, the
    /// writer.
    ThreadWait read_write_lock() {
        constexpr std::uint64_t writer_offset = 24;
        const std::uint64_t offset = word_.value() % 8 == 0 ? 8 : 12;
        const RemoteAddress lock = word_ - offset;
        ThreadWait wait = plain("mutex", lock, "");
        if (const auto writer = surroundings_.memory.read_value<std::uint32_t>(lock + writer_offset))
            set_owner(wait, *writer);
        const std::string held = held_by(wait, "held for writing");
        wait.summary = fmt::format("read-write lock {:#x}{}", lock.value(),
                                   held.empty() ? ", held by readers or a thread unknown" : held);
        return wait;
    }

    /// struct __pthread_cond_s: the two words to wait on lie at 40 and 44; before glibc 2.25 others.
    ThreadWait condition() {
        const std::uint64_t offset = word_.value() % 8 == 0 ? 40 : 44;
        const RemoteAddress variable = word_ - offset;
        const bool of_future =
            calls_any(functions_, {"__assoc_sub_state", "std::__basic_future", "std::future"});
        ThreadWait wait = plain(
            "condition", variable,
            fmt::format("condition variable {:#x}{}", variable.value(), of_future ? " of a future" : ""));
        wait.for_event = true;
        return wait;
    }

    /// The word is the id of the thread to be joined: the kernel clears it when the thread ends.
    ThreadWait join() {
        ThreadWait wait = plain("join", word_, "");
        wait.for_event = true;
        if (const auto word = surroundings_.memory.read_value<std::uint32_t>(word_)) set_owner(wait, *word);
        wait.summary = wait.owner == 0
                           ? "the end of another thread"
                           : fmt::format("the end of thread {}{}", wait.owner,
                                         owner_name_->empty() ? "" : fmt::format(" ({})", *owner_name_));
        return wait;
    }

    std::string atomic_words() const {
        std::string_view what = "a change of an atomic";
        if (calls_any(functions_, {"std::counting_semaphore", "std::__atomic_semaphore"})) what = "semaphore";
        if (calls_any(functions_, {"std::latch"})) what = "the other threads at a latch";
        if (calls_any(functions_, {"std::barrier"})) what = "the other threads at a barrier";
        return fmt::format("{}, {:#x}", what, word_.value());
    }

    RemoteAddress word_;
    std::uint64_t value_;
    std::span<const std::string_view> functions_;
    const WaitSurroundings& surroundings_;
    std::optional<std::string> owner_name_;
};

}  // namespace

std::string_view without_underscores(std::string_view function) {
    constexpr std::string_view internal = "__GI_";
    if (function.starts_with(internal)) function.remove_prefix(internal.size());
    const auto begin = function.find_first_not_of('_');
    return begin == function.npos ? function : function.substr(begin);
}

std::optional<ThreadWait> describe_futex_wait(const FutexCall& call,
                                              std::span<const std::string_view> functions,
                                              const WaitSurroundings& surroundings) {
    FutexWait futex(call, functions, surroundings);
    std::optional<ThreadWait> wait;
    switch (static_cast<int>(call.operation) & FUTEX_CMD_MASK) {
        case FUTEX_WAIT:
        case FUTEX_WAIT_BITSET:
        case FUTEX_WAIT_REQUEUE_PI:
            wait = futex.describe(recognise(functions));
            break;
        case FUTEX_LOCK_PI:
        case 13:  // FUTEX_LOCK_PI2
            wait = futex.priority_inheriting();
            break;
        default:
            return std::nullopt;
    }
    wait->has_time_limit = call.timeout != 0;
    return wait;
}

}  // namespace asyncdump

// What a blocked thread waits for, from made-up registers, stacks and memory.
#include "runtimes/native/thread_wait.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/syscall.h>
#include <time.h>

#include <catch2/catch.hpp>
#include <map>

#include "process/copied_memory.h"

using namespace asyncdump;

namespace {

constexpr std::uint64_t object = 0x7f0000001000;

/// A thread in a system call, the memory that it waits on, and the process around it.
class Made {
  public:
    Made(long call, std::uint64_t a = 0, std::uint64_t b = 0, std::uint64_t c = 0, std::uint64_t d = 0,
         std::uint64_t e = 0) {
        registers_.system_call = call;
        registers_.set(Registers::rdi, a);
        registers_.set(Registers::rsi, b);
        registers_.set(Registers::rdx, c);
        registers_.set(Registers::r10, d);
        registers_.set(Registers::r8, e);
    }

    template <class T>
    Made& with(std::uint64_t address, const T& value) {
        const auto bytes = std::as_bytes(std::span(&value, 1));
        memory_.add(RemoteAddress(address), {bytes.begin(), bytes.end()});
        return *this;
    }

    std::optional<ThreadWait> in(std::vector<std::string_view> functions) const {
        return describe_wait(registers_, functions,
                             {memory_,
                              [](int descriptor) {
                                  const std::map<int, std::string> open = {
                                      {3, "pipe"},
                                      {5, "epoll"},
                                      {7, "socket 127.0.0.1:4711 -> 127.0.0.1:39214"},
                                      {8, "listening 0.0.0.0:80"},
                                      {9, "file /var/log/x"}};
                                  const auto found = open.find(descriptor);
                                  return found == open.end() ? std::string() : found->second;
                              },
                              [](std::int32_t tid) {
                                  return tid == 4133 ? std::optional<std::string>("worker") : std::nullopt;
                              }});
    }

    const Registers& registers() const { return registers_; }

  private:
    Registers registers_;
    CopiedMemory memory_;
};

struct PthreadMutex {
    std::uint32_t lock = 2, count = 0, owner = 0, users = 1, kind = 0, more[5] = {};
};

constexpr std::uint64_t wait_private = FUTEX_WAIT | FUTEX_PRIVATE_FLAG;

}  // namespace

TEST_CASE("a thread that waits for a mutex") {
    PthreadMutex mutex;
    mutex.owner = 4133;
    const auto wait =
        Made(SYS_futex, object, wait_private, 2)
            .with(object, mutex)
            .in({"futex_wait", "__GI___lll_lock_wait", "___pthread_mutex_lock", "std::mutex::lock()"});
    REQUIRE(wait);
    CHECK(wait->kind == "mutex");
    CHECK(wait->address == RemoteAddress(object));
    CHECK(wait->owner == 4133);
    CHECK(wait->summary == "mutex 0x7f0000001000, held by thread 4133 (worker)");
    CHECK_FALSE(wait->has_time_limit);

    SECTION("an owner that is no thread of the process is not told") {
        mutex.owner = 99;
        const auto other =
            Made(SYS_futex, object, wait_private, 2).with(object, mutex).in({"pthread_mutex_lock"});
        CHECK(other->owner == 0);
        CHECK(other->summary == "mutex 0x7f0000001000");
    }
    SECTION("memory that was not copied tells no owner") {
        CHECK(Made(SYS_futex, object, wait_private, 2).in({"pthread_mutex_lock"})->owner == 0);
    }
    SECTION("without names it is a futex") {
        const auto other = Made(SYS_futex, object, wait_private, 2).with(object, mutex).in({"", "main"});
        CHECK(other->kind == "futex");
        CHECK(other->owner == 0);
        CHECK_FALSE(other->for_event);
    }
    SECTION("a time limit") {
        const auto timed = Made(SYS_futex, object, wait_private, 2, 0x7ffc0000)
                               .with(object, mutex)
                               .in({"pthread_mutex_timedlock"});
        CHECK(timed->has_time_limit);
    }
    SECTION("waking others is no wait") {
        CHECK_FALSE(Made(SYS_futex, object, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1).in({"pthread_mutex_unlock"}));
    }
    SECTION("priority inheritance: the word is the owner's id") {
        const auto pi = Made(SYS_futex, object, FUTEX_LOCK_PI | FUTEX_PRIVATE_FLAG)
                            .with(object, std::uint64_t{4133 | FUTEX_WAITERS})
                            .in({"pthread_mutex_lock"});
        CHECK(pi->owner == 4133);
        CHECK_FALSE(pi->never_ends);
    }
    SECTION("a refused mutex: glibc waits for a word of its own that is zero") {
        const auto refused = Made(SYS_futex, object, wait_private, 0).in({"pthread_mutex_lock"});
        CHECK(refused->kind == "mutex");
        CHECK(refused->never_ends);
        CHECK(refused->address.is_null());
    }
}

TEST_CASE("the lock around a condition variable is waited for after it") {
    PthreadMutex mutex;
    mutex.owner = 4133;
    const auto wait = Made(SYS_futex, object, wait_private, 2)
                          .with(object, mutex)
                          .in({"__lll_lock_wait", "__pthread_mutex_cond_lock", "___pthread_cond_wait"});
    CHECK(wait->kind == "mutex");
    CHECK(wait->owner == 4133);
}

TEST_CASE("other objects of the C and C++ libraries") {
    const auto futex = [](std::uint64_t address) { return Made(SYS_futex, address, wait_private, 0); };
    SECTION("a condition variable begins before the word") {
        for (const std::uint64_t offset : {40U, 44U}) {
            const auto wait = futex(object + offset).in({"pthread_cond_wait", "run()"});
            CHECK(wait->kind == "condition");
            CHECK(wait->address == RemoteAddress(object));
            CHECK(wait->for_event);
        }
    }
    SECTION("a thread to be joined") {
        const auto wait = futex(object).with(object, std::uint64_t{4133}).in({"__pthread_clockjoin_ex"});
        CHECK(wait->kind == "join");
        CHECK(wait->owner == 4133);
        CHECK(wait->summary == "the end of thread 4133 (worker)");
    }
    SECTION("a read-write lock and its writer") {
        struct ReadWriteLock {
            std::uint32_t words[6] = {};
            std::int32_t writer = 4133;
            std::uint32_t shared = 0;
        };
        const auto wait = futex(object + 12).with(object, ReadWriteLock()).in({"___pthread_rwlock_wrlock"});
        CHECK(wait->kind == "mutex");
        CHECK(wait->address == RemoteAddress(object));
        CHECK(wait->owner == 4133);
    }
    SECTION("a future") {
        const auto wait = futex(object).in(
            {"syscall", "std::__atomic_futex_unsigned_base::_M_futex_wait_until(unsigned int*)"});
        CHECK(wait->kind == "futex");
        CHECK(wait->summary.find("future") != std::string::npos);
        CHECK(wait->for_event);
    }
    SECTION("the allocator's own lock is nothing to wait for long") {
        const auto wait =
            futex(object).in({"__lll_lock_wait_private", "malloc", "operator new(unsigned long)"});
        CHECK(wait->kind == "futex");
        CHECK_FALSE(wait->for_event);
    }
}

TEST_CASE("system calls with descriptors") {
    CHECK(Made(SYS_epoll_wait, 5, 0, 16, ~0ULL).in({})->summary == "epoll_wait on epoll fd 5, no timeout");
    CHECK(Made(SYS_epoll_wait, 5, 0, 16, 1500).in({})->summary ==
          "epoll_wait on epoll fd 5, for at most 1.5 s");
    CHECK(Made(SYS_read, 3).in({})->summary == "read from pipe fd 3");
    CHECK(Made(SYS_write, 9).in({})->summary == "write to file fd 9 /var/log/x");
    CHECK(Made(SYS_recvfrom, 7).in({})->summary ==
          "recvfrom on tcp socket fd 7 127.0.0.1:4711 -> 127.0.0.1:39214");
    CHECK(Made(SYS_accept4, 8).in({})->summary == "accept on listening tcp socket fd 8 0.0.0.0:80");
    CHECK(Made(SYS_read, 77).in({})->summary == "read from fd 77");
    const std::array<pollfd, 2> polled = {pollfd{3, POLLIN, 0}, pollfd{7, POLLIN, 0}};
    CHECK(Made(SYS_poll, object, 2, ~0ULL).with(object, polled).in({})->summary ==
          "poll on pipe fd 3, tcp socket fd 7 127.0.0.1:4711 -> 127.0.0.1:39214, no timeout");
    CHECK(Made(SYS_poll, object, 2, ~0ULL).in({})->summary == "poll on 2 descriptors, no timeout");
    CHECK(Made(SYS_poll, object, ~0ULL, 5).with(object, polled).in({}));
    CHECK_FALSE(Made(SYS_getpid).in({}));
    CHECK_FALSE(Made(-1).in({"main"}));
}

TEST_CASE("waits that another process may end") {
    const auto from_outside = [](const Made& made) {
        const auto wait = made.in({});
        REQUIRE(wait);
        CHECK(wait->from_outside);
        return wait->summary;
    };
    CHECK(from_outside(Made(SYS_msgrcv, 4)) == "a message in System V queue 4");
    CHECK(from_outside(Made(SYS_semtimedop, 4)) == "System V semaphores 4");
    CHECK(from_outside(Made(SYS_mq_timedreceive, 9)) == "a message in message queue fd 9 /var/log/x");
    CHECK(from_outside(Made(SYS_mq_timedsend, 77)) == "room in message queue fd 77");
    CHECK_FALSE(Made(SYS_semtimedop, 4).in({})->has_time_limit);
    CHECK(Made(SYS_semtimedop, 4, 0, 0, object).in({})->has_time_limit);
    constexpr std::array path = {'/', 'f', '\0'};
    CHECK(from_outside(Made(SYS_openat, 0, object).with(object, path)) == "open of /f");
    CHECK(from_outside(Made(SYS_open, object).with(object, std::array{'/', 'f'})) == "open of a file");
    CHECK(Made(SYS_fcntl, 9, F_SETLKW).in({})->summary == "lock of file fd 9 /var/log/x");
    CHECK(Made(SYS_fcntl, 9, F_GETFL).in({})->summary == "fcntl of file fd 9 /var/log/x");
}

TEST_CASE("a sleep, also one that the kernel restarts after a stop") {
    const timespec request{1000, 0};
    const auto wait = Made(SYS_clock_nanosleep, CLOCK_REALTIME, 0, object).with(object, request).in({});
    CHECK(wait->kind == "sleep");
    CHECK(wait->summary == "the end of a sleep of 1000 s");
    const auto again = Made(SYS_restart_syscall, CLOCK_REALTIME, 0, object)
                           .with(object, request)
                           .in({"__GI___clock_nanosleep", "sleep"});
    CHECK(again->kind == "sleep");
    CHECK(again->summary == wait->summary);
    const Made restarted(SYS_restart_syscall);
    const std::vector<std::string_view> functions = {"__GI___poll", "main"};
    CHECK(blocked_call(restarted.registers(), functions) == SYS_poll);
    timespec until{};
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 100;
    const auto absolute =
        Made(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, object).with(object, until).in({});
    CHECK(absolute->summary.find(" left") != std::string::npos);
}

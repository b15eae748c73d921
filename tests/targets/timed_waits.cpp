// A thread in each kind of wait that asyncdump's stops could disturb: waits with a time limit, waits for
// children and for what another thread sends, and one that a signal has to end. Each checks its own results.
// Exits with 0 when its input ends and all was right, with 1 after lines "WRONG ...".
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <thread>

#include "agent_task.h"

namespace {

using Clock = std::chrono::steady_clock;

constexpr long limit_ns = 5'000'000;
constexpr int limit_ms = 5;
constexpr timespec limit{0, limit_ns};

std::atomic<bool> finish = false;
std::atomic<bool> all_right = true;

void expect(bool is_right, const char* what) {
    if (is_right) return;
    all_right = false;
    printf("WRONG %s: %s\n", what, strerror(errno));
    fflush(stdout);
}

timespec limit_by(clockid_t clock) {
    timespec end;
    clock_gettime(clock, &end);
    end.tv_nsec += limit_ns;
    end.tv_sec += end.tv_nsec / 1'000'000'000;
    end.tv_nsec %= 1'000'000'000;
    return end;
}

template <typename Wait>
void again_and_again(const char* name, Wait wait) {
    std::thread([name, wait]() mutable {
        prctl(PR_SET_NAME, name);
        while (!finish) wait(name);
    }).detach();
}

/// `wait` has to last as long as the limit.
template <typename Wait>
void with_limit(const char* name, Wait wait) {
    again_and_again(name, [wait](const char* what) {
        const auto begin = Clock::now();
        expect(wait(), what);
        errno = 0;
        expect(Clock::now() - begin >= std::chrono::nanoseconds(limit_ns - 100'000), what);
    });
}

/// These the kernel ends with EINTR after any stop, also one by SIGSTOP and SIGCONT (signal(7)): what they
/// have to go on with, the rest of their time, it does not keep. All else they do has to be right.
template <typename Wait>
void with_limit_or_interrupted(const char* name, Wait wait) {
    again_and_again(name, [wait](const char* what) {
        errno = 0;
        expect(wait() || errno == EINTR, what);
    });
}

long futex(unsigned* word, int operation, const timespec* timeout, unsigned mask) {
    return syscall(SYS_futex, word, operation, 0, timeout, nullptr, mask);
}

void wait_with_limits() {
    with_limit("nanosleep", [] { return nanosleep(&limit, nullptr) == 0; });
    with_limit("clock_nanosleep", [] {
        const timespec end = limit_by(CLOCK_MONOTONIC);
        return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, nullptr) == 0;
    });
    with_limit("poll", [] { return poll(nullptr, 0, limit_ms) == 0; });
    with_limit("ppoll", [] { return ppoll(nullptr, 0, &limit, nullptr) == 0; });
    with_limit("select", [] {
        timeval rest{0, limit_ns / 1000};
        return select(0, nullptr, nullptr, nullptr, &rest) == 0;
    });
    with_limit("pselect", [] { return pselect(0, nullptr, nullptr, nullptr, &limit, nullptr) == 0; });
    static unsigned word = 0;
    with_limit("futex",
               [] { return futex(&word, FUTEX_WAIT_PRIVATE, &limit, 0) == -1 && errno == ETIMEDOUT; });
    with_limit("futex until", [] {
        const timespec end = limit_by(CLOCK_MONOTONIC);
        return futex(&word, FUTEX_WAIT_BITSET_PRIVATE, &end, FUTEX_BITSET_MATCH_ANY) == -1 &&
               errno == ETIMEDOUT;
    });
    // No wait at all, so that a stop often finds it in the kernel.
    again_and_again("poll 0", [](const char* what) { expect(poll(nullptr, 0, 0) == 0, what); });

    static const int group = epoll_create1(EPOLL_CLOEXEC);
    with_limit_or_interrupted("epoll_wait", [] {
        epoll_event event;
        return epoll_wait(group, &event, 1, limit_ms) == 0;
    });
    static int sockets[2];
    const timeval receive_limit{0, limit_ns / 1000};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0 ||
        setsockopt(sockets[0], SOL_SOCKET, SO_RCVTIMEO, &receive_limit, sizeof receive_limit) != 0)
        _exit(70);
    with_limit_or_interrupted("recv", [] {
        char byte;
        return recv(sockets[0], &byte, 1, 0) == -1 && errno == EAGAIN;
    });
    static sigset_t none_sent;
    sigemptyset(&none_sent);
    sigaddset(&none_sent, SIGUSR2);
    with_limit_or_interrupted(
        "sigtimedwait", [] { return sigtimedwait(&none_sent, nullptr, &limit) == -1 && errno == EAGAIN; });
}

void wait_for_others() {
    again_and_again("fork", [](const char* what) {
        const pid_t child = fork();
        if (child == 0) _exit(7);
        int status = 0;
        expect(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7, what);
    });
    again_and_again("vfork", [](const char* what) {
        const pid_t child = vfork();
        if (child == 0) {
            execl("/bin/true", "true", nullptr);
            _exit(1);
        }
        int status = 1;
        expect(waitpid(child, &status, 0) == child && status == 0, what);
    });
    again_and_again("threads", [](const char* what) {
        unsigned long sum = 0;
        std::thread([&sum] {
            for (unsigned long i = 0; i < 1000; ++i) sum += i;
        }).join();
        expect(sum == 499'500, what);
    });
    static int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) _exit(70);
    again_and_again("pipe, writing", [next = 0U](const char* what) mutable {
        expect(write(ends[1], &next, sizeof next) == sizeof next, what);
        ++next;
        usleep(300);
    });
    again_and_again("pipe, reading", [next = 0U](const char* what) mutable {
        unsigned value = 0;
        expect(read(ends[0], &value, sizeof value) == sizeof value && value == next, what);
        next = value + 1;
    });
    static const int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    const itimerspec period{limit, limit};
    timerfd_settime(timer, 0, &period, nullptr);
    again_and_again("timerfd", [](const char* what) {
        eventfd_t count = 0;
        expect(eventfd_read(timer, &count) == 0 && count > 0, what);
    });
}

/// A program may rely on a signal without SA_RESTART to end a call: it must still do so.
void wait_for_signal() {
    struct sigaction action {};
    action.sa_handler = [](int) {};
    sigaction(SIGUSR1, &action, nullptr);
    static int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) _exit(70);
    static std::atomic<pid_t> waiting = 0;
    again_and_again("interrupted", [](const char* what) {
        waiting = gettid();
        char byte;
        errno = 0;
        expect(read(ends[0], &byte, 1) == -1 && errno == EINTR, what);
        waiting = 0;
    });
    again_and_again("interrupting", [](const char*) {
        if (const pid_t thread = waiting) tgkill(getpid(), thread, SIGUSR1);
        usleep(700);
    });
}

Task stays(int* value) {
    *value += 1;
    co_await std::suspend_always{};
    *value += 2;
}

}  // namespace

int main() {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int value = 0;
    const Task task = stays(&value);
    task.handle.resume();
    wait_with_limits();
    wait_for_others();
    wait_for_signal();
    puts("READY");
    fflush(stdout);
    char byte;
    while (read(0, &byte, 1) > 0) continue;
    finish = true;
    expect(value == 1 && !task.handle.done(), "a kept coroutine");
    puts("END");
    fflush(stdout);
    _exit(all_right ? 0 : 1);
}

#include "process/stopped_process.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <cstddef>
#include <fstream>
#include <latch>
#include <thread>

#include "child.h"
#include "target_state.h"

using namespace asyncdump;

namespace {

/// Each of `count` threads goes round in a shared counter; returns when all do.
void start_counting_threads(int count, std::atomic<long>& rounds) {
    std::latch started(count);
    start_threads(count, [&started, &rounds] {
        started.count_down();
        while (true) rounds.fetch_add(1);
    });
    started.wait();
}

}  // namespace

TEST_CASE("all threads stop, and go on afterwards") {
    Child child([](const Child::Parent& parent) {
        std::atomic<long> rounds{0};
        start_counting_threads(3, rounds);
        parent.send('r');
        while (true) {
            parent.receive<char>();
            parent.send(rounds.load());
        }
    });
    child.receive<char>();
    const auto rounds = [&child] {
        child.send('?');
        return child.receive<long>();
    };
    auto stopped = StoppedProcess::stop(child.pid(), {});
    REQUIRE(stopped);
    CHECK(stopped->threads().size() == 4);
    CHECK(std::is_sorted(stopped->threads().begin(), stopped->threads().end(),
                         [](const auto& left, const auto& right) { return left.tid < right.tid; }));
    CHECK(stopped->problems().empty());
    for (const StoppedThread& thread : stopped->threads()) {
        CHECK(state(thread.tid) == 't');
        CHECK_FALSE(thread.in_group_stop);
        CHECK_FALSE(thread.registers.pc().is_null());
        CHECK_FALSE(thread.registers.stack_pointer().is_null());
    }
    CHECK(stopped->resume() > std::chrono::microseconds(0));
    const auto pause = stopped->resume();
    CHECK(stopped->resume() == pause);
    CHECK(stopped->threads().size() == 4);
    for (const StoppedThread& thread : stopped->threads())
        CHECK(status_field(thread.tid, "TracerPid") == "0");
    const long before = rounds();
    while (rounds() == before) std::this_thread::yield();
}

TEST_CASE("the destructor resumes, also of one that was moved") {
    Child child([](const Child::Parent& parent) {
        parent.send('r');
        parent.wait_for_end();
    });
    child.receive<char>();
    {
        auto stopped = StoppedProcess::stop(child.pid(), {});
        REQUIRE(stopped);
        const StoppedProcess moved = std::move(*stopped);
        CHECK(state(child.pid()) == 't');
    }
    CHECK(state(child.pid()) != 't');
    CHECK(status_field(child.pid(), "TracerPid") == "0");
}

TEST_CASE("the registers are the thread's own") {
    Child child([](const Child::Parent& parent) {
        int on_stack = 0;
        parent.send(reinterpret_cast<std::uintptr_t>(&on_stack));
        parent.wait_for_end();
    });
    const auto on_stack = child.receive<std::uintptr_t>();
    while (state(child.pid()) != 'S') std::this_thread::yield();
    auto stopped = StoppedProcess::stop(child.pid(), {});
    REQUIRE(stopped);
    REQUIRE(stopped->threads().size() == 1);
    const Registers& registers = stopped->threads()[0].registers;
    CHECK(registers.system_call == 0);  // read
    CHECK(registers.stack_pointer().value() < on_stack);
    CHECK(on_stack - registers.stack_pointer().value() < 65536);
}

TEST_CASE("further requests are possible on the tracing thread, and only there") {
    Child child([](const Child::Parent& parent) {
        parent.send('r');
        parent.wait_for_end();
    });
    child.receive<char>();
    auto stopped = StoppedProcess::stop(child.pid(), {});
    REQUIRE(stopped);
    user_regs_struct registers{};
    CHECK(ptrace(PTRACE_GETREGS, child.pid(), nullptr, &registers) == -1);
    long result = -1;
    stopped->on_tracing_thread([&] { result = ptrace(PTRACE_GETREGS, child.pid(), nullptr, &registers); });
    CHECK(result == 0);
    CHECK(registers.rip == stopped->threads()[0].registers.pc().value());
}

TEST_CASE("Ctrl-Z waits until the target goes on") {
    Child child([](const Child::Parent& parent) {
        parent.send('r');
        parent.wait_for_end();
    });
    child.receive<char>();
    sigset_t mask;
    auto stopped = StoppedProcess::stop(child.pid(), {});
    REQUIRE(stopped);
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    CHECK(sigismember(&mask, SIGTSTP) == 1);
    CHECK(sigismember(&mask, SIGINT) == 0);
    stopped->resume();
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    CHECK(sigismember(&mask, SIGTSTP) == 0);
}

TEST_CASE("a process in group-stop stays in it, and SIGCONT still continues it") {
    Child child([](const Child::Parent& parent) {
        std::atomic<long> rounds{0};
        start_counting_threads(2, rounds);
        parent.send('r');
        parent.wait_for_end();
    });
    child.receive<char>();
    REQUIRE(kill(child.pid(), SIGSTOP) == 0);
    int status = 0;
    REQUIRE(waitpid(child.pid(), &status, WUNTRACED) == child.pid());
    REQUIRE(WIFSTOPPED(status));

    for (int round = 0; round < 50; ++round) {
        auto stopped = StoppedProcess::stop(child.pid(), {});
        REQUIRE(stopped);
        REQUIRE(stopped->threads().size() == 3);
        for (const StoppedThread& thread : stopped->threads()) {
            CHECK(thread.in_group_stop);
            CHECK_FALSE(thread.registers.pc().is_null());
        }
        stopped->resume();
        for (const StoppedThread& thread : stopped->threads()) {
            // The kernel wakes a thread to let it go back into its group-stop.
            while (state(thread.tid) == 'R') std::this_thread::yield();
            CHECK(state(thread.tid) == 'T');
            CHECK(status_field(thread.tid, "TracerPid") == "0");
        }
    }
    CHECK(waitpid(child.pid(), &status, WUNTRACED | WNOHANG) == 0);  // its parent was told of it only once
    REQUIRE(kill(child.pid(), SIGCONT) == 0);
    REQUIRE(waitpid(child.pid(), &status, WCONTINUED) == child.pid());
    CHECK(WIFCONTINUED(status));
    for (const pid_t tid : {child.pid()}) CHECK(state(tid) != 'T');
}

TEST_CASE("SIGSTOP and SIGCONT that come while the target is held have their effect afterwards") {
    Child child([](const Child::Parent& parent) {
        parent.send('r');
        parent.receive<char>();
        parent.send('c');
        parent.wait_for_end();
    });
    child.receive<char>();
    int status = 0;
    auto stopped = StoppedProcess::stop(child.pid(), {});
    REQUIRE(stopped);
    kill(child.pid(), SIGSTOP);
    stopped->resume();
    REQUIRE(waitpid(child.pid(), &status, WUNTRACED) == child.pid());
    CHECK(WIFSTOPPED(status));

    auto again = StoppedProcess::stop(child.pid(), {});
    REQUIRE(again);
    kill(child.pid(), SIGCONT);
    again->resume();
    child.send('?');
    CHECK(child.receive<char>() == 'c');
}

TEST_CASE("a wait without a time limit does not notice the stop") {
    Child child([](const Child::Parent& parent) {
        const int wake = eventfd(0, 0);
        const int epoll = epoll_create1(0);
        epoll_event event{EPOLLIN, {}};
        epoll_ctl(epoll, EPOLL_CTL_ADD, parent.in, &event);
        std::atomic<int> interrupted{0};
        std::latch waiting(2);
        start_threads(1, [&] {
            sigset_t set;
            sigemptyset(&set);
            sigaddset(&set, SIGUSR1);
            pthread_sigmask(SIG_BLOCK, &set, nullptr);
            waiting.count_down();
            while (true)
                if (sigwaitinfo(&set, nullptr) < 0) ++interrupted;
        });
        start_threads(1, [&] {
            waiting.count_down();
            std::uint64_t value;
            while (true)
                if (read(wake, &value, sizeof value) < 0) ++interrupted;
        });
        waiting.wait();
        parent.send('r');
        while (epoll_wait(epoll, &event, 1, -1) < 0) ++interrupted;
        parent.send(interrupted.load());
        parent.wait_for_end();
    });
    child.receive<char>();
    for (int round = 0; round < 200; ++round) {
        auto stopped = StoppedProcess::stop(child.pid(), {});
        REQUIRE(stopped);
        CHECK(stopped->threads().size() == 3);
    }
    child.send('e');
    CHECK(child.receive<int>() == 0);
}

TEST_CASE("a seccomp filter that kills at restart_syscall is not met") {
    // A wait with a time limit that a stop breaks off goes on by that call.
    Child child([](const Child::Parent& parent) {
        sock_filter filter[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_restart_syscall, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        const sock_fprog program{std::size(filter), filter};
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) _exit(1);
        parent.send('r');
        pollfd input{parent.in, POLLIN, 0};
        if (poll(&input, 1, 100'000) == 1) parent.send(parent.receive<char>());
    });
    child.receive<char>();
    for (int round = 0; round < 100; ++round) REQUIRE(StoppedProcess::stop(child.pid(), {}));
    child.send('x');
    CHECK(child.receive<char>() == 'x');
}

TEST_CASE("a signal with a handler still interrupts a wait that was stopped before") {
    Child child([](const Child::Parent& parent) {
        struct sigaction action {};
        action.sa_handler = [](int) {};
        sigaction(SIGUSR1, &action, nullptr);
        const int epoll = epoll_create1(0);
        epoll_event event;
        parent.send('r');
        epoll_wait(epoll, &event, 1, -1);
        parent.send(errno);
        parent.wait_for_end();
    });
    child.receive<char>();
    while (state(child.pid()) != 'S') std::this_thread::yield();
    auto stopped = StoppedProcess::stop(child.pid(), {});
    REQUIRE(stopped);
    kill(child.pid(), SIGUSR1);
    stopped->resume();
    CHECK(child.receive<int>() == EINTR);
}

TEST_CASE("a second tracer is told who the first one is") {
    Child target([](const Child::Parent& parent) {
        parent.send('r');
        parent.wait_for_end();
    });
    target.receive<char>();
    Child tracer([&target](const Child::Parent& parent) {
        parent.send(ptrace(PTRACE_SEIZE, target.pid(), nullptr, nullptr));
        parent.wait_for_end();
    });
    REQUIRE(tracer.receive<long>() == 0);
    const auto stopped = StoppedProcess::stop(target.pid(), {});
    REQUIRE_FALSE(stopped);
    CHECK(stopped.error().code == ErrorCode::already_traced);
    CHECK(stopped.error().message.find("process " + std::to_string(tracer.pid()) + " (unit_process)") !=
          std::string::npos);
}

TEST_CASE("no process, no stop") {
    Child child([](const Child::Parent& parent) { parent.wait_for_end(); });
    const pid_t pid = child.pid();
    child.end();
    const auto stopped = StoppedProcess::stop(pid, {});
    REQUIRE_FALSE(stopped);
    CHECK(stopped.error().code == ErrorCode::no_such_process);
}

TEST_CASE("a thousand threads") {
    Child child([](const Child::Parent& parent) {
        start_threads(999, [] { pause(); });
        parent.send('r');
        parent.wait_for_end();
    });
    child.receive<char>();
    auto stopped = StoppedProcess::stop(child.pid(), {});
    REQUIRE(stopped);
    CHECK(stopped->threads().size() == 1000);
    const auto pause = stopped->resume();
    CHECK(pause < std::chrono::seconds(1));
}

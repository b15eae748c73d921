#include "process/stopped_process.h"

#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <fstream>
#include <latch>
#include <thread>

#include "child.h"
#include "process/process_info.h"

using namespace asyncdump;

namespace {

std::string status_field(pid_t tid, const std::string& name) {
    std::ifstream status("/proc/" + std::to_string(tid) + "/status");
    for (std::string line; std::getline(status, line);)
        if (line.starts_with(name + ":\t")) return line.substr(name.size() + 2);
    return {};
}

char state(pid_t tid) {
    const auto field = status_field(tid, "State");
    return field.empty() ? '-' : field[0];
}

std::vector<pid_t> thread_ids(const StoppedProcess& stopped) {
    std::vector<pid_t> ids;
    for (const StoppedThread& thread : stopped.threads()) ids.push_back(thread.tid);
    return ids;
}

void start_threads(int count, const std::function<void()>& body) {
    for (int i = 0; i < count; ++i) std::thread(body).detach();
}

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

TEST_CASE("threads that start and end all the time are all stopped") {
    Child child([](const Child::Parent& parent) {
        std::atomic<bool> started{false};
        start_threads(4, [&started] {
            while (true) {
                std::thread([&started] { started = true; }).join();
            }
        });
        while (!started) std::this_thread::yield();
        parent.send('r');
        parent.wait_for_end();
    });
    child.receive<char>();
    for (int round = 0; round < 300; ++round) {
        auto stopped = StoppedProcess::stop(child.pid(), {});
        REQUIRE(stopped);
        REQUIRE(stopped->problems().empty());
        const auto ids = thread_ids(*stopped);
        CHECK(ids.size() >= 5);
        const auto listed = read_threads(child.pid());
        REQUIRE(listed);
        for (const ThreadInfo& thread : *listed) {
            if (thread.state == ThreadState::zombie) continue;
            CHECK(std::binary_search(ids.begin(), ids.end(), thread.tid));
            CHECK(state(thread.tid) == 't');
        }
        stopped->resume();
        CHECK(status_field(child.pid(), "TracerPid") == "0");
    }
}

TEST_CASE("a process that replaces its program meanwhile is either stopped whole or gone") {
    // Every program of the chain starts threads that run while one of them replaces the program.
    Child child([](const Child::Parent& parent) {
        dup2(parent.out, 3);
        fcntl(3, F_SETFD, 0);
        const char* const script =
            "import os,threading,sys\n"
            "stop=threading.Event()\n"
            "for i in range(3): threading.Thread(target=stop.wait,daemon=True).start()\n"
            "os.write(3,b'r')\n"
            "t=threading.Thread(target=lambda:os.execv(sys.executable,[sys.executable,'-S','-E','-c',os."
            "environ['S']]))\n"
            "t.start(); t.join()\n";
        setenv("S", script, 1);
        execlp("python3", "python3", "-S", "-E", "-c", script, nullptr);
        _exit(127);
    });
    int replaced = 0;
    for (int round = 0; round < 20 || (replaced == 0 && round < 2000); ++round) {
        for (int attempt = 0; attempt < 100; ++attempt) {
            auto stopped = StoppedProcess::stop(child.pid(), {});
            if (stopped) continue;
            INFO(stopped.error().message);
            CHECK(stopped.error().code == ErrorCode::process_gone);
            CHECK(stopped.error().message.find("replaced its program") != std::string::npos);
            ++replaced;
        }
        child.receive<char>();  // the chain goes on
    }
    CHECK(replaced > 0);
}

TEST_CASE("a process that ends meanwhile is gone, and its parent still learns how it ended") {
    int gone = 0;
    for (int round = 0; round < 200; ++round) {
        Child child([](const Child::Parent& parent) {
            start_threads(3, [] { pause(); });
            parent.send('r');
            parent.receive<char>();
            exit(7);
        });
        child.receive<char>();
        child.send('e');
        while (true) {
            auto stopped = StoppedProcess::stop(child.pid(), {});
            if (stopped) continue;
            CHECK(stopped.error().code == ErrorCode::process_gone);
            ++gone;
            break;
        }
        const int status = child.end();
        CHECK(WIFEXITED(status));
        CHECK(WEXITSTATUS(status) == 7);
    }
    CHECK(gone == 200);
}

TEST_CASE("a process that is killed while it is held is reaped by its parent") {
    Child child([](const Child::Parent& parent) {
        start_threads(3, [] { pause(); });
        parent.send('r');
        parent.wait_for_end();
    });
    child.receive<char>();
    auto stopped = StoppedProcess::stop(child.pid(), {});
    REQUIRE(stopped);
    kill(child.pid(), SIGKILL);
    stopped->resume();
    const int status = child.end();
    CHECK(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGKILL);
}

TEST_CASE("a process whose main thread has ended is stopped without it") {
    Child child([](const Child::Parent& parent) {
        std::thread([parent] {
            while (state(getpid()) != 'Z') std::this_thread::yield();
            parent.send(gettid());
            parent.wait_for_end();
        }).detach();
        syscall(SYS_exit, 0);
    });
    const auto tid = child.receive<pid_t>();
    for (int round = 0; round < 20; ++round) {
        auto stopped = StoppedProcess::stop(child.pid(), {});
        REQUIRE(stopped);
        CHECK(thread_ids(*stopped) == std::vector<pid_t>{tid});
        CHECK(stopped->problems().empty());
    }
}

TEST_CASE("a main thread that ends while it is being stopped does not hold up the rest") {
    for (int round = 0; round < 100; ++round) {
        Child child([](const Child::Parent& parent) {
            std::thread([parent] { parent.wait_for_end(); }).detach();
            parent.send('r');
            syscall(SYS_exit, 0);
        });
        child.receive<char>();
        auto stopped = StoppedProcess::stop(child.pid(), {});
        REQUIRE(stopped);
        CHECK(stopped->problems().empty());
    }
}

TEST_CASE("a thread in uninterruptible sleep is left out with a problem, and left untraced") {
    Child child([](const Child::Parent& parent) {
        std::thread([parent] {
            parent.send(gettid());
            pause();
        }).detach();
        // vfork keeps the calling thread in uninterruptible sleep until its child ends.
        if (vfork() == 0) {
            char byte;
            while (read(parent.in, &byte, 1) < 0) {
            }
            _exit(0);
        }
        parent.send('f');
        parent.wait_for_end();
    });
    const auto second_thread = child.receive<pid_t>();
    while (state(child.pid()) != 'D') std::this_thread::yield();
    auto stopped = StoppedProcess::stop(child.pid(), {});
    REQUIRE(stopped);
    CHECK(thread_ids(*stopped) == std::vector<pid_t>{second_thread});
    REQUIRE(stopped->problems().size() == 1);
    const Problem& problem = stopped->problems()[0];
    CHECK(problem.code == "thread_not_stopped");
    CHECK(problem.subject == std::to_string(child.pid()));
    CHECK(problem.may_hide);
    CHECK(problem.message.find("uninterruptible sleep") != std::string::npos);
    stopped->resume();
    CHECK(status_field(child.pid(), "TracerPid") == "0");
    CHECK(status_field(second_thread, "TracerPid") == "0");
    child.send('g');
    CHECK(child.receive<char>() == 'f');
}

TEST_CASE("a process of which no thread stops is an error after the time that was given") {
    Child child([](const Child::Parent& parent) {
        parent.send('r');
        if (vfork() == 0) {
            char byte;
            while (read(parent.in, &byte, 1) < 0) {
            }
            _exit(0);
        }
        parent.send('f');
        parent.wait_for_end();
    });
    child.receive<char>();
    while (state(child.pid()) != 'D') std::this_thread::yield();
    StoppedProcess::Options options;
    options.attach_timeout = std::chrono::milliseconds(20);
    auto stopped = StoppedProcess::stop(child.pid(), options);
    REQUIRE_FALSE(stopped);
    CHECK(stopped.error().code == ErrorCode::timed_out);
    CHECK(status_field(child.pid(), "TracerPid") == "0");
    child.send('g');
    CHECK(child.receive<char>() == 'f');
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

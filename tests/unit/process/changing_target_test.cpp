// Targets that do not stand still while they are being stopped.
#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "child.h"
#include "process/process_info.h"
#include "process/stopped_process.h"
#include "process/tracee.h"
#include "target_state.h"

using namespace asyncdump;

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
            "for i in range(20): threading.Thread(target=stop.wait,daemon=True).start()\n"
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
            // Where other work takes the processors, none of the threads may get one in time.
            if (stopped || stopped.error().code == ErrorCode::timed_out) continue;
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
            _exit(7);
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
        INFO((stopped ? "" : stopped.error().message));
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

TEST_CASE("collecting the ends of threads takes no signal away from those that live") {
    Child child([](const Child::Parent& parent) {
        struct sigaction action {};
        static std::atomic<int> handled{0};
        action.sa_handler = [](int) { ++handled; };
        sigaction(SIGUSR1, &action, nullptr);
        std::atomic<pid_t> ending{0};
        std::thread([&] {
            ending = gettid();
            parent.receive<char>();
            syscall(SYS_exit, 0);
        }).detach();
        while (ending == 0) std::this_thread::yield();
        parent.send(ending.load());
        while (handled == 0) std::this_thread::yield();
        parent.send('h');
        parent.wait_for_end();
    });
    const auto ending = child.receive<pid_t>();
    std::atomic<bool> done{false}, seized{false};
    std::thread tracer([&] {
        seized = trace(PTRACE_SEIZE, child.pid()) == 0 && trace(PTRACE_SEIZE, ending) == 0;
        while (!done) std::this_thread::yield();
    });
    while (!seized) std::this_thread::yield();
    child.send('e');
    while (newest_event(ending).kind != TraceeEvent::ended) std::this_thread::yield();
    kill(child.pid(), SIGUSR1);
    while (newest_event(child.pid()).kind != TraceeEvent::signal) std::this_thread::yield();

    collect_ended_threads(child.pid());
    CHECK(state(ending) == '-');
    CHECK(newest_event(child.pid()).kind == TraceeEvent::signal);
    done = true;  // the tracer's end lets the target go on, with its signal
    tracer.join();
    CHECK(child.receive<char>() == 'h');
}

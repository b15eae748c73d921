// A stop must not lose, double or delay a signal for ever, whatever happens to the tracer.
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <fstream>
#include <random>
#include <sstream>
#include <thread>

#include "child.h"
#include "process/process_info.h"
#include "process/stopped_process.h"

using namespace asyncdump;

namespace {

constexpr int thread_count = 10;

struct Storm {
    Child child{{SIGNAL_STORM, std::to_string(thread_count)}};
    std::vector<pid_t> tids;
    std::vector<int> sent = std::vector<int>(thread_count);
    std::atomic<bool> stop{false};
    std::thread sender;

    Storm() {
        std::istringstream line(child.receive_line());
        std::string ready;
        line >> ready;
        for (pid_t tid; line >> tid;) tids.push_back(tid);
        REQUIRE(tids.size() == thread_count);
        sender = std::thread([this] {
            while (!stop)
                for (std::size_t i = 0; i < tids.size(); ++i)
                    if (send(tids[i], SIGRTMIN, sent[i])) ++sent[i];
        });
    }
    ~Storm() {
        stop = true;
        if (sender.joinable()) sender.join();
    }

    /// False when the target's queue is full.
    bool send(pid_t tid, int signal_number, int value) const {
        siginfo_t info{};
        info.si_signo = signal_number;
        info.si_code = SI_QUEUE;
        info.si_pid = getpid();
        info.si_uid = getuid();
        info.si_value.sival_int = value;
        return syscall(SYS_rt_tgsigqueueinfo, child.pid(), tid, signal_number, &info) == 0;
    }

    long work() {
        child.send_line("work");
        return std::stol(child.receive_line().substr(5));
    }

    void check_every_signal_counted_once() {
        stop = true;
        sender.join();
        long total = 0;
        for (std::size_t i = 0; i < tids.size(); ++i) {
            total += sent[i];
            while (!send(tids[i], SIGRTMIN + 1, sent[i])) std::this_thread::yield();
        }
        child.send_line("report");
        CHECK(child.receive_line() == "received " + std::to_string(total) + " wrong 0");
        CHECK(total > 1000);
    }

    void check_nobody_is_held() const {
        const auto threads = read_threads(child.pid());
        REQUIRE(threads);
        for (const ThreadInfo& thread : *threads) {
            std::ifstream status("/proc/" + std::to_string(thread.tid) + "/status");
            std::string tracer;
            for (std::string word; status >> word;)
                if (word == "TracerPid:") status >> tracer;
            CHECK(tracer == "0");
            CHECK(thread.state != ThreadState::stopped);
        }
    }

    void check_it_works_on() {
        const long before = work();
        while (work() == before) std::this_thread::yield();
    }
};

}  // namespace

TEST_CASE("hundreds of stops under a storm of counted signals lose nothing and leave nothing stopped") {
    Storm storm;
    for (int round = 0; round < 200; ++round) {
        auto stopped = StoppedProcess::stop(storm.child.pid(), {});
        REQUIRE(stopped);
        REQUIRE(stopped->threads().size() == thread_count + 1);
        REQUIRE(stopped->problems().empty());
        stopped->resume();
        storm.check_nobody_is_held();
    }
    storm.check_it_works_on();
    storm.check_every_signal_counted_once();
}

TEST_CASE("a tracer that is killed at a random moment leaves the target as it was") {
    Storm storm;
    std::mt19937 random(20240229);
    std::uniform_int_distribution<long> nanoseconds(0, 2'000'000);
    for (int round = 0; round < 200; ++round) {
        Child tracer({ATTACH_LOOP, std::to_string(storm.child.pid())});
        REQUIRE(tracer.receive<char>() == '.');
        const timespec moment{0, nanoseconds(random)};
        ppoll(nullptr, 0, &moment, nullptr);
        const int status = tracer.end();
        REQUIRE(WIFSIGNALED(status));
        storm.check_nobody_is_held();
    }
    storm.check_it_works_on();
    storm.check_every_signal_counted_once();
}

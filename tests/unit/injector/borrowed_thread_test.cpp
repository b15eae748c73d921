#include "injector/borrowed_thread.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>

#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <cerrno>
#include <string>

#include "child.h"

using namespace asyncdump;

// What signal handlers return to, as the C library has it.
asm(".pushsection .text\n"
    ".globl return_from_handler\n"
    "return_from_handler: mov $15, %rax\n"
    "syscall\n"
    ".popsection");
extern "C" void return_from_handler();

namespace {

std::atomic<unsigned> calls = 0;

extern "C" void called_in_target() {
    ++calls;
}

/// Tells the first wait that did not end by its limit. Most have the limit 0, so that a stop is often the
/// first one in its wait.
void wait_again_and_again(const Child::Parent& parent) {
    parent.send(true);
    for (unsigned long round = 0;; ++round) {
        if (poll(nullptr, 0, round % 4096 == 0 ? 1 : 0) == 0) continue;
        parent.send(errno);
        parent.send(calls.load());
        parent.wait_for_end();
    }
}

/// How a stop finds a thread in a wait with a time limit.
enum State : std::size_t { broken_off, broken_off_again, before_restart, others };

State state_of(const user_regs_struct& registers) {
    if (static_cast<long long>(registers.rax) == BorrowedThread::restart_by_block)
        return registers.orig_rax == SYS_restart_syscall ? broken_off_again : broken_off;
    return registers.rax == SYS_restart_syscall ? before_restart : others;
}

}  // namespace

TEST_CASE("A borrowed thread waits on where it waited with a time limit") {
    Child child(wait_again_and_again);
    REQUIRE(child.receive<bool>());
    const FileDescriptor memory(
        open(("/proc/" + std::to_string(child.pid()) + "/mem").c_str(), O_RDWR | O_CLOEXEC));
    REQUIRE(memory);
    REQUIRE(ptrace(PTRACE_SEIZE, child.pid(), nullptr, nullptr) == 0);
    BorrowedThread thread(child.pid(), RemoteAddress(reinterpret_cast<std::uintptr_t>(&return_from_handler)),
                          memory);

    // A stop soon after the one before finds every state: the thread has gone on by a few instructions, or
    // not at all.
    constexpr unsigned wanted = 20, most_stops = 200'000;
    std::array<unsigned, 4> seen{};
    unsigned called = 0;
    for (unsigned stop = 0;
         stop < most_stops &&
         (seen[broken_off] < wanted || seen[broken_off_again] < wanted || seen[before_restart] < wanted);
         ++stop) {
        REQUIRE(ptrace(PTRACE_INTERRUPT, child.pid(), nullptr, nullptr) == 0);
        int status = 0;
        REQUIRE(waitpid(child.pid(), &status, __WALL) == child.pid());
        REQUIRE(WIFSTOPPED(status));
        user_regs_struct registers{};
        REQUIRE(ptrace(PTRACE_GETREGS, child.pid(), nullptr, &registers) == 0);
        const State state = state_of(registers);
        if (state != others && seen[state]++ < wanted) {
            const auto done = thread.call(RemoteAddress(reinterpret_cast<std::uintptr_t>(&called_in_target)),
                                          {}, 0, std::chrono::milliseconds(10'000));
            REQUIRE(done);
            ++called;
        }
        REQUIRE(ptrace(PTRACE_CONT, child.pid(), nullptr, nullptr) == 0);
    }
    INFO("broken off " << seen[broken_off] << ", again " << seen[broken_off_again]
                       << ", before restart_syscall " << seen[before_restart]);
    CHECK(seen[broken_off] >= wanted);
    CHECK(seen[broken_off_again] >= wanted);
    if (seen[before_restart] < wanted)
        WARN("few stops came before restart_syscall: " << seen[before_restart]);

    REQUIRE(ptrace(PTRACE_INTERRUPT, child.pid(), nullptr, nullptr) == 0);
    int status = 0;
    REQUIRE(waitpid(child.pid(), &status, __WALL) == child.pid());
    std::array<unsigned, 1> count{};
    REQUIRE(pread(memory.get(), count.data(), sizeof count,
                  static_cast<off_t>(reinterpret_cast<std::uintptr_t>(&calls))) == sizeof count);
    CHECK(count[0] == called);
    pollfd said{child.output(), POLLIN, 0};
    CHECK(poll(&said, 1, 0) == 0);  // no wait has failed
}

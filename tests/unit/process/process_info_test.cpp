#include "process/process_info.h"

#include <elf.h>
#include <grp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <cstring>
#include <fstream>
#include <thread>

#include "child.h"
#include "process/procfs.h"
#include "process/stopped_process.h"
#include "temporary_folder.h"

using namespace asyncdump;
using Catch::Matchers::Contains;

namespace {

Error refusal(pid_t pid) {
    const auto process = examine_process(pid);
    REQUIRE_FALSE(process);
    CHECK(process.error().message.find('\n') == std::string::npos);
    return process.error();
}

/// A 32-bit program that only waits: pause() again and again.
void write_32_bit_program(const std::string& path) {
    constexpr std::uint32_t base = 0x08048000;
    constexpr std::array<unsigned char, 9> code = {0xb8, 29, 0, 0, 0, 0xcd, 0x80, 0xeb, 0xf7};
    Elf32_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS32;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_type = ET_EXEC;
    header.e_machine = EM_386;
    header.e_version = EV_CURRENT;
    header.e_entry = base + sizeof(Elf32_Ehdr) + sizeof(Elf32_Phdr);
    header.e_phoff = header.e_ehsize = sizeof(Elf32_Ehdr);
    header.e_phentsize = sizeof(Elf32_Phdr);
    header.e_phnum = 1;
    Elf32_Phdr segment{};
    segment.p_type = PT_LOAD;
    segment.p_vaddr = segment.p_paddr = base;
    segment.p_filesz = segment.p_memsz = sizeof header + sizeof segment + code.size();
    segment.p_flags = PF_R | PF_X;
    segment.p_align = 0x1000;
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(&header), sizeof header);
    file.write(reinterpret_cast<const char*>(&segment), sizeof segment);
    file.write(reinterpret_cast<const char*>(code.data()), code.size());
    file.close();
    REQUIRE(chmod(path.c_str(), 0755) == 0);
}

/// What examine_process says to an ordinary user: "CODE MESSAGE".
std::string refusal_to_nobody(pid_t pid) {
    constexpr uid_t nobody = 65534;
    Child asker([pid](const Child::Parent& parent) {
        if (setgroups(0, nullptr) != 0 || setresgid(nobody, nobody, nobody) != 0 ||
            setresuid(nobody, nobody, nobody) != 0)
            _exit(1);
        const auto process = examine_process(pid);
        const std::string text = process ? "permitted" : process.error().message;
        for (const char letter : text) parent.send(letter);
        parent.send('\n');
    });
    return asker.receive_line();
}

}  // namespace

TEST_CASE("a process that can be dumped") {
    Child child({SIGNAL_STORM, "1", "two words", ""});
    child.receive_line();
    const auto process = examine_process(child.pid());
    REQUIRE(process);
    CHECK(process->pid == child.pid());
    CHECK(process->executable == SIGNAL_STORM);
    CHECK(process->command == std::vector<std::string>{SIGNAL_STORM, "1", "two words", ""});
    CHECK(process->start_time_ticks > 0);
    CHECK(is_same_process(*process));
    auto other = *process;
    ++other.start_time_ticks;
    CHECK_FALSE(is_same_process(other));
    kill(child.pid(), SIGKILL);
    siginfo_t info;
    REQUIRE(waitid(P_PID, static_cast<id_t>(child.pid()), &info, WEXITED | WNOWAIT) == 0);
    CHECK_FALSE(is_same_process(*process));
    child.end();
    CHECK_FALSE(is_same_process(*process));
}

TEST_CASE("a process that is not there") {
    Child child([](const Child::Parent& parent) { parent.wait_for_end(); });
    const pid_t pid = child.pid();
    child.end();
    const Error error = refusal(pid);
    CHECK(error.code == ErrorCode::no_such_process);
    CHECK_THAT(error.message, Contains("there is no process " + std::to_string(pid)));
    CHECK(refusal(0).code == ErrorCode::no_such_process);
    CHECK(refusal(-5).code == ErrorCode::no_such_process);
    CHECK(refusal(INT32_MAX).code == ErrorCode::no_such_process);
}

TEST_CASE("a thread's id leads to its process") {
    Child child([](const Child::Parent& parent) {
        prctl(PR_SET_NAME, "server");
        std::thread([parent] {
            parent.send(gettid());
            pause();
        }).detach();
        parent.wait_for_end();
    });
    const auto tid = child.receive<pid_t>();
    CHECK_THAT(refusal(tid).message,
               Contains(std::to_string(tid) + " is a thread of process " + std::to_string(child.pid()) +
                        " (server): run asyncdump " + std::to_string(child.pid())));
}

TEST_CASE("ourselves") {
    CHECK_THAT(refusal(getpid()).message, Contains("asyncdump itself"));
}

TEST_CASE("a thread of the kernel") {
    const auto stat = procfs::read_stat(2);
    if (!stat || stat->name != "kthreadd") {
        WARN("skipped: this pid namespace shows no threads of the kernel");
        return;
    }
    const Error error = refusal(2);
    CHECK(error.code == ErrorCode::unsupported_target);
    CHECK_THAT(error.message, Contains("process 2 (kthreadd) is a thread of the kernel"));
}

TEST_CASE("a zombie names the parent that should reap it") {
    Child child([](const Child::Parent&) { prctl(PR_SET_NAME, "gone\x1b[31m"); });
    siginfo_t info;
    REQUIRE(waitid(P_PID, static_cast<id_t>(child.pid()), &info, WEXITED | WNOWAIT) == 0);
    const Error error = refusal(child.pid());
    CHECK(error.code == ErrorCode::unsupported_target);
    CHECK_THAT(error.message,
               Contains("(gone\\x1b[31m) has ended") && Contains("zombie") &&
                   Contains("its parent, process " + std::to_string(getpid()) + " (unit_process)"));
}

TEST_CASE("a process whose main thread has ended is no zombie") {
    Child child([](const Child::Parent& parent) {
        std::thread([parent] {
            while (!procfs::read_stat(getpid())->has_ended()) std::this_thread::yield();
            parent.send('r');
            parent.wait_for_end();
        }).detach();
        syscall(SYS_exit, 0);
    });
    child.receive<char>();
    const auto process = examine_process(child.pid());
    REQUIRE(process);
    CHECK_THAT(process->executable, Contains("unit_process"));
    CHECK_FALSE(process->command.empty());
    CHECK(is_same_process(*process));
}

TEST_CASE("a 32-bit program") {
    const TemporaryFolder folder;
    const std::string path = folder.below("program_32");
    write_32_bit_program(path);
    Child child({path});
    while (procfs::read_link(procfs::path(child.pid(), "exe")) != path) {
        if (procfs::read_stat(child.pid())->has_ended()) {
            WARN("skipped: this kernel does not run 32-bit programs");
            return;
        }
        std::this_thread::yield();
    }
    const Error error = refusal(child.pid());
    CHECK(error.code == ErrorCode::unsupported_target);
    CHECK_THAT(error.message, Contains("(program_32) is a 32-bit x86 program") && Contains("x86-64"));
}

TEST_CASE("a process that is traced already names its tracer") {
    Child target([](const Child::Parent& parent) {
        parent.send('r');
        parent.wait_for_end();
    });
    target.receive<char>();
    Child tracer([&target](const Child::Parent& parent) {
        prctl(PR_SET_NAME, "main thread");
        std::thread([&] {
            prctl(PR_SET_NAME, "tracing thread");
            parent.send(ptrace(PTRACE_SEIZE, target.pid(), nullptr, nullptr));
            pause();
        }).join();
    });
    REQUIRE(tracer.receive<long>() == 0);
    const Error error = refusal(target.pid());
    CHECK(error.code == ErrorCode::already_traced);
    CHECK_THAT(error.message,
               Contains("is being traced by process " + std::to_string(tracer.pid()) + " (main thread)"));
}

TEST_CASE("the process of another user names both") {
    if (geteuid() != 0) {
        WARN("skipped: only root can become another user");
        return;
    }
    Child target([](const Child::Parent& parent) {
        parent.send('r');
        parent.wait_for_end();
    });
    target.receive<char>();
    CHECK_THAT(refusal_to_nobody(target.pid()), Contains("not permitted") && Contains("belongs to root") &&
                                                    Contains("runs as nobody") && Contains("sudo"));
}

TEST_CASE("a process that cannot be dumped for its own user") {
    if (geteuid() != 0) {
        WARN("skipped: only root can become another user");
        return;
    }
    Child target([](const Child::Parent& parent) {
        constexpr uid_t nobody = 65534;
        if (setgroups(0, nullptr) != 0 || setresgid(nobody, nobody, nobody) != 0 ||
            setresuid(nobody, nobody, nobody) != 0)
            _exit(1);
        parent.send('r');  // not dumpable since it changed its user
        parent.receive<char>();
        prctl(PR_SET_DUMPABLE, 1);
        parent.send('r');
        parent.wait_for_end();
    });
    target.receive<char>();
    CHECK_THAT(refusal_to_nobody(target.pid()), Contains("PR_SET_DUMPABLE") && Contains("sudo"));
    target.send('d');
    target.receive<char>();
    const std::string answer = refusal_to_nobody(target.pid());
    if (procfs::read_file("/proc/sys/kernel/yama/ptrace_scope"))
        CHECK_THAT(answer, Contains("ptrace_scope") || Contains("permitted"));
    else
        CHECK(answer == "permitted");
}

TEST_CASE("a target in another pid namespace is examined and stopped like any other") {
    Child child([](const Child::Parent& parent) {
        if (unshare(CLONE_NEWPID) != 0) {
            parent.send<pid_t>(-1);
            parent.wait_for_end();
        }
        const pid_t inner = fork();
        if (inner == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            std::thread([] { pause(); }).detach();
            parent.send<pid_t>(getpid());
            while (true) pause();
        }
        parent.send(inner);
        parent.wait_for_end();
    });
    // The two answers come in either order: 1 is the process's own name for itself.
    auto pid = child.receive<pid_t>();
    if (pid == -1) {
        WARN("skipped: no permission to make a pid namespace");
        return;
    }
    pid = std::max(pid, child.receive<pid_t>());
    REQUIRE(examine_process(pid));
    const auto threads = read_threads(pid);
    REQUIRE(threads);
    const auto stopped = StoppedProcess::stop(pid, {});
    REQUIRE(stopped);
    CHECK(stopped->threads().size() == 2);
    CHECK(stopped->threads()[0].tid == pid);
}

TEST_CASE("what /proc tells of threads") {
    Child child([](const Child::Parent& parent) {
        prctl(PR_SET_NAME, "ma) in (x");
        static std::atomic<bool> running{false};
        std::thread([] {
            prctl(PR_SET_NAME, "computes");
            running = true;
            while (true) running = true;
        }).detach();
        while (!running) std::this_thread::yield();
        parent.send(parent.in);
        parent.wait_for_end();
    });
    const int descriptor = child.receive<int>();
    while (procfs::read_stat(child.pid())->state != 'S') std::this_thread::yield();
    auto threads = read_threads(child.pid());
    // The kernel counts what a thread has run at its clock's ticks.
    while (threads && threads->size() == 2 && threads->back().run_time_ns == 0)
        threads = read_threads(child.pid());
    REQUIRE(threads);
    REQUIRE(threads->size() == 2);
    const ThreadInfo& waits = (*threads)[0];
    CHECK(waits.tid == child.pid());
    CHECK(waits.name == "ma) in (x");
    CHECK(waits.state == ThreadState::sleeping);
    REQUIRE(waits.system_call);
    CHECK(system_call_name(*waits.system_call) == "read");
    CHECK(waits.system_call_arguments[0] == static_cast<std::uint64_t>(descriptor));
    CHECK(waits.system_call_arguments[2] == 1);
    CHECK(waits.context_switches > 0);
    const ThreadInfo& computes = (*threads)[1];
    CHECK(computes.name == "computes");
    CHECK(computes.state == ThreadState::running);
    CHECK_FALSE(computes.system_call);
}

TEST_CASE("the threads of a process that is not there") {
    const auto threads = read_threads(INT32_MAX);
    REQUIRE_FALSE(threads);
    CHECK(threads.error().code == ErrorCode::process_gone);
}

TEST_CASE("names of system calls") {
    CHECK(system_call_name(0) == "read");
    CHECK(system_call_name(SYS_epoll_wait) == "epoll_wait");
    CHECK(system_call_name(SYS_futex) == "futex");
    CHECK(system_call_name(SYS_rseq) == "rseq");
    CHECK(system_call_name(SYS_pidfd_send_signal) == "pidfd_send_signal");
    CHECK(system_call_name(SYS_epoll_pwait2) == "epoll_pwait2");
    CHECK(system_call_name(462) == "mseal");
    CHECK(system_call_name(-1).empty());
    CHECK(system_call_name(400).empty());
    CHECK(system_call_name(100000).empty());
    CHECK(system_call_name(INT64_MIN).empty());
}

TEST_CASE("stat lines that are odd") {
    const auto stat =
        procfs::parse_stat("12 (a) (b)\n) R 5 1 1 0 -1 4194304 1 2 3 4 50 60 0 0 20 0 1 0 777 1 2");
    REQUIRE(stat);
    CHECK(stat->name == "a) (b)\n");
    CHECK(stat->state == 'R');
    CHECK(stat->parent == 5);
    CHECK(stat->flags == 4194304);
    CHECK(stat->user_ticks == 50);
    CHECK(stat->system_ticks == 60);
    CHECK(stat->start_time_ticks == 777);
    CHECK_FALSE(procfs::parse_stat(""));
    CHECK_FALSE(procfs::parse_stat("12 )x( R 1"));
    CHECK_FALSE(procfs::parse_stat("12 (x) R 1 2 3"));
}

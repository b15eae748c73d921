#include "process/tracee.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include "process/procfs.h"
#include "process/seccomp_filter.h"

namespace asyncdump {

TraceeEvent newest_event(pid_t tid) {
    siginfo_t info{};
    int result;
    do {
        result =
            ::waitid(P_PID, static_cast<id_t>(tid), &info, WSTOPPED | WEXITED | WNOHANG | WNOWAIT | __WALL);
    } while (result != 0 && errno == EINTR);
    if (result != 0) return {TraceeEvent::not_ours};
    if (info.si_pid == 0) return {TraceeEvent::none};
    if (info.si_code != CLD_TRAPPED && info.si_code != CLD_STOPPED) return {TraceeEvent::ended};
    const int signal_number = info.si_status & 0x7f;
    switch (info.si_status >> 8) {
        case 0:
            return {TraceeEvent::signal, signal_number};
        case PTRACE_EVENT_STOP:
            return {signal_number == SIGTRAP ? TraceeEvent::stop : TraceeEvent::group_stop, signal_number};
        case PTRACE_EVENT_EXEC:
            return {TraceeEvent::exec};
        default:
            return {TraceeEvent::other};
    }
}

long trace(int request, pid_t tid, std::uintptr_t address, std::uintptr_t data) {
    return ::syscall(SYS_ptrace, request, tid, address, data);
}

bool needs_restart(const user_regs_struct& registers) {
    if (static_cast<long long>(registers.rax) != -EINTR) return false;
    switch (registers.orig_rax) {
        case SYS_epoll_wait:
        case SYS_epoll_pwait:
            return static_cast<int>(registers.r10) < 0;
        case SYS_epoll_pwait2:
        case SYS_semtimedop:
            return registers.r10 == 0;
        case SYS_rt_sigtimedwait:
            return registers.rdx == 0;
        case SYS_semop:
            return true;
        default:
            return false;
    }
}

bool goes_on_by_restart_call(const user_regs_struct& registers) {
    constexpr long long restart_by_block = -516;  // ERESTART_RESTARTBLOCK in include/linux/errno.h
    return static_cast<long long>(registers.orig_rax) >= 0 && registers.orig_rax != SYS_restart_syscall &&
           static_cast<long long>(registers.rax) == restart_by_block;
}

bool may_call_restart(pid_t tid, const user_regs_struct& registers) {
    const auto filters = seccomp_filters_of(tid);
    if (!filters) {
        // EINVAL: the thread has none, unlike others of the process. Kernels that cannot tell filters say so
        // of all threads.
        const auto status = procfs::read_file(procfs::path(tid, "status"));
        return status && seccomp_mode(*status) == SeccompMode::none;
    }
    const seccomp_data call{
        SYS_restart_syscall,
        AUDIT_ARCH_X86_64,
        registers.rip,
        {registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9}};
    const std::uint32_t action = strictest_action(*filters, call);
    return action == SECCOMP_RET_ALLOW || action == SECCOMP_RET_LOG;
}

void request_restart(pid_t tid) {
    constexpr auto rax = offsetof(user, regs) + offsetof(user_regs_struct, rax);
    constexpr auto restart_unless_handler =
        static_cast<std::uintptr_t>(-514L);  // -ERESTARTNOHAND of the kernel
    trace(PTRACE_POKEUSER, tid, rax, restart_unless_handler);
}

void collect_ended_threads(pid_t pid) {
    const FileDescriptor tasks(::open(procfs::path(pid, "task").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!tasks) return;
    // Looked at before it is waited for: waiting takes a tracee's stop away as well, also when not asked for
    // stops.
    for (const pid_t tid : procfs::list_threads(tasks.get()))
        if (tid != pid && newest_event(tid).kind == TraceeEvent::ended)
            ::waitpid(tid, nullptr, WNOHANG | __WALL);
}

}  // namespace asyncdump

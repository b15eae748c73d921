// One thread under ptrace(2), for this folder only.
#pragma once

#include <sys/types.h>

#include <cstdint>

struct user_regs_struct;

namespace asyncdump {

/// What waitid(2) tells of a tracee.
struct TraceeEvent {
    enum Kind {
        none,        ///< it runs
        stop,        ///< it stopped because we asked
        group_stop,  ///< it stopped, and would be stopped without us (SIGSTOP)
        exec,        ///< it stopped after it replaced the program
        signal,      ///< it stopped with a signal on its way to it
        other,
        ended,
        not_ours,  ///< the kernel knows no such tracee
    } kind = none;
    int signal_number = 0;
};

/// The tracee's newest event, left in place: to take the report of a signal's stop away also takes the signal
/// out of the tracee, where it stays until we let it go on. If we were killed in between, it would be lost.
/// Reports left in place vanish when the tracee goes on.
TraceeEvent newest_event(pid_t tid);

/// ptrace(2) with its arguments as numbers.
long trace(int request, pid_t tid, std::uintptr_t address = 0, std::uintptr_t data = 0);

/// True when a thread's system call was broken off only by our stop and the kernel would not restart it by
/// itself but let it fail with EINTR (signal(7), "Interruption of system calls by stop signals"). Programs
/// are known to take that for an error. Only calls without a time limit: a limited one would begin its whole
/// time anew.
bool needs_restart(const user_regs_struct& registers);

/// True when our stop broke off a wait with a time limit: the kernel goes on with it by restart_syscall(2),
/// which the program never calls itself. A seccomp filter may well forget to permit it, and kill.
bool goes_on_by_restart_call(const user_regs_struct& registers);

/// Whether the thread's seccomp filters let it call restart_syscall(2). Filters that cannot be read are taken
/// for ones that do not. On the tracing thread.
bool may_call_restart(pid_t tid, const user_regs_struct& registers);

/// Before a stopped thread goes on: makes the kernel restart its system call, or let it fail with EINTR if
/// the handler of a signal comes in between.
void request_restart(pid_t tid);

/// Collects the ends of threads that died while they were traced by any thread of ours, the main thread
/// excepted.
///
/// To be called by another thread than the tracing one while that one has been stopping the process for long:
/// a thread of the target that executes exec holds a lock for which PTRACE_SEIZE waits, while it waits itself
/// for the ends of its siblings to be collected, those we trace by us. Neither would ever go on.
void collect_ended_threads(pid_t pid);

}  // namespace asyncdump

#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "base/error.h"
#include "process/registers.h"

namespace asyncdump {

struct StoppedThread {
    pid_t tid = 0;
    Registers registers;
    bool in_group_stop = false;  ///< somebody had sent SIGSTOP: it stays stopped after we let go
};

/// All threads of a process, stopped for as long as this object lives.
///
/// Guarantees (see ptrace(2), PTRACE_SEIZE):
/// - a signal that was on its way to a thread is delivered exactly once;
/// - a thread in group-stop is left in group-stop;
/// - threads that appear meanwhile are stopped too, threads that die are left out, an exec or exit of the
/// process
///   is an error of code process_gone, not a hang;
/// - a system call without a time limit that the stop broke off is restarted, also where the kernel by itself
/// would let
///   it fail with EINTR (epoll_wait, semop, sigwaitinfo); one with a time limit does what the kernel does;
/// - when we die at any instant, even by SIGKILL, the kernel lets every thread go on as if nothing had been.
/// Nothing else in the target is changed.
///
/// The tracer is an OS thread of the object's own, because the kernel releases a thread that never came to a
/// stop only when its tracer ends. Create, use and destroy the object on one thread: until resume() that
/// thread has the keyboard's stop signal (Ctrl-Z) blocked, which would otherwise keep the target stopped as
/// long as us.
class StoppedProcess {
  public:
    struct Options {
        std::chrono::milliseconds attach_timeout{2000};  ///< to bring every thread to a stop
    };
    static Result<StoppedProcess> stop(pid_t pid, const Options& options);

    StoppedProcess(StoppedProcess&&) noexcept;
    StoppedProcess& operator=(StoppedProcess&&) = delete;
    ~StoppedProcess();  ///< resumes

    const std::vector<StoppedThread>& threads() const;  ///< by ascending tid; valid after resume() too

    /// Threads that could not be stopped or read (in uninterruptible sleep, for example), with the reason.
    const std::vector<Problem>& problems() const;

    /// Runs `work` on the thread that traces and waits for its end: the only place from which further ptrace
    /// requests on these threads succeed. `work` must not throw, and must leave every thread stopped. Not
    /// after resume().
    void on_tracing_thread(const std::function<void()>& work);

    /// Takes a stopped thread out of our care: what it has to become again and its PTRACE_DETACH are the
    /// caller's, on the tracing thread and before resume(). For who changes a thread's registers.
    void take_over(pid_t tid);
    /// Lets all threads go on but those that were taken over. on_tracing_thread() goes on working.
    void release_others();

    /// Lets every thread go on. Returns the pause: from the first stop request to the last resume.
    std::chrono::microseconds resume();

  private:
    class Tracer;
    explicit StoppedProcess(std::unique_ptr<Tracer> tracer);

    std::unique_ptr<Tracer> tracer_;  ///< empty only after a move
};

}  // namespace asyncdump

#pragma once

#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/file_descriptor.h"
#include "base/remote_address.h"

namespace asyncdump {

/// A stopped thread of the target that is made to call a function and is then as before.
///
/// The call is set up as the kernel sets up a signal's handler: the whole state (registers, vector registers,
/// signal mask) stands in a signal frame on the thread's stack, and the function returns into the C library's
/// __restore_rt, which gives that state back by rt_sigreturn(2). So the thread comes back by itself whenever
/// the function returns, also when we were killed in between; nothing in the target has to be undone by us.
/// Formats: arch/x86/include/uapi/asm/sigcontext.h of Linux.
///
/// All functions have to be called on the thread that traces.
class BorrowedThread {
  public:
    /// `restorer`: the address of "mov $15, %rax; syscall" in the target. `memory`: /proc/PID/mem, writable.
    BorrowedThread(pid_t tid, RemoteAddress restorer, const FileDescriptor& memory)
        : tid_(tid), restorer_(restorer), memory_(memory) {}

    /// Bytes of stack that a call needs below the stack pointer, what the function itself uses included.
    static constexpr std::uint64_t stack_needed = 128 * 1024;
    static constexpr std::size_t most_data = 16 * 1024;

    /// In rax of a thread whose system call has a time limit and was broken off by the stop: the kernel would
    /// go on with the rest of the time (-ERESTART_RESTARTBLOCK in include/linux/errno.h).
    static constexpr std::int64_t restart_by_block = -516;

    /// Calls function(address of a copy of `data`, argument). Other threads may run or stand still, as the
    /// function needs it. On success the thread is stopped as it was before. On timed_out it still is in the
    /// function; let it go on: it returns to its own work by itself.
    Result<void> call(RemoteAddress function, std::span<const std::byte> data, std::uint64_t argument,
                      std::chrono::milliseconds timeout);

    /// The last system call of the function that found something missing or too little of something: what a
    /// loader's failure comes from as a rule.
    struct FailedCall {
        std::int64_t number = 0;
        int error = 0;  ///< errno
    };
    const std::optional<FailedCall>& failed_call() const { return failed_call_; }

    /// Lets the thread go on.
    void detach();

  private:
    struct State;
    Result<State> save() const;
    Result<RemoteAddress> write_frame(const State& state, std::span<const std::byte> data,
                                      RemoteAddress& data_address) const;
    Result<void> wait_for_return(const State& state, RemoteAddress frame, std::chrono::milliseconds timeout);
    Result<void> stop_behind_return(const State& state);

    pid_t tid_;
    RemoteAddress restorer_;
    const FileDescriptor& memory_;
    std::optional<FailedCall> failed_call_;
};

}  // namespace asyncdump

// What a thread that sleeps in a system call waits for: from the call's arguments, the functions on its stack
// and the object in memory. Knows glibc's pthread objects on x86-64.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "process/memory.h"
#include "process/registers.h"
#include "runtimes/observation.h"

namespace asyncdump {

/// The number of the system call in which a thread was stopped; -1 when in none. The kernel restarts a call
/// that has a time limit as restart_syscall(2), with the arguments that it had: what it was is told by the
/// functions on the stack (innermost first).
std::int64_t blocked_call(const Registers& registers, std::span<const std::string_view> functions);

/// What describe_wait() reads besides the thread's stack: to be copied while the thread is stopped.
std::vector<AddressRange> memory_of_wait(const Registers& registers);

struct WaitSurroundings {
    const Memory& memory;
    /// What a descriptor refers to (process/descriptors.h); "" when unknown.
    std::function<std::string(int)> describe_descriptor;
    /// The name of a living thread of the process; empty when there is none of this id.
    std::function<std::optional<std::string>(std::int32_t)> thread_name;
};

/// Empty when the thread is in no system call that waits. `functions`: names on its stack, innermost first,
/// calls that were inlined included. The owner of a lock is told only when the lock's memory holds the id of
/// a living thread; glibc writes it there at the very end of locking, so that it may be unknown for a moment.
///
/// A kind is decided by the functions' names: an object of that name has glibc's layout (pthread_mutex_t and
/// the others, glibc 2.25 and later). Where the names are missing, or the object is none of these, it is a
/// "futex". It can be wrong for a program that brings functions of such names of its own.
std::optional<ThreadWait> describe_wait(const Registers& registers,
                                        std::span<const std::string_view> functions,
                                        const WaitSurroundings& surroundings);

}  // namespace asyncdump

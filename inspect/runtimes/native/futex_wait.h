// Waiting in futex(2), for this folder only.
#pragma once

#include "runtimes/native/thread_wait.h"

namespace asyncdump {

/// As futex(2) gets them.
struct FutexCall {
    RemoteAddress address;
    std::uint64_t operation = 0, value = 0, timeout = 0;
};

/// Empty for an operation that does not wait.
std::optional<ThreadWait> describe_futex_wait(const FutexCall& call,
                                              std::span<const std::string_view> functions,
                                              const WaitSurroundings& surroundings);

/// "pthread_cond_wait" for "___pthread_cond_wait" and "__GI___pthread_cond_wait".
std::string_view without_underscores(std::string_view function);

}  // namespace asyncdump

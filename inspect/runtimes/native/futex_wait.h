// Waiting in futex(2), for this folder only.
#pragma once

#include "runtimes/native/thread_wait.h"

namespace asyncdump {

/// `address`, `operation` and `timeout` as futex(2) gets them. Empty for an operation that does not wait.
std::optional<ThreadWait> describe_futex_wait(RemoteAddress address, std::uint64_t operation,
                                              std::uint64_t timeout,
                                              std::span<const std::string_view> functions,
                                              const WaitSurroundings& surroundings);

/// "pthread_cond_wait" for "___pthread_cond_wait" and "__GI___pthread_cond_wait".
std::string_view without_underscores(std::string_view function);

}  // namespace asyncdump

#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <unordered_map>

namespace asyncdump {

/// What is to be added to our CLOCK_MONOTONIC to get that of the process: not 0 only in another time
/// namespace (time_namespaces(7)).
std::chrono::nanoseconds monotonic_offset(pid_t pid);

/// From the thread ids that a process sees in its pid namespace to those that we see.
class ThreadIds {
  public:
    /// `own_pid`: the process's id as it sees it. Where that is the one that we see, so are its threads' ids.
    ThreadIds(pid_t pid, std::int32_t own_pid);
    /// 0 for a thread that has ended, in another namespace than ours.
    std::int32_t visible_id(std::int32_t own_id) const;

  private:
    bool same_ids_;
    std::unordered_map<std::int32_t, std::int32_t> visible_;
};

}  // namespace asyncdump

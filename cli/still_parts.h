#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "process/process_info.h"

namespace asyncdump {

/// Tells, by cheap looks at a running process, which of its threads and coroutines have not moved for how
/// long. The process is never stopped: the processor time of its threads is read from /proc, and the
/// beginnings of at most some thousand coroutine frames by process_vm_readv. Frames are searched for anew
/// from time to time.
class StillParts {
  public:
    using Clock = std::chrono::steady_clock;

    static Result<StillParts> of(const ProcessInfo& process);
    StillParts(StillParts&&) noexcept;
    StillParts& operator=(StillParts&&) noexcept;
    ~StillParts();

    /// Looks once. An error (process_gone) when the process is not there any more.
    Result<void> look(Clock::time_point now);

    /// Searches for coroutines: those that are known keep their time.
    Result<void> search(Clock::time_point now);

    /// After a dump stopped the process: what that cost its threads is no movement of their own.
    void forget_the_stop();

    /// How many threads and coroutines have not moved for `duration`.
    std::size_t still_for(std::chrono::nanoseconds duration, Clock::time_point now) const;

    /// Since when no thread has run at all.
    Clock::time_point all_threads_still_since() const;

  private:
    struct State;
    explicit StillParts(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace asyncdump

#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "process/seccomp_filter.h"
#include "process/stopped_process.h"

namespace asyncdump {

/// What the seccomp filters of the target's threads say to an injection. A filter that kills at a system call
/// of dlopen() would take the target with it, so each such call is put to the filters before anything is
/// changed.
///
/// A filter may look at a call's arguments and at the address it is made from: the calls are tried with the
/// arguments that glibc and the agent give them, and from the places that make them. A filter that tells one
/// address of the agent's from another could still be judged wrongly.
class SeccompRules {
  public:
    /// Of all threads of the process, each at the moment of the stop. `code`: addresses in the C library and
    /// in the loader. Strict mode is an error; so are filters that may not be read, unless
    /// `despite_unreadable`.
    static Result<SeccompRules> read(StoppedProcess& stopped, pid_t pid,
                                     const std::vector<std::uint64_t>& code, bool despite_unreadable);

    /// Why the agent must not record, which it does on every thread: "a seccomp filter of thread 7 kills the
    /// process at mmap". Empty when nothing speaks against it.
    std::string obstacle_to_recording() const;
    /// Why this thread must not be made to call dlopen and the agent's own functions.
    std::string obstacle_to_loading(pid_t tid) const;

  private:
    /// Threads have the same filters as a rule.
    struct Judged {
        std::vector<SeccompFilter> filters;
        std::string loading, recording;  ///< what they answer to the calls; "" when they let them pass
    };
    std::vector<Judged> judged_;
    std::map<pid_t, std::size_t> judged_of_;  ///< an index of judged_; only threads with filters
};

}  // namespace asyncdump

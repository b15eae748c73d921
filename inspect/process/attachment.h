// The ptrace(2) side of a stop, for this folder only. The kernel ties a tracee to the OS thread that seized
// it: create, use and destroy an Attachment on one thread, and end that thread soon after (see let_go()).
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <optional>
#include <unordered_set>
#include <vector>

#include "base/error.h"
#include "base/file_descriptor.h"
#include "process/procfs.h"
#include "process/stopped_process.h"

namespace asyncdump {

class Attachment {
  public:
    using Clock = std::chrono::steady_clock;

    Attachment(pid_t pid, std::chrono::milliseconds timeout);
    Attachment(const Attachment&) = delete;
    Attachment& operator=(const Attachment&) = delete;
    ~Attachment() { let_go(); }

    /// Stops every thread. Call once. After an error, too, threads may be held until let_go().
    Result<void> stop_all();

    /// Lets every stopped thread go on. A thread that never came to a stop cannot be detached by any call;
    /// the kernel releases it when the calling OS thread ends.
    void let_go();

    /// Leaves a stopped thread to the caller, who alone detaches it: see StoppedProcess::take_over().
    void give_away(pid_t tid);

    std::vector<StoppedThread> stopped_threads() const;
    const std::vector<Problem>& problems() const { return problems_; }
    Clock::time_point first_stop_request() const { return first_stop_request_; }

  private:
    enum class Stage {
        seized,     ///< runs; not asked to stop yet
        asked,      ///< asked to stop
        stopped,    ///< in its stop, registers read
        ended,      ///< it died or is dying
        abandoned,  ///< does not stop
    };
    struct Tracee {
        Stage stage = Stage::seized;
        StoppedThread thread;
    };

    Result<std::size_t> seize_new_threads();
    Result<bool> seize(pid_t tid);
    void interrupt_seized();
    Result<void> collect();
    Result<void> look_at(Tracee& tracee);
    void mark_ended(Tracee& tracee);
    void read_registers(Tracee& tracee);
    Result<bool> examine_slow_threads();
    void abandon_pending(const char* reason);
    bool belongs_to_process(pid_t tid) const;
    std::optional<procfs::Stat> read_stat(pid_t tid) const;
    bool has_ended(pid_t tid) const;
    Error replaced_its_program() const;
    bool has_stopped_threads() const;
    bool has_untried_threads() const;
    Error nothing_stopped() const;
    std::string program_identity() const;

    pid_t pid_;
    Clock::time_point deadline_;
    FileDescriptor tasks_;
    std::string program_at_start_;
    bool has_seccomp_filters_ = false;  ///< some thread, before the stop
    std::vector<Tracee> tracees_;
    std::unordered_set<pid_t> known_;  ///< threads that need no further attempt
    std::vector<Problem> problems_;
    Clock::time_point first_stop_request_{};
    bool let_go_ = false;
};

}  // namespace asyncdump

#pragma once

#include <sys/types.h>

#include <vector>

#include "base/file_descriptor.h"
#include "process/memory.h"

namespace asyncdump {

/// A part of the target to copy, and where to.
struct CopyRequest {
    RemoteAddress address;
    std::span<std::byte> destination;
    std::size_t copied = 0;  ///< out: leading bytes that could be read
};

/// The memory of a running or stopped process: process_vm_readv(2), with /proc/PID/mem as the second way.
/// Reading needs the same permission as ptrace. Nothing is faulted in by us beyond what the kernel must map
/// to let us read; readers skip pages that were never touched (see ResidentPages).
class LiveMemory final : public Memory {
  public:
    static Result<LiveMemory> open(pid_t pid);

    std::size_t read(RemoteAddress address, std::span<std::byte> destination) const override;

    /// Copies many ranges with as few system calls as the kernel allows (1024 ranges each). A range that
    /// cannot be read whole gets the leading bytes that can; the others are not affected. Fastest when sorted
    /// by address.
    void read_many(std::span<CopyRequest> requests) const;

    pid_t pid() const { return pid_; }

  private:
    LiveMemory(pid_t pid, pid_t tid, FileDescriptor mem) : pid_(pid), tid_(tid), mem_(std::move(mem)) {}
    std::size_t read_once(RemoteAddress address, std::span<std::byte> destination) const;

    pid_t pid_;
    pid_t tid_;  ///< a thread that still has the memory: the main thread may have ended before the others
    FileDescriptor mem_;
};

}  // namespace asyncdump

#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/file_descriptor.h"

namespace asyncdump {

enum class ThreadState { running, sleeping, disk, stopped, zombie, unknown };

/// What /proc/PID/task/TID tells of a thread. Read while the target runs, just before it is stopped: a thread
/// that is being traced is always shown as stopped.
struct ThreadInfo {
    pid_t tid = 0;
    std::string name;
    ThreadState state = ThreadState::unknown;
    std::optional<std::int64_t> system_call;  ///< its number; empty when running or not permitted
    std::uint64_t system_call_arguments[6] = {};
    std::uint64_t run_time_ns =
        0;  ///< time on a processor since its start; in steps of 10 ms on some kernels
    std::uint64_t context_switches = 0;  ///< voluntary and involuntary
};

struct ProcessInfo {
    pid_t pid = 0;
    std::string executable;            ///< as the target's namespace names it, without " (deleted)"
    std::vector<std::string> command;  ///< raw bytes: make harmless before printing
    pid_t parent = 0;
    std::uint64_t start_time_ticks = 0;  ///< together with the pid identifies a process
};

/// Refuses what cannot be dumped, each with one clear line: no such process, a thread's id instead of a
/// process's, kernel thread, zombie, 32-bit or foreign executable, no permission (Yama's ptrace_scope,
/// missing CAP_SYS_PTRACE, another user), traced already (names the tracer by pid and command), ourselves.
Result<ProcessInfo> examine_process(pid_t pid);

/// A thread through which the memory and the files of the process can be reached: the main thread, or another
/// one when the main thread has ended (pthread_exit in main) and the kernel has taken these from it.
pid_t living_thread(pid_t pid);

/// True while `pid` is the very process that was examined.
bool is_same_process(const ProcessInfo& process);

Result<std::vector<ThreadInfo>> read_threads(pid_t pid);

std::string_view system_call_name(std::int64_t number);  ///< "epoll_wait"; empty when unknown

/// Bytes that programs can get on this machine without swapping (MemAvailable of /proc/meminfo); a very large
/// number when that is unknown.
std::uint64_t available_memory();

/// What a descriptor of the target refers to: "socket 127.0.0.1:4711 -> 127.0.0.1:39214", "listening
/// 0.0.0.0:80", "pipe", "eventfd", "timerfd", "file /var/log/x", "unix socket /run/x"; empty when it is not
/// open or not readable. Raw bytes: make harmless before printing. For several descriptors see
/// process/descriptors.h.
std::string describe_descriptor(pid_t pid, int descriptor);

/// Opens a file as the target sees it: `path` below /proc/PID/root.
Result<FileDescriptor> open_in_target(pid_t pid, const std::string& path);

/// Opens the file behind a mapping even when it was deleted or replaced: /proc/PID/map_files, or
/// /proc/PID/exe for the executable. Falls back to the path when the inode still matches; refuses a file with
/// another inode.
struct Mapping;
Result<FileDescriptor> open_mapped_file(pid_t pid, const Mapping& mapping);

}  // namespace asyncdump

#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace asyncdump {

/// Words of the target that only the kernel keeps and hands back with an event: programs give it pointers.
struct KernelWords {
    std::vector<std::uint64_t> words;  ///< of epoll_ctl(2) and timer_create(2)
    /// A sentence on what may keep more that cannot be read (io_uring, asynchronous I/O); "" when there is
    /// none.
    std::string unreadable;
};

/// From /proc/PID/fdinfo ("tfd: ... data: ...") and /proc/PID/timers ("signal: NUMBER/VALUE"); see proc(5).
/// What cannot be read is told as unreadable.
KernelWords read_kernel_words(pid_t pid);

/// Whether a pipe of which the process has both ends, or a local socket, holds bytes that nobody has read
/// yet: programs send themselves pointers that way. For a moment we hold a descriptor of it, too. False where
/// that is not allowed.
bool has_unread_bytes(pid_t pid);

/// For the tests: the words in the text of one fdinfo file of an epoll descriptor, and of /proc/PID/timers.
void parse_epoll_words(std::string_view fdinfo, std::vector<std::uint64_t>& words);
void parse_timer_words(std::string_view timers, std::vector<std::uint64_t>& words);

}  // namespace asyncdump

#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <span>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace asyncdump {

enum class SeccompMode : std::uint8_t { none, strict, filter };

/// By the text of a thread's /proc/TID/status; none also of a kernel without seccomp.
SeccompMode seccomp_mode(std::string_view status);

/// Of the living threads of a process, those whose mode is not none. `tasks`: an open /proc/PID/task.
std::map<pid_t, SeccompMode> seccomp_modes(int tasks);

/// Classic BPF as a thread gave it to seccomp(2). From the target, and as untrusted as its memory.
using SeccompFilter = std::vector<sock_filter>;

/// What one filter answers to a system call: an action (SECCOMP_RET_...) with its data in the low 16 bits. A
/// program that the kernel would not have accepted answers SECCOMP_RET_KILL_PROCESS.
std::uint32_t run_seccomp_filter(std::span<const sock_filter> filter, const seccomp_data& call);

/// What the kernel does when all these filters have answered: the strictest action, without data. An action
/// that is unknown kills, as in the kernel. SECCOMP_RET_ALLOW when there is no filter.
std::uint32_t strictest_action(std::span<const SeccompFilter> filters, const seccomp_data& call);

/// Whether action `a` stands before action `b` in the kernel's order.
bool is_stricter(std::uint32_t a, std::uint32_t b);

/// All filters of a thread that the calling thread traces and has stopped. The error has errno: EACCES
/// without CAP_SYS_ADMIN (in the machine's own user namespace, and without a filter on ourselves).
Result<std::vector<SeccompFilter>> seccomp_filters_of(pid_t tid);

}  // namespace asyncdump

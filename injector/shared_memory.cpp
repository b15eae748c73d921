#include "injector/shared_memory.h"

#include <fmt/format.h>
#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "process/process_info.h"

namespace asyncdump {
namespace {

/// 0 when it cannot be known.
pid_t parent_of(pid_t pid) {
    std::ifstream status(fmt::format("/proc/{}/status", pid));
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with("PPid:")) return static_cast<pid_t>(std::strtol(line.c_str() + 5, nullptr, 10));
    }
    return 0;
}

}  // namespace

bool shares_memory_with_parent(pid_t pid) {
    const pid_t parent = parent_of(pid);
    if (parent <= 1) return false;
    const long order = ::syscall(SYS_kcmp, pid, parent, KCMP_VM, 0, 0);
    if (order >= 0) return order == 0;
    // Without kcmp(2) (it takes CONFIG_KCMP, and the permission to trace the parent as well).
    const auto threads = read_threads(parent);
    return threads && std::ranges::any_of(*threads, [](const ThreadInfo& thread) {
               return thread.state == ThreadState::disk;
           });
}

}  // namespace asyncdump

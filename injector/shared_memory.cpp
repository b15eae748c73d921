#include "injector/shared_memory.h"

#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

namespace asyncdump {

bool shares_memory_with_parent(const ProcessInfo& process) {
    if (process.parent <= 1) return false;
    const long order = ::syscall(SYS_kcmp, process.pid, process.parent, KCMP_VM, 0, 0);
    if (order >= 0) return order == 0;
    // Without kcmp(2) (it takes CONFIG_KCMP, and the permission to trace the parent as well).
    const auto threads = read_threads(process.parent);
    return threads && std::ranges::any_of(*threads, [](const ThreadInfo& thread) {
               return thread.state == ThreadState::disk;
           });
}

}  // namespace asyncdump

#include "injector/safe_point.h"

#include <fmt/format.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "injector/borrowed_thread.h"

namespace asyncdump {
namespace {

constexpr std::array allocators = {"libjemalloc", "libtcmalloc", "libmimalloc", "libasyncdump-agent",
                                   "libhoard",    "libsnmalloc", "librpmalloc"};

/// What a thread that waits is in. Not: what an allocator or the loader calls.
constexpr std::array blocking_calls = {SYS_read,
                                       SYS_write,
                                       SYS_poll,
                                       SYS_ppoll,
                                       SYS_select,
                                       SYS_pselect6,
                                       SYS_epoll_wait,
                                       SYS_epoll_pwait,
                                       SYS_nanosleep,
                                       SYS_accept,
                                       SYS_accept4,
                                       SYS_recvfrom,
                                       SYS_recvmsg,
                                       SYS_sendto,
                                       SYS_sendmsg,
                                       SYS_futex,
                                       SYS_wait4,
                                       SYS_waitid,
                                       SYS_pause,
                                       SYS_rt_sigtimedwait,
                                       SYS_semop,
                                       SYS_semtimedop,
                                       SYS_msgrcv,
                                       SYS_msgsnd,
                                       SYS_io_getevents,
                                       SYS_connect,
                                       SYS_flock,
                                       SYS_clock_nanosleep,
                                       SYS_rt_sigsuspend,
                                       SYS_recvmmsg,
                                       SYS_readv,
                                       SYS_pread64,
                                       SYS_fsync,
                                       SYS_restart_syscall,
                                       426 /* io_uring_enter */,
                                       441 /* epoll_pwait2 */};

/// Functions of the C library that hold or may hold such a lock while they wait.
bool may_hold_lock(std::string_view name) {
    for (const std::string_view prefix : {"dl",
                                          "_dl",
                                          "__dl",
                                          "__libc_dl",
                                          "fork",
                                          "__libc_fork",
                                          "_Fork",
                                          "vfork",
                                          "posix_spawn",
                                          "__spawn",
                                          "system",
                                          "popen",
                                          "exit",
                                          "__run_exit",
                                          "abort",
                                          "pthread_create",
                                          "__pthread_create",
                                          "pthread_atfork",
                                          "setlocale",
                                          "iconv",
                                          "getaddrinfo",
                                          "getpw",
                                          "getgr",
                                          "gethost",
                                          "__nss"})
        if (name.starts_with(prefix)) return true;
    return false;
}

bool is_allocation(std::string_view name) {
    for (const std::string_view prefix : {"_Znw",
                                          "_Zna",
                                          "_Zdl",
                                          "_Zda",
                                          "malloc",
                                          "calloc",
                                          "realloc",
                                          "free",
                                          "memalign",
                                          "posix_memalign",
                                          "aligned_alloc",
                                          "valloc",
                                          "pvalloc",
                                          "reallocarray",
                                          "__libc_malloc",
                                          "__libc_free",
                                          "__libc_calloc",
                                          "__libc_realloc",
                                          "__libc_memalign",
                                          "_int_",
                                          "je_",
                                          "tc_",
                                          "mi_"})
        if (name.starts_with(prefix)) return true;
    return false;
}

/// Where every thread begins.
bool is_beginning(std::string_view name) {
    for (const std::string_view known :
         {"__libc_start_main", "__libc_start_call_main", "start_thread", "clone", "__clone"})
        if (name.starts_with(known)) return true;
    return false;
}

}  // namespace

bool is_loader(const Module& module) {
    return module.name().starts_with("ld-linux") || module.name().starts_with("ld-2") ||
           module.name() == "ld.so";
}

bool is_c_library(const Module& module) {
    return module.name().starts_with("libc.so.6") || module.name().starts_with("libc-2");
}

bool is_in_loader(const UnwoundStack& stack, const ModuleSet& modules) {
    return std::ranges::any_of(stack.frames, [&](const UnwoundFrame& frame) {
        const Module* const module = modules.find(frame.pc);
        return module != nullptr && is_loader(*module);
    });
}

std::string obstacle_to_loading(const StoppedThread& thread, const UnwoundStack& stack,
                                const ModuleSet& modules, const MemoryMap& map) {
    if (thread.in_group_stop) return "it was stopped by a signal";
    if (!stack.truncated.empty() || stack.frames.empty()) return "its stack cannot be followed to its end";
    const Mapping* const memory = map.find(thread.registers.stack_pointer());
    if (memory == nullptr || !memory->writable) return "it has no stack";
    if (memory->path != "[stack]" &&
        thread.registers.stack_pointer() - memory->range.begin < BorrowedThread::stack_needed)
        return "its stack is nearly used up";
    const std::int64_t call = thread.registers.system_call;
    if (call >= 0 && std::ranges::find(blocking_calls, call) == blocking_calls.end())
        return fmt::format("it is in system call {}", call);

    bool left_c_library = false;
    bool at_beginning = false;
    for (const UnwoundFrame& frame : stack.frames) {
        if (frame.is_signal_trampoline) return "it is in a signal handler";
        const Module* const module = modules.find(frame.pc);
        if (module == nullptr) return "it executes code of no known file";
        const Symbol* const symbol = module->symbol_at(frame.pc - (frame.is_return_address ? 1 : 0));
        const std::string_view name = symbol != nullptr ? symbol->name : std::string_view();
        if (is_loader(*module)) return "it is in the loader";
        if (std::ranges::any_of(allocators,
                                [&](const char* known) { return module->name().starts_with(known); }) ||
            is_allocation(name))
            return "it is in the allocator";
        if (!is_c_library(*module)) {
            left_c_library = true;
            continue;
        }
        if (may_hold_lock(name)) return fmt::format("it is in {}", name);
        at_beginning = at_beginning || is_beginning(name);
        if (left_c_library) {
            // The C library calls the program: fine at a thread's beginning, whose functions may have no
            // name.
            const bool outermost = &frame + 3 > stack.frames.data() + stack.frames.size() - 1;
            if (!at_beginning && !outermost) return "the C library calls back into the program";
        } else if (call < 0) {
            return "it is in the C library";
        }
    }
    return "";
}

}  // namespace asyncdump

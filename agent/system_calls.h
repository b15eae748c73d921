// System calls without the C library's wrappers: they leave errno alone and cannot be interposed, so that a
// hook may use them in the middle of the target's operator new.
#pragma once

#include <sys/mman.h>
#include <sys/syscall.h>

#include <cstddef>
#include <cstdint>

namespace asyncdump::agent {

/// A negative result is -errno.
inline long system_call(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

/// Zeroed private pages, or null. They count only when they are touched (MAP_NORESERVE).
inline void* map_pages(std::size_t bytes) {
    const long result = system_call(SYS_mmap, 0, static_cast<long>(bytes), PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return result < 0 && result > -4096 ? nullptr : reinterpret_cast<void*>(result);
}

inline void unmap_pages(void* pages, std::size_t bytes) {
    system_call(SYS_munmap, reinterpret_cast<long>(pages), static_cast<long>(bytes));
}

inline std::uint32_t current_thread_id() {
    return static_cast<std::uint32_t>(system_call(SYS_gettid));
}
inline std::uint32_t current_process_id() {
    return static_cast<std::uint32_t>(system_call(SYS_getpid));
}

/// Whether eight bytes at `address` can be read, without reading them here: rt_sigprocmask copies the new
/// mask before it rejects the first argument. Chosen because no seccomp filter in use forbids it.
inline bool is_readable(std::uintptr_t address) {
    constexpr long invalid_operation = -1;
    constexpr long einval = 22;
    return system_call(SYS_rt_sigprocmask, invalid_operation, static_cast<long>(address), 0, 8) == -einval;
}

inline void write_to_standard_error(const char* text, std::size_t length) {
    system_call(SYS_write, 2, reinterpret_cast<long>(text), static_cast<long>(length));
}

}  // namespace asyncdump::agent

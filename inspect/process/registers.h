#pragma once

#include <sys/user.h>

#include <array>
#include <bitset>
#include <cstdint>

#include "base/remote_address.h"

namespace asyncdump {

/// General registers of a thread or of an unwound frame, by DWARF number of the System V x86-64 psABI
/// (figure 3.36): rax rdx rcx rbx rsi rdi rbp rsp r8 ... r15, return address. This file and
/// modules/unwinder.cpp are the places that know the processor's registers;
/// runtimes/cpp20/dispatch_interpreter.cpp knows its instructions.
class Registers {
  public:
    enum Number : unsigned {
        rax,
        rdx,
        rcx,
        rbx,
        rsi,
        rdi,
        rbp,
        rsp,
        r8,
        r9,
        r10,
        r11,
        r12,
        r13,
        r14,
        r15,
        rip
    };
    static constexpr unsigned count = 17;

    Registers() = default;
    explicit Registers(const user_regs_struct& kernel) {
        const std::array<unsigned long long, count> values = {
            kernel.rax, kernel.rdx, kernel.rcx, kernel.rbx, kernel.rsi, kernel.rdi,
            kernel.rbp, kernel.rsp, kernel.r8,  kernel.r9,  kernel.r10, kernel.r11,
            kernel.r12, kernel.r13, kernel.r14, kernel.r15, kernel.rip};
        for (unsigned i = 0; i < count; ++i) set(i, values[i]);
        system_call = static_cast<std::int64_t>(kernel.orig_rax);
        thread_pointer = RemoteAddress(kernel.fs_base);
    }

    bool is_known(unsigned number) const { return known_[number]; }
    std::uint64_t get(unsigned number) const { return values_[number]; }  ///< 0 when unknown
    void set(unsigned number, std::uint64_t value) {
        values_[number] = value;
        known_.set(number);
    }
    RemoteAddress pc() const { return RemoteAddress(values_[rip]); }
    RemoteAddress stack_pointer() const { return RemoteAddress(values_[rsp]); }

    /// orig_rax: the number of the system call in which the thread was stopped, or -1 when in none.
    std::int64_t system_call = -1;
    RemoteAddress thread_pointer;  ///< fs: the thread's control block; null when unknown

  private:
    std::array<std::uint64_t, count> values_{};
    std::bitset<count> known_;
};

}  // namespace asyncdump

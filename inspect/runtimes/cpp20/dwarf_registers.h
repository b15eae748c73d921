#pragma once

#include <array>

#include "runtimes/cpp20/machine_code.h"

namespace asyncdump::cpp20 {

/// DWARF's numbers of the general registers (System V psABI, figure 3.36) in the processor's encoding.
constexpr auto register_of_dwarf_number = std::to_array<Register>(
    {Register::rax, Register::rdx, Register::rcx, Register::rbx, Register::rsi, Register::rdi, Register::rbp,
     Register::rsp, Register::r8, Register::r9, Register::r10, Register::r11, Register::r12, Register::r13,
     Register::r14, Register::r15});

}  // namespace asyncdump::cpp20

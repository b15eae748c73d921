// The bytes of a coroutine's functions as instructions: the one place that decodes machine code. Decodes what
// a resume function's dispatcher, its prologue and its stores are made of; everything else is `unsupported`
// or `opaque`. Never executes anything and never fails on hostile bytes: what does not decode becomes an
// unsupported instruction of one byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/remote_address.h"

namespace asyncdump::cpp20 {

/// The sixteen general purpose registers by their encoding; `none` is also "no base", "no index".
enum class Register : std::uint8_t {
    rax,
    rcx,
    rdx,
    rbx,
    rsp,
    rbp,
    rsi,
    rdi,
    r8,
    r9,
    r10,
    r11,
    r12,
    r13,
    r14,
    r15,
    none,
};
inline constexpr std::size_t register_count = 16;

/// Condition of jcc, setcc, cmovcc, in the processor's encoding (bit 0 negates).
enum class Condition : std::uint8_t { o, no, b, nb, z, nz, be, nbe, s, ns, p, np, l, nl, le, nle };

enum class Operation : std::uint8_t {
    unsupported,  ///< nothing is known of it
    opaque,  ///< no control transfer; its explicit destinations (operands[0], if written) become unknown;
             ///< flags too
    nop,
    endbr,   ///< the mark of a place that is jumped or unwound to
    trap,    ///< ud2, hlt, int3: the path ends
    string,  ///< rep movs, rep stos, ...: memory through rdi and rsi
    mov,
    movzx,
    movsx,
    lea,
    push,
    pop,
    leave,
    add,
    sub,
    adc,
    sbb,
    cmp,
    and_,
    or_,
    xor_,
    test,
    not_,
    neg,
    inc,
    dec,
    shl,
    shr,
    sar,
    bt,
    xchg,
    sign_extend_accumulator,  ///< cbw, cwde, cdqe
    sign_fill_rdx,            ///< cwd, cdq, cqo
    setcc,
    cmovcc,
    jcc,
    jmp,
    call,
    ret,
};

struct Operand {
    enum class Kind : std::uint8_t { none, reg, memory, immediate, other_register };
    Kind kind = Kind::none;
    std::uint8_t size = 0;   ///< bytes
    bool high_byte = false;  ///< ah, ch, dh, bh
    bool rip_relative = false;
    bool thread_local_segment = false;  ///< fs or gs
    Register reg = Register::none;      ///< register, or the base of a memory operand
    Register index = Register::none;
    std::uint8_t scale = 1;
    /// Immediate, displacement, or for rip-relative memory and direct branches the absolute address.
    std::int64_t value = 0;

    bool is_register() const { return kind == Kind::reg; }
    bool is_memory() const { return kind == Kind::memory; }
    bool is_immediate() const { return kind == Kind::immediate; }
    /// Memory at a fixed distance from what one register holds.
    bool has_only_base() const {
        return is_memory() && reg != Register::none && index == Register::none && !thread_local_segment;
    }
};

inline constexpr std::uint16_t all_registers = 0xFFFF;

struct Instruction {
    RemoteAddress address;
    std::uint8_t length = 1;
    Operation operation = Operation::unsupported;
    Condition condition = Condition::o;
    /// Of an unsupported instruction: the registers that it may write, a bit each by their encoding.
    std::uint16_t written_registers = all_registers;
    Operand operands[2];  ///< destination first

    RemoteAddress next() const { return address + length; }
    /// Of a direct jmp, jcc or call.
    std::optional<RemoteAddress> direct_target() const {
        const bool transfers =
            operation == Operation::jmp || operation == Operation::jcc || operation == Operation::call;
        if (!transfers || !operands[0].is_immediate()) return std::nullopt;
        return RemoteAddress(static_cast<std::uint64_t>(operands[0].value));
    }
    bool ends_block_without_fall_through() const {
        return operation == Operation::jmp || operation == Operation::ret || operation == Operation::trap;
    }
    /// Whether an operand is stored to, and not looked at.
    bool writes_operand(std::size_t number) const {
        return number == 0 && (operation == Operation::mov || operation == Operation::opaque);
    }
};

/// Decodes the instruction at the start of `bytes`, which lies at `address`.
Instruction decode(std::span<const std::byte> bytes, RemoteAddress address);

/// All instructions of `bytes`, one after the other from the first byte on. At most `limit` of them.
std::vector<Instruction> decode_all(std::span<const std::byte> bytes, RemoteAddress address,
                                    std::size_t limit);

/// Whether an instruction may write the register (any part of it). Calls write what the System V ABI lets
/// them write.
bool may_write(const Instruction& instruction, Register reg);

}  // namespace asyncdump::cpp20

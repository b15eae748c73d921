#include "runtimes/cpp20/machine_code.h"

#include <Zydis/Zydis.h>

#include <algorithm>

namespace asyncdump::cpp20 {

namespace {

const ZydisDecoder& decoder() {
    static const ZydisDecoder instance = [] {
        ZydisDecoder made;
        ZydisDecoderInit(&made, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
        return made;
    }();
    return instance;
}

/// Both conditions of the enumerations follow the processor's encoding for the mnemonics' suffixes.
struct ConditionalMnemonic {
    ZydisMnemonic jump, set, move;
    Condition condition;
};
constexpr ConditionalMnemonic conditional_mnemonics[] = {
    {ZYDIS_MNEMONIC_JO, ZYDIS_MNEMONIC_SETO, ZYDIS_MNEMONIC_CMOVO, Condition::o},
    {ZYDIS_MNEMONIC_JNO, ZYDIS_MNEMONIC_SETNO, ZYDIS_MNEMONIC_CMOVNO, Condition::no},
    {ZYDIS_MNEMONIC_JB, ZYDIS_MNEMONIC_SETB, ZYDIS_MNEMONIC_CMOVB, Condition::b},
    {ZYDIS_MNEMONIC_JNB, ZYDIS_MNEMONIC_SETNB, ZYDIS_MNEMONIC_CMOVNB, Condition::nb},
    {ZYDIS_MNEMONIC_JZ, ZYDIS_MNEMONIC_SETZ, ZYDIS_MNEMONIC_CMOVZ, Condition::z},
    {ZYDIS_MNEMONIC_JNZ, ZYDIS_MNEMONIC_SETNZ, ZYDIS_MNEMONIC_CMOVNZ, Condition::nz},
    {ZYDIS_MNEMONIC_JBE, ZYDIS_MNEMONIC_SETBE, ZYDIS_MNEMONIC_CMOVBE, Condition::be},
    {ZYDIS_MNEMONIC_JNBE, ZYDIS_MNEMONIC_SETNBE, ZYDIS_MNEMONIC_CMOVNBE, Condition::nbe},
    {ZYDIS_MNEMONIC_JS, ZYDIS_MNEMONIC_SETS, ZYDIS_MNEMONIC_CMOVS, Condition::s},
    {ZYDIS_MNEMONIC_JNS, ZYDIS_MNEMONIC_SETNS, ZYDIS_MNEMONIC_CMOVNS, Condition::ns},
    {ZYDIS_MNEMONIC_JP, ZYDIS_MNEMONIC_SETP, ZYDIS_MNEMONIC_CMOVP, Condition::p},
    {ZYDIS_MNEMONIC_JNP, ZYDIS_MNEMONIC_SETNP, ZYDIS_MNEMONIC_CMOVNP, Condition::np},
    {ZYDIS_MNEMONIC_JL, ZYDIS_MNEMONIC_SETL, ZYDIS_MNEMONIC_CMOVL, Condition::l},
    {ZYDIS_MNEMONIC_JNL, ZYDIS_MNEMONIC_SETNL, ZYDIS_MNEMONIC_CMOVNL, Condition::nl},
    {ZYDIS_MNEMONIC_JLE, ZYDIS_MNEMONIC_SETLE, ZYDIS_MNEMONIC_CMOVLE, Condition::le},
    {ZYDIS_MNEMONIC_JNLE, ZYDIS_MNEMONIC_SETNLE, ZYDIS_MNEMONIC_CMOVNLE, Condition::nle},
};

Operation operation_of(const ZydisDecodedInstruction& decoded, Condition& condition) {
    switch (decoded.mnemonic) {
        case ZYDIS_MNEMONIC_MOV:
            return Operation::mov;
        case ZYDIS_MNEMONIC_MOVZX:
            return Operation::movzx;
        case ZYDIS_MNEMONIC_MOVSX:
        case ZYDIS_MNEMONIC_MOVSXD:
            return Operation::movsx;
        case ZYDIS_MNEMONIC_LEA:
            return Operation::lea;
        case ZYDIS_MNEMONIC_PUSH:
            return Operation::push;
        case ZYDIS_MNEMONIC_POP:
            return Operation::pop;
        case ZYDIS_MNEMONIC_LEAVE:
            return Operation::leave;
        case ZYDIS_MNEMONIC_ADD:
            return Operation::add;
        case ZYDIS_MNEMONIC_SUB:
            return Operation::sub;
        case ZYDIS_MNEMONIC_ADC:
            return Operation::adc;
        case ZYDIS_MNEMONIC_SBB:
            return Operation::sbb;
        case ZYDIS_MNEMONIC_CMP:
            return Operation::cmp;
        case ZYDIS_MNEMONIC_AND:
            return Operation::and_;
        case ZYDIS_MNEMONIC_OR:
            return Operation::or_;
        case ZYDIS_MNEMONIC_XOR:
            return Operation::xor_;
        case ZYDIS_MNEMONIC_TEST:
            return Operation::test;
        case ZYDIS_MNEMONIC_NOT:
            return Operation::not_;
        case ZYDIS_MNEMONIC_NEG:
            return Operation::neg;
        case ZYDIS_MNEMONIC_INC:
            return Operation::inc;
        case ZYDIS_MNEMONIC_DEC:
            return Operation::dec;
        case ZYDIS_MNEMONIC_SHL:
            return Operation::shl;
        case ZYDIS_MNEMONIC_SHR:
            return Operation::shr;
        case ZYDIS_MNEMONIC_SAR:
            return Operation::sar;
        case ZYDIS_MNEMONIC_BT:
            return Operation::bt;
        case ZYDIS_MNEMONIC_XCHG:
            return Operation::xchg;
        case ZYDIS_MNEMONIC_CBW:
        case ZYDIS_MNEMONIC_CWDE:
        case ZYDIS_MNEMONIC_CDQE:
            return Operation::sign_extend_accumulator;
        case ZYDIS_MNEMONIC_CWD:
        case ZYDIS_MNEMONIC_CDQ:
        case ZYDIS_MNEMONIC_CQO:
            return Operation::sign_fill_rdx;
        case ZYDIS_MNEMONIC_JMP:
            return Operation::jmp;
        case ZYDIS_MNEMONIC_CALL:
            return Operation::call;
        case ZYDIS_MNEMONIC_RET:
            return Operation::ret;
        case ZYDIS_MNEMONIC_ENDBR64:
            return Operation::endbr;
        case ZYDIS_MNEMONIC_UD2:
        case ZYDIS_MNEMONIC_HLT:
        case ZYDIS_MNEMONIC_INT3:
            return Operation::trap;
        case ZYDIS_MNEMONIC_NOP:
        case ZYDIS_MNEMONIC_PAUSE:
        case ZYDIS_MNEMONIC_PREFETCHT0:
        case ZYDIS_MNEMONIC_PREFETCHW:
            return Operation::nop;
        default:
            break;
    }
    for (const ConditionalMnemonic& entry : conditional_mnemonics) {
        condition = entry.condition;
        if (decoded.mnemonic == entry.jump) return Operation::jcc;
        if (decoded.mnemonic == entry.set) return Operation::setcc;
        if (decoded.mnemonic == entry.move) return Operation::cmovcc;
    }
    condition = Condition::o;
    switch (decoded.meta.category) {
        case ZYDIS_CATEGORY_COND_BR:  // loop, jrcxz
        case ZYDIS_CATEGORY_UNCOND_BR:
        case ZYDIS_CATEGORY_CALL:
        case ZYDIS_CATEGORY_RET:
        case ZYDIS_CATEGORY_INTERRUPT:
        case ZYDIS_CATEGORY_SYSCALL:
        case ZYDIS_CATEGORY_SYSRET:
        case ZYDIS_CATEGORY_SYSTEM:
            return Operation::unsupported;
        case ZYDIS_CATEGORY_STRINGOP:
            return Operation::string;
        default:
            return Operation::opaque;
    }
}

Register general_register(ZydisRegister reg, bool& high_byte) {
    high_byte = reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH;
    const ZydisRegister enclosing = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);
    if (enclosing < ZYDIS_REGISTER_RAX || enclosing > ZYDIS_REGISTER_R15) return Register::none;
    return static_cast<Register>(enclosing - ZYDIS_REGISTER_RAX);
}

Operand operand_of(const ZydisDecodedInstruction& decoded, const ZydisDecodedOperand& from,
                   RemoteAddress address) {
    Operand operand;
    operand.size = static_cast<std::uint8_t>(std::min(from.size / 8, 64));
    bool ignored = false;
    switch (from.type) {
        case ZYDIS_OPERAND_TYPE_REGISTER:
            operand.reg = general_register(from.reg.value, operand.high_byte);
            operand.kind = operand.reg == Register::none ? Operand::Kind::other_register : Operand::Kind::reg;
            break;
        case ZYDIS_OPERAND_TYPE_MEMORY:
            operand.kind = Operand::Kind::memory;
            operand.value = from.mem.disp.has_displacement ? from.mem.disp.value : 0;
            operand.thread_local_segment =
                from.mem.segment == ZYDIS_REGISTER_FS || from.mem.segment == ZYDIS_REGISTER_GS;
            if (from.mem.base == ZYDIS_REGISTER_RIP) {
                operand.rip_relative = true;
                operand.value = static_cast<std::int64_t>(address.value() + decoded.length +
                                                          static_cast<std::uint64_t>(operand.value));
            } else {
                operand.reg = general_register(from.mem.base, ignored);
            }
            operand.index = general_register(from.mem.index, ignored);
            operand.scale = std::max<std::uint8_t>(from.mem.scale, 1);
            break;
        case ZYDIS_OPERAND_TYPE_IMMEDIATE:
            operand.kind = Operand::Kind::immediate;
            operand.value = from.imm.value.s;
            if (from.imm.is_relative) {
                operand.value = static_cast<std::int64_t>(address.value() + decoded.length +
                                                          static_cast<std::uint64_t>(operand.value));
            }
            break;
        default:
            operand.kind = Operand::Kind::other_register;
            break;
    }
    return operand;
}

}  // namespace

Instruction decode(std::span<const std::byte> bytes, RemoteAddress address) {
    Instruction instruction;
    instruction.address = address;
    ZydisDecodedInstruction decoded;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    const ZyanUSize available = std::min<std::size_t>(bytes.size(), ZYDIS_MAX_INSTRUCTION_LENGTH);
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder(), bytes.data(), available, &decoded, operands))) {
        return instruction;
    }
    instruction.length = decoded.length;
    instruction.operation = operation_of(decoded, instruction.condition);
    const std::size_t visible = std::min<std::size_t>(decoded.operand_count_visible, 2);
    for (std::size_t i = 0; i < visible; ++i) {
        instruction.operands[i] = operand_of(decoded, operands[i], address);
    }

    switch (instruction.operation) {
        case Operation::opaque: {
            // A read-modify-write or hidden write of a general register by an instruction that is not
            // modelled (mul, cpuid, cmpxchg, ...) would leave a stale value behind.
            instruction.written_registers = 0;
            for (std::size_t i = 0; i < decoded.operand_count; ++i) {
                const bool written = (operands[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
                if (!written || operands[i].type != ZYDIS_OPERAND_TYPE_REGISTER) continue;
                bool high = false;
                const Register general = general_register(operands[i].reg.value, high);
                if (general == Register::none) continue;
                instruction.written_registers |=
                    static_cast<std::uint16_t>(1U << static_cast<unsigned>(general));
                if (i != 0) instruction.operation = Operation::unsupported;
            }
            // Reading a memory operand first (vector compare, and so on) is harmless: only written ones
            // matter.
            const bool writes_first = decoded.operand_count_visible > 0 &&
                                      (operands[0].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
            if (!writes_first) instruction.operands[0] = Operand{};
            break;
        }
        case Operation::push:
        case Operation::pop:
            if (operands[0].size != 64 && !instruction.operands[0].is_immediate()) {
                instruction.operation = Operation::unsupported;
            }
            if (instruction.operands[0].kind == Operand::Kind::other_register) {
                instruction.operation = Operation::unsupported;
            }
            break;
        case Operation::xchg:  // `xchg ax, ax` is padding
            if (instruction.operands[0].is_register() && instruction.operands[1].is_register() &&
                instruction.operands[0].reg == instruction.operands[1].reg) {
                instruction.operation = Operation::nop;
            }
            break;
        case Operation::sign_extend_accumulator:
        case Operation::sign_fill_rdx:
            instruction.operands[0].size = static_cast<std::uint8_t>(decoded.operand_width / 8);
            break;
        case Operation::mov:
        case Operation::movzx:
        case Operation::movsx:
            // Control, debug and segment registers.
            if (instruction.operands[0].kind == Operand::Kind::other_register ||
                instruction.operands[1].kind == Operand::Kind::other_register) {
                instruction.operation = Operation::unsupported;
            }
            break;
        default:
            break;
    }
    return instruction;
}

std::vector<Instruction> decode_all(std::span<const std::byte> bytes, RemoteAddress address,
                                    std::size_t limit) {
    std::vector<Instruction> instructions;
    instructions.reserve(std::min(bytes.size() / 4, limit));
    std::size_t at = 0;
    while (at < bytes.size() && instructions.size() < limit) {
        instructions.push_back(decode(bytes.subspan(at), address + at));
        at += instructions.back().length;
    }
    return instructions;
}

bool may_write(const Instruction& instruction, Register reg) {
    const auto writes_operand = [&](std::size_t i) {
        return instruction.operands[i].is_register() && instruction.operands[i].reg == reg;
    };
    switch (instruction.operation) {
        case Operation::unsupported:
            return (instruction.written_registers >> static_cast<unsigned>(reg) & 1U) != 0;
        case Operation::string:
            return reg == Register::rdi || reg == Register::rsi || reg == Register::rcx ||
                   reg == Register::rax;
        case Operation::nop:
        case Operation::endbr:
        case Operation::trap:
        case Operation::cmp:
        case Operation::test:
        case Operation::bt:
        case Operation::jcc:
        case Operation::jmp:
        case Operation::ret:
            return false;
        case Operation::push:
            return reg == Register::rsp;
        case Operation::pop:
            return reg == Register::rsp || writes_operand(0);
        case Operation::leave:
            return reg == Register::rsp || reg == Register::rbp;
        case Operation::sign_extend_accumulator:
            return reg == Register::rax;
        case Operation::sign_fill_rdx:
            return reg == Register::rdx;
        case Operation::xchg:
            return writes_operand(0) || writes_operand(1);
        case Operation::call:
            return reg != Register::rbx && reg != Register::rsp && reg != Register::rbp &&
                   reg != Register::r12 && reg != Register::r13 && reg != Register::r14 &&
                   reg != Register::r15;
        default:
            return writes_operand(0);
    }
}

}  // namespace asyncdump::cpp20

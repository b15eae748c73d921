#include "runtimes/cpp20/store_sites.h"

#include <algorithm>
#include <set>

namespace asyncdump::cpp20 {

using Position = FunctionCode::Position;

std::vector<StoreSite> find_store_sites(const ImportedFunctions& imported, const FunctionCode& code,
                                        RemoteAddress entry, FunctionRole role, RemoteAddress resume_function,
                                        const IndexField& field) {
    std::vector<StoreSite> sites;
    const ValueSources sources(code, entry);
    const FrameBases bases(imported, code, sources, role, resume_function);
    const std::uint64_t mask = field.width >= 8 ? ~0ULL : (1ULL << (field.width * 8)) - 1;

    // The address of the field (AddressSanitizer needs it for its check), or of something near it in the
    // frame (an awaiter that await_suspend is called on), may have been put into a register.
    std::set<std::int64_t> added;
    for (const Instruction& instruction : code.instructions()) {
        const bool adds = instruction.operation == Operation::lea || instruction.operation == Operation::add;
        if (adds && !instruction.operands[1].rip_relative) added.insert(instruction.operands[1].value);
    }

    for (Position i = 0; i < code.instructions().size(); ++i) {
        const Instruction& instruction = code.at(i);
        const Operand& to = instruction.operands[0];
        const Operand& from = instruction.operands[1];
        if (!to.has_only_base()) continue;
        const bool writes =
            instruction.operation == Operation::mov || instruction.operation == Operation::opaque;
        if (!writes || to.reg == Register::rsp) continue;
        const bool at_offset = to.value >= 0 && to.value <= field.offset &&
                               static_cast<std::uint64_t>(to.value) + to.size >= field.offset + field.width;
        const bool at_address =
            to.size == field.width && added.contains(std::int64_t{field.offset} - to.value);
        if (!at_offset && !at_address) continue;
        const auto base = bases.offset_in_frame(to.reg, i);
        if (!base) continue;
        const std::uint64_t begin = *base + static_cast<std::uint64_t>(to.value);
        if (begin > field.offset || begin + to.size < field.offset + field.width) continue;

        const auto shift = static_cast<unsigned>(field.offset - begin) * 8;
        if (instruction.operation == Operation::opaque || shift >= 64) continue;
        std::vector<ValueSource> values;
        if (from.is_immediate()) {
            values.push_back({ValueSource::Kind::constant, static_cast<std::uint64_t>(from.value), i, false});
        } else if (from.is_register() && !from.high_byte) {
            values = sources.of(from.reg, i, ValueSources::AfterCall::rax_is_kept);
        }
        for (const ValueSource& value : values) {
            if (value.kind != ValueSource::Kind::constant) continue;
            sites.push_back({(value.value >> shift) & mask, i, value.position, value.through_join});
        }
    }
    return sites;
}

}  // namespace asyncdump::cpp20

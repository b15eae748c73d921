// The instructions of one coroutine's functions and how control passes between them: direct branches and jump
// tables.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "modules/module.h"
#include "runtimes/cpp20/imported_functions.h"
#include "runtimes/cpp20/machine_code.h"

namespace asyncdump::cpp20 {

class FunctionCode {
  public:
    using Position = std::uint32_t;  ///< index into instructions()
    static constexpr Position nowhere = 0xffff'ffff;

    /// Decodes the ranges (a function and its cold parts). Bounded: what lies beyond the limit is left out.
    FunctionCode(const Module& module, const ImportedFunctions& imported,
                 std::span<const AddressRange> ranges);

    const std::vector<Instruction>& instructions() const { return instructions_; }  ///< sorted by address
    const Instruction& at(Position position) const { return instructions_[position]; }
    Position find(RemoteAddress address) const;  ///< the instruction that starts there

    std::span<const Position> predecessors(Position position) const;
    /// More than one way leads here, or one that is not known.
    bool is_join(Position position) const { return predecessors(position).size() != 1; }
    /// Where control may go: the next instruction, a branch's target, a jump table's entries.
    std::span<const Position> successors(Position position) const;

  private:
    struct Edge {
        Position from;
        Position to;
    };
    void connect(const Module& module, const ImportedFunctions& imported);
    void add_jump_table(const Module& module, Position jump, std::vector<Edge>& edges) const;

    std::vector<Instruction> instructions_;
    std::vector<Position> successor_targets_, predecessor_sources_;
    std::vector<std::uint32_t> successor_begin_, predecessor_begin_;  ///< one more than instructions
};

}  // namespace asyncdump::cpp20

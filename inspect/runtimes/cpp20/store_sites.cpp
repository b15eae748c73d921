#include "runtimes/cpp20/store_sites.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

namespace asyncdump::cpp20 {

namespace {

using Position = FunctionCode::Position;

constexpr std::size_t max_values = 512;    // of one register at one place
constexpr std::size_t max_work = 20'000;   // instructions looked at for one register
constexpr std::size_t max_slot_depth = 4;  // stack slots that hold what came from a stack slot

/// Where a value comes from.
struct Source {
    enum class Kind : std::uint8_t {
        unknown,
        elsewhere,    ///< reached by the unwinder (a handler) or by a jump that was not understood
        argument,     ///< the function's first argument
        call_result,  ///< rax after the call at `position`
        constant,     ///< `value`, made at `position`
        stack,        ///< the address of a place on the stack: `value` bytes from rsp or rbp
    };
    Kind kind = Kind::unknown;
    std::uint64_t value = 0;  ///< of a constant; what was added to an argument or result
    Position position = 0;
    bool through_join = false;

    friend auto operator<=>(const Source&, const Source&) = default;
};

class Slicer {
  public:
    Slicer(const FunctionCode& code, RemoteAddress entry) : code_(code), entry_(code.find(entry)) {
        for (Position i = 0; i < code.instructions().size(); ++i) {
            const Instruction& instruction = code.at(i);
            const Operand& to = instruction.operands[0];
            if (instruction.operation == Operation::mov && to.is_memory() && to.size == 8 &&
                is_stack_slot(to)) {
                slot_stores_[{to.reg, to.value}].push_back(i);
            }
        }
    }

    /// What a call leaves in rax. Code only reads what is defined: a register that is read after a call was
    /// kept by it, by the calling convention or because the compiler saw the callee (GCC's -fipa-ra keeps
    /// values in any register), or it is the result. The number of a suspend point is never a call's result;
    /// an address may be.
    enum class AfterCall { rax_is_result, rax_is_kept };

    /// All sources of a register's value as it is before the instruction at `position`.
    std::vector<Source> sources(Register reg, Position position, AfterCall after_call,
                                std::size_t depth = 0) const {
        std::set<Source> found;
        std::set<std::tuple<Register, Position, bool>> visited;
        struct Task {
            Register reg;
            Position before;  // the value before this instruction
            bool through_join;
            std::uint64_t added;  // to the value, on the way from there
        };
        std::vector<Task> tasks{{reg, position, false, 0}};
        std::size_t work = 0;
        while (!tasks.empty() && found.size() < max_values) {
            Task task = tasks.back();
            tasks.pop_back();
            while (true) {
                if (++work > max_work) {
                    found.insert(Source{});
                    return {found.begin(), found.end()};
                }
                const auto before = code_.predecessors(task.before);
                if (task.before == entry_) {
                    found.insert({task.reg == Register::rdi ? Source::Kind::argument : Source::Kind::unknown,
                                  task.added, 0, task.through_join});
                    if (before.empty()) break;
                } else if (before.empty()) {
                    found.insert({Source::Kind::elsewhere, 0, 0, task.through_join});
                    break;
                }
                if (before.size() > 1) {
                    if (!visited.emplace(task.reg, task.before, task.through_join).second) break;
                    task.through_join = true;
                    for (std::size_t i = 1; i < before.size(); ++i) {
                        Task other = task;
                        if (step(other.reg, other.added, before[i], other.through_join, found, after_call,
                                 depth)) {
                            other.before = before[i];
                            tasks.push_back(other);
                        }
                    }
                }
                if (!step(task.reg, task.added, before[0], task.through_join, found, after_call, depth))
                    break;
                task.before = before[0];
            }
        }
        return {found.begin(), found.end()};
    }

  private:
    static bool is_stack_slot(const Operand& operand) {
        return (operand.reg == Register::rsp || operand.reg == Register::rbp) &&
               operand.index == Register::none;
    }

    /// Goes back over one instruction. False when it made the value: the source was added.
    bool step(Register& reg, std::uint64_t& added, Position at, bool through_join, std::set<Source>& found,
              AfterCall after_call, std::size_t depth) const {
        const Instruction& instruction = code_.at(at);
        const bool is_result = reg == Register::rax && after_call == AfterCall::rax_is_result;
        if (instruction.operation == Operation::call && !is_result) return true;
        if (!may_write(instruction, reg)) return true;
        const Operand& to = instruction.operands[0];
        const Operand& from = instruction.operands[1];
        Source source{Source::Kind::unknown, added, at, through_join};
        switch (instruction.operation) {
            case Operation::mov:
                if (from.is_immediate() && to.size >= 1) {
                    source.kind = Source::Kind::constant;
                    source.value = added + static_cast<std::uint64_t>(from.value);
                } else if (from.is_register() && to.size >= 4) {
                    reg = from.reg;
                    return true;
                } else if (from.is_memory() && to.size == 8 && is_stack_slot(from) &&
                           depth < max_slot_depth) {
                    // Which store the load sees is not followed: all stores to the slot count, so that a slot
                    // used for two values gives no answer at all.
                    const auto stores = slot_stores_.find({from.reg, from.value});
                    if (stores == slot_stores_.end()) break;
                    for (const Position store : stores->second) {
                        const Operand& stored = code_.at(store).operands[1];
                        if (!stored.is_register()) {
                            found.insert(source);
                            continue;
                        }
                        for (Source inner : sources(stored.reg, store, after_call, depth + 1)) {
                            inner.through_join = inner.through_join || through_join;
                            inner.value += added;
                            found.insert(inner);
                        }
                    }
                    return false;
                }
                break;
            case Operation::add:
                if (from.is_immediate() && to.is_register() && to.size == 8) {
                    added += static_cast<std::uint64_t>(from.value);
                    return true;
                }
                break;
            case Operation::xor_:
                if (from.is_register() && from.reg == to.reg) source.kind = Source::Kind::constant;
                break;
            case Operation::lea:
                if (from.rip_relative) {
                    source.kind = Source::Kind::constant;
                    source.value = added + static_cast<std::uint64_t>(from.value);
                } else if (is_stack_slot(from)) {
                    source.kind = Source::Kind::stack;
                    source.value = added + static_cast<std::uint64_t>(from.value);
                } else if (from.reg != Register::none && from.index == Register::none) {
                    reg = from.reg;
                    added += static_cast<std::uint64_t>(from.value);
                    return true;
                }
                break;
            case Operation::call:
                if (reg == Register::rax) source.kind = Source::Kind::call_result;
                break;
            default:
                break;
        }
        found.insert(source);
        return false;
    }

    const FunctionCode& code_;
    const Position entry_;
    std::map<std::pair<Register, std::int64_t>, std::vector<Position>> slot_stores_;
};

bool allocates(const ImportedFunctions& imported, const Instruction& call) {
    // `operator new`, the global one or the promise's.
    const std::string_view name = imported.callee(call);
    return name.starts_with("_Znw") || (name.starts_with("_Z") && name.find("nwE") != std::string_view::npos);
}

/// Tells whether a base register holds the frame.
class FrameBases {
  public:
    FrameBases(const ImportedFunctions& imported, const FunctionCode& code, const Slicer& slicer,
               FunctionRole role, RemoteAddress resume_function)
        : slicer_(slicer), role_(role) {
        if (role == FunctionRole::resume && !names(code, resume_function)) return;
        for (Position i = 0; i < code.instructions().size(); ++i) {
            const Instruction& instruction = code.at(i);
            if (role == FunctionRole::ramp && instruction.operation == Operation::call &&
                allocates(imported, instruction)) {
                frames_.insert(i);
            }
            const Operand& to = instruction.operands[0];
            const Operand& from = instruction.operands[1];
            if (instruction.operation != Operation::mov || !to.is_memory() || to.value != 0 || to.size != 8 ||
                to.reg == Register::none || to.index != Register::none) {
                continue;
            }
            std::vector<Source> values;
            if (from.is_register()) values = slicer.sources(from.reg, i, Slicer::AfterCall::rax_is_result);
            if (from.is_immediate()) {
                values.push_back({Source::Kind::constant, static_cast<std::uint64_t>(from.value), i, false});
            }
            const bool stores_resume = std::ranges::any_of(values, [&](const Source& value) {
                return value.kind == Source::Kind::constant && value.value == resume_function.value();
            });
            if (!stores_resume) continue;
            for (const Source& base : slicer.sources(to.reg, i, Slicer::AfterCall::rax_is_result)) {
                if (base.kind == Source::Kind::call_result && base.value == 0) frames_.insert(base.position);
            }
        }
    }

    /// Bytes from the frame's begin to what the register points to; empty when it does not point into the
    /// frame.
    std::optional<std::uint64_t> offset_in_frame(Register base, Position at) const {
        // A way that comes from elsewhere neither speaks for nor against: a handler keeps what its function
        // had in a register.
        std::optional<std::uint64_t> offset;
        bool is_own = role_ == FunctionRole::ramp;
        for (const Source& source : slicer_.sources(base, at, Slicer::AfterCall::rax_is_result)) {
            if (source.kind == Source::Kind::elsewhere) continue;
            const bool is_argument = role_ == FunctionRole::resume && source.kind == Source::Kind::argument;
            // A resume function that starts another coroutine of its kind may go on with that one's frame: a
            // recursion that became a loop.
            const bool is_new = source.kind == Source::Kind::call_result && frames_.contains(source.position);
            if ((!is_argument && !is_new) || (offset && *offset != source.value)) return std::nullopt;
            offset = source.value;
            is_own = is_own || is_argument;
        }
        return is_own ? offset : std::nullopt;
    }

  private:
    static bool names(const FunctionCode& code, RemoteAddress function) {
        return std::ranges::any_of(code.instructions(), [&](const Instruction& instruction) {
            const Operand& from = instruction.operands[1];
            return (from.is_immediate() || from.rip_relative) &&
                   static_cast<std::uint64_t>(from.value) == function.value();
        });
    }

    const Slicer& slicer_;
    const FunctionRole role_;
    std::set<Position> frames_;  // calls that return the frame
};

}  // namespace

std::vector<StoreSite> find_store_sites(const ImportedFunctions& imported, const FunctionCode& code,
                                        RemoteAddress entry, FunctionRole role, RemoteAddress resume_function,
                                        const IndexField& field) {
    std::vector<StoreSite> sites;
    const Slicer slicer(code, entry);
    const FrameBases bases(imported, code, slicer, role, resume_function);
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
        if (!to.is_memory() || to.reg == Register::none || to.index != Register::none ||
            to.thread_local_segment)
            continue;
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
        std::vector<Source> values;
        if (from.is_immediate()) {
            values.push_back({Source::Kind::constant, static_cast<std::uint64_t>(from.value), i, false});
        } else if (from.is_register() && !from.high_byte) {
            values = slicer.sources(from.reg, i, Slicer::AfterCall::rax_is_kept);
        }
        for (const Source& value : values) {
            if (value.kind != Source::Kind::constant) continue;
            sites.push_back({(value.value >> shift) & mask, i, value.position, value.through_join});
        }
    }
    return sites;
}

}  // namespace asyncdump::cpp20

#include "runtimes/cpp20/frame_variables.h"

#include <dwarf.h>

#include <algorithm>
#include <array>

#include "modules/dwarf_types.h"
#include "runtimes/cpp20/dispatch_interpreter.h"
#include "runtimes/cpp20/doubtful_places.h"
#include "runtimes/cpp20/dwarf_registers.h"
#include "runtimes/cpp20/frame_locals.h"
#include "values/located_value.h"

namespace asyncdump::cpp20 {
namespace {

constexpr std::size_t most_places_of_a_variable = 4;
constexpr std::size_t most_variables_of_a_frame = 64;

/// The resume function's machine state seen from a real frame. Its stack no longer exists: the words of it
/// that are known stand at addresses that no process can have.
class ResumedState final : public Memory {
  public:
    ResumedState(const Memory& memory, RemoteAddress frame, const FrameKnowledge& knowledge)
        : memory_(memory), frame_(frame), knowledge_(knowledge) {}

    std::optional<std::uint64_t> register_value(unsigned number) const {
        if (number >= register_of_dwarf_number.size()) return std::nullopt;
        const auto held = knowledge_.registers[static_cast<std::size_t>(register_of_dwarf_number[number])];
        return held ? std::optional(translated(*held)) : std::nullopt;
    }

    std::uint64_t canonical_frame_address() const { return translated(FrameKnowledge::stack + 8); }

    std::size_t read(RemoteAddress address, std::span<std::byte> destination) const override {
        const std::uint64_t on_stack = address.value() - non_canonical;
        if (!FrameKnowledge::is_on_stack(on_stack)) return memory_.read(address, destination);
        const auto word =
            std::ranges::find(knowledge_.words, on_stack, &std::pair<std::uint64_t, std::uint64_t>::first);
        if (word == knowledge_.words.end() || destination.size() > 8) return 0;
        const std::uint64_t content = translated(word->second);
        std::memcpy(destination.data(), &content, destination.size());
        return destination.size();
    }

  private:
    static constexpr std::uint64_t non_canonical = 0xA000'0000'0000'0000;

    std::uint64_t translated(std::uint64_t address) const {
        if (FrameKnowledge::is_in_frame(address)) return address - FrameKnowledge::frame + frame_.value();
        return address + non_canonical;
    }

    const Memory& memory_;
    RemoteAddress frame_;
    const FrameKnowledge& knowledge_;
};

/// A place that belongs to the frame or to what its pointers lead to: not to the resume function's own stack,
/// of which nothing is left.
bool is_on_lost_stack(const LocationPiece& piece) {
    return piece.kind == LocationPiece::Kind::memory && piece.address.value() >= 0x8000'0000'0000'0000;
}

LocationContext context_of(const ResumedState& state, const CoroutineCode& code, RemoteAddress frame,
                           Dwarf_Die function) {
    LocationContext context{state, 0, code.module->dwarf_bias(), {}, {}, state.canonical_frame_address(), {}};
    context.register_value = [&state](unsigned number) { return state.register_value(number); };
    context.entry_value = [frame](unsigned number) {
        // The one argument of a resume function is the frame.
        const bool is_argument =
            number < register_of_dwarf_number.size() && register_of_dwarf_number[number] == Register::rdi;
        return is_argument ? std::optional(frame.value()) : std::nullopt;
    };
    Dwarf_Attribute attribute;
    if (dwarf_attr_integrate(&function, DW_AT_frame_base, &attribute) != nullptr)
        context.frame_base = attribute;
    return context;
}

bool has_no_location(const VariableEntry& entry) {
    Dwarf_Die die = entry.die;
    Dwarf_Attribute attribute;
    return dwarf_attr_integrate(&die, DW_AT_location, &attribute) == nullptr &&
           dwarf_attr_integrate(&die, DW_AT_const_value, &attribute) == nullptr;
}

std::span<const DispatchTrace::Place> places_of(const SuspendPoint& point) {
    if (point.resumed == nullptr) return {};
    return point.resumed->places;
}

/// The variable's place in the frame (in FrameKnowledge's addresses) by the location that is valid there;
/// empty when it lies elsewhere.
std::optional<std::uint64_t> address_in_frame(Dwarf_Die variable, const Module& module,
                                              const DispatchTrace::Place& place) {
    Dwarf_Attribute attribute;
    Dwarf_Op* operations = nullptr;
    std::size_t count = 0;
    if (dwarf_attr_integrate(&variable, DW_AT_location, &attribute) == nullptr ||
        dwarf_getlocation_addr(&attribute, module.to_dwarf(place.address), &operations, &count, 1) != 1 ||
        count != 1 || operations[0].atom < DW_OP_breg0 || operations[0].atom > DW_OP_breg15) {
        return std::nullopt;
    }
    const Register base = register_of_dwarf_number[operations[0].atom - DW_OP_breg0];
    const auto held = place.knowledge.registers[static_cast<std::size_t>(base)];
    if (!held || !FrameKnowledge::is_in_frame(*held + operations[0].number)) return std::nullopt;
    return *held + operations[0].number;
}

/// Whether the location that is valid there names values, or parts that lie apart: of a variable that is told
/// so only after some code was executed, that code may have made them.
bool is_made_of_parts(Dwarf_Die variable, const Module& module, const DispatchTrace::Place& place) {
    Dwarf_Attribute attribute;
    Dwarf_Op* operations = nullptr;
    std::size_t count = 0;
    if (dwarf_attr_integrate(&variable, DW_AT_location, &attribute) == nullptr ||
        dwarf_getlocation_addr(&attribute, module.to_dwarf(place.address), &operations, &count, 1) != 1)
        return false;
    return std::ranges::any_of(std::span(operations, count), [](const Dwarf_Op& operation) {
        return operation.atom == DW_OP_piece || operation.atom == DW_OP_stack_value ||
               operation.atom == DW_OP_implicit_value;
    });
}

/// A variable whose location begins to be valid at places[first] gets its value only there when what is
/// executed before writes it: it is what the co_await gives.
bool is_written_before(Dwarf_Die variable, std::uint64_t size, const Module& module,
                       std::span<const DispatchTrace::Place> places, std::size_t first) {
    const auto begin = address_in_frame(variable, module, places[first]);
    if (!begin) return false;
    return std::ranges::any_of(places.first(first), [&](const DispatchTrace::Place& place) {
        constexpr std::size_t longest_instruction = 15;
        std::array<std::byte, longest_instruction> bytes{};
        const std::size_t count = module.read_file_bytes(place.address, bytes);
        const Instruction instruction = decode(std::span(bytes).first(count), place.address);
        const Operand& to = instruction.operands[0];
        const bool writes =
            instruction.operation == Operation::mov || instruction.operation == Operation::opaque;
        if (!writes || !to.is_memory() || to.reg == Register::none || to.index != Register::none)
            return false;
        const auto held = place.knowledge.registers[static_cast<std::size_t>(to.reg)];
        if (!held) return false;
        const std::uint64_t written = *held + static_cast<std::uint64_t>(to.value);
        return written < *begin + size && *begin < written + to.size;
    });
}

/// Of variables that follow each other in the frame's layout under one name (in different blocks) the one
/// with the same place in the order of the debug information.
const FrameField* field_of(const FrameLayout& layout, const FunctionVariables& variables,
                           const VariableEntry& entry) {
    std::size_t before = 0;
    for (const VariableEntry& other : variables.variables) {
        if (&other == &entry) break;
        if (other.name == entry.name) ++before;
    }
    for (const FrameField& field : layout.members) {
        if (field.role != FrameField::Role::parameter && field.role != FrameField::Role::local) continue;
        if (field.name == entry.name && before-- == 0) return &field;
    }
    return nullptr;
}

}  // namespace

bool FrameVariables::is_compilers_own(std::string_view name) {
    if (name.starts_with("_Coro_") || name == "frame_ptr" || name == "frame_pointer" ||
        name.starts_with("__coro_") || name == "__promise" || name == "Is" || name == "Fs") {
        return true;
    }
    // GCC's awaiters: Aw0, Yd3.
    return (name.starts_with("Aw") || name.starts_with("Yd")) && name.size() > 2 &&
           std::ranges::all_of(name.substr(2), [](char c) { return c >= '0' && c <= '9'; });
}

std::optional<std::uint32_t> FrameVariables::home_of(const CoroutineCode& code, const SuspendPoint& point,
                                                     const VariableEntry& entry) {
    if (!has_no_location(entry)) return std::nullopt;
    auto& homes = homes_[code.resume.begin.value()];
    if (homes == nullptr) {
        const auto imported = imported_.try_emplace(code.module, *code.module).first;
        homes = std::make_unique<FrameHomes>(code, imported->second);
    }
    const auto home = homes->of(entry);
    if (!home) return std::nullopt;
    const bool is_believed =
        (point.suspended_by_ramp ? home->until_end : home->is_always_current) &&
        is_current(code, point, home->offset, home->offset + type_size(entry.type).value_or(1));
    return is_believed ? std::optional(home->offset) : std::nullopt;
}

bool FrameVariables::is_current(const CoroutineCode& code, const SuspendPoint& point, std::uint64_t begin,
                                std::uint64_t end) {
    return point.kind == SuspendPoint::Kind::initial || resolver_.is_used(code, point, begin, end);
}

void FrameVariables::doubt_optimised(const CoroutineCode& code, const SuspendPoint& point, Live& live) {
    const auto places = places_of(point);
    std::erase_if(live.places, [&](std::size_t at) {
        const auto parts =
            optimised_places(*live.entry, code.module->to_dwarf(places[at].address), places[at].knowledge);
        return !parts.empty() && std::ranges::none_of(parts, [&](const AddressRange& part) {
            return is_current(code, point, part.begin.value() - FrameKnowledge::frame,
                              part.end.value() - FrameKnowledge::frame);
        });
    });
    if (!has_constants(*live.entry)) return;
    const Function* ramp = code.ramp.size() != 0 ? function_at(*code.module, code.ramp.begin) : nullptr;
    live.believes_constants = is_constant_throughout(
        *live.entry, ramp != nullptr ? find_same(ramp->variables, *live.entry) : nullptr);
}

const FrameVariables::Function* FrameVariables::function_at(const Module& module, RemoteAddress entry) {
    const auto [cached, is_new] = functions_.try_emplace(entry.value());
    if (is_new) {
        if (const auto die = module.subprogram_at(entry))
            cached->second = Function{*die, read_function_variables(*die)};
    }
    return cached->second ? &*cached->second : nullptr;
}

const FrameVariables::LiveAtPoint& FrameVariables::live_at(const CoroutineCode& code,
                                                           const FrameLayout& layout,
                                                           const SuspendPoint& point) {
    const auto [cached, is_new] = live_.try_emplace({code.resume.begin.value(), &point});
    std::vector<Live>& live = cached->second.first;
    const Function* function = is_new ? function_at(*code.module, code.resume.begin) : nullptr;
    if (function == nullptr) return cached->second;

    using Kind = SuspendPoint::Kind;
    const bool in_body = point.kind == Kind::await || point.kind == Kind::yield;
    const auto places = places_of(point);
    for (const VariableEntry& entry : function->variables.variables) {
        if (entry.name.empty() || is_compilers_own(entry.name)) continue;
        const FrameField* field =
            code.compiler == Compiler::gcc ? field_of(layout, function->variables, entry) : nullptr;
        // GCC lists the parameters as artificial variables of the function itself.
        const bool is_parameter =
            entry.is_parameter || (field != nullptr && field->role == FrameField::Role::parameter);
        if (entry.is_artificial && !is_parameter) continue;
        if (!is_parameter) {
            if (!in_body || !is_declared_before(entry.name, entry.line, entry.column, point)) continue;
            const bool covered = std::ranges::any_of(places, [&](const DispatchTrace::Place& place) {
                return function->variables.covers(entry.block, code.module->to_dwarf(place.address));
            });
            if (!covered) continue;
        }
        Live found;
        found.entry = &entry;
        found.name = entry.name;
        found.type = &types_.of(entry.type);
        found.is_parameter = is_parameter;
        if (field != nullptr) found.frame_offset = field->offset;
        for (std::size_t i = 0; i < places.size() && found.places.size() < most_places_of_a_variable; ++i) {
            if (has_location(entry.die, code.module->to_dwarf(places[i].address))) found.places.push_back(i);
        }
        if (!is_parameter && !found.places.empty() && found.places.front() > 0 &&
            is_written_before(entry.die, type_size(entry.type).value_or(1), *code.module, places,
                              found.places.front())) {
            continue;
        }
        std::erase_if(found.places, [&](std::size_t at) {
            return at > 0 && is_made_of_parts(entry.die, *code.module, places[at]);
        });
        if (code.compiler == Compiler::clang) doubt_optimised(code, point, found);
        if (found.places.empty() && !found.frame_offset && code.compiler == Compiler::clang)
            found.frame_offset = home_of(code, point, entry);
        if (live.size() < most_variables_of_a_frame)
            live.push_back(std::move(found));
        else
            ++cached->second.left_out;
    }
    std::ranges::stable_partition(live, &Live::is_parameter);
    return cached->second;
}

FrameVariables::Values FrameVariables::read(const Memory& memory, const Frame& frame,
                                            const CoroutineCode& code, const FrameLayout& layout,
                                            const SuspendPoint& point, const ValueNames& names) {
    Values result;
    const Function* function = function_at(*code.module, code.resume.begin);
    if (function == nullptr) return result;
    const auto places = places_of(point);
    const LiveAtPoint& alive = live_at(code, layout, point);
    result.left_out = alive.left_out;
    for (const Live& live : alive.first) {
        std::vector<LocationPiece> pieces;
        if (live.frame_offset) {
            pieces.push_back({LocationPiece::Kind::memory, frame.address + *live.frame_offset, {}, 0});
        }
        for (std::size_t i = 0; pieces.empty() && i < live.places.size(); ++i) {
            const DispatchTrace::Place& place = places[live.places[i]];
            const ResumedState state(memory, frame.address, place.knowledge);
            LocationContext context = context_of(state, code, frame.address, function->die);
            context.pc = code.module->to_dwarf(place.address);
            pieces = locate(live.entry->die, context);
        }
        if (!live.believes_constants) {
            for (LocationPiece& piece : pieces) {
                if (piece.is_constant) piece = {LocationPiece::Kind::unknown, {}, {}, piece.size, false};
            }
        }
        const bool is_unknown = std::ranges::all_of(
            pieces, [](const auto& piece) { return piece.kind == LocationPiece::Kind::unknown; });
        if (is_unknown) pieces.clear();
        // Where the function goes on is not known: nothing can be said of what has no fixed place.
        if (pieces.empty() && point.resumed == nullptr) continue;
        if (std::ranges::any_of(pieces, is_on_lost_stack)) continue;
        result.variables.push_back({live.name, live.type->name(),
                                    print_located(memory, *live.type, pieces, names), live.is_parameter});
    }
    return result;
}

}  // namespace asyncdump::cpp20

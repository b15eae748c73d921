#include "runtimes/cpp20/awaiter_object.h"

#include <dwarf.h>

#include <algorithm>

#include "modules/dwarf_types.h"
#include "modules/dwarf_walk.h"
#include "runtimes/cpp20/dispatch_interpreter.h"
#include "runtimes/cpp20/function_debug_info.h"
#include "runtimes/cpp20/wait_kinds.h"
#include "values/value_writer.h"

namespace asyncdump::cpp20 {
namespace {

constexpr std::size_t most_fields = 8;
constexpr int deepest_base = 4;
constexpr std::size_t most_pointers = 16;

/// The class of which `function` is a member, by the type of its first parameter, `this`.
std::optional<Dwarf_Die> class_of(Dwarf_Die function) {
    Dwarf_Die child;
    if (dwarf_child(&function, &child) != 0) return std::nullopt;
    do {
        if (dwarf_tag(&child) != DW_TAG_formal_parameter) continue;
        const auto type = type_of(child);
        return type ? pointee(*type) : std::nullopt;
    } while (go_to_sibling(child));
    return std::nullopt;
}

/// The await_resume that is the first function to be called when the coroutine goes on.
std::optional<Dwarf_Die> resumed_function(const CoroutineCode& code, const SuspendPoint& point) {
    const DispatchTrace* trace = point.resumed.get();
    if (trace == nullptr || trace->stop != DispatchTrace::Stop::call) return std::nullopt;
    const Symbol* symbol = code.module->symbol_at(trace->called);
    if (symbol == nullptr || await_role(symbol->name) != AwaitRole::await_resume) return std::nullopt;
    return code.module->subprogram_at(trace->called);
}

bool is_class(Dwarf_Die type) {
    Dwarf_Die stripped = strip_typedefs(type);
    const int tag = dwarf_tag(&stripped);
    return tag == DW_TAG_class_type || tag == DW_TAG_structure_type || tag == DW_TAG_union_type;
}

/// `this` of the function that is called where the coroutine goes on: behind the place for the result where
/// an object is returned through memory.
std::optional<std::uint64_t> this_argument(Dwarf_Die function, const DispatchTrace& trace) {
    const auto result = type_of(function);
    if (!result || !is_class(*result)) return trace.first_argument;
    const auto in_memory = is_returned_in_memory(*result);
    if (!in_memory) return std::nullopt;
    return *in_memory ? trace.second_argument : trace.first_argument;
}

void add_pointers(Dwarf_Die type, std::uint32_t offset, int depth, std::vector<AwaiterPointer>& pointers) {
    if (depth > deepest_base || pointers.size() >= most_pointers) return;
    const Dwarf_Die stripped = strip_typedefs(type);
    if (is_pointer(stripped)) {
        const auto target = pointee(stripped);
        const auto size = target ? type_size(*target) : std::nullopt;
        if (size) pointers.push_back({offset, *size});
        return;
    }
    for_each_member(stripped, [&](const DwarfMember& member) {
        add_pointers(member.type, offset + member.offset, depth + 1, pointers);
        return true;
    });
}

struct HeldField {
    std::uint32_t offset = 0;
    WaitKind kind = WaitKind::unknown;
    std::string type;
};

/// A pointer or reference to something that is waited for, among the fields and base classes.
std::optional<HeldField> find_held(const ValueType& type, std::uint32_t offset, int depth) {
    for (const ValueField& field : type.fields()) {
        const ValueType* target = field.type->target();
        const bool leads_on = field.type->kind() == ValueType::Kind::pointer ||
                              field.type->kind() == ValueType::Kind::reference;
        if (leads_on && target != nullptr && target->kind() == ValueType::Kind::record) {
            const WaitKind kind = wait_kind_of_object(target->name());
            if (kind != WaitKind::unknown) return HeldField{offset + field.offset, kind, target->name()};
        }
        if (field.is_base && depth < deepest_base) {
            if (auto found = find_held(*field.type, offset + field.offset, depth + 1)) return found;
        }
    }
    return std::nullopt;
}

}  // namespace

std::optional<Dwarf_Die> class_of_resumed_awaiter(const CoroutineCode& code, const SuspendPoint& point) {
    const auto function = resumed_function(code, point);
    return function ? class_of(*function) : std::nullopt;
}

std::optional<ResumedAwaiter> resumed_awaiter(const CoroutineCode& code, const SuspendPoint& point) {
    const auto function = resumed_function(code, point);
    if (!function) return std::nullopt;
    const auto type = class_of(*function);
    const auto argument = this_argument(*function, *point.resumed);
    if (!type || !argument || !FrameKnowledge::is_in_frame(*argument)) return std::nullopt;
    return ResumedAwaiter{*type, static_cast<std::uint32_t>(*argument - FrameKnowledge::frame)};
}

std::vector<AwaiterPointer> pointers_of_awaiter(const Dwarf_Die& type) {
    std::vector<AwaiterPointer> pointers;
    add_pointers(type, 0, 0, pointers);
    return pointers;
}

AwaiterObjects::Place AwaiterObjects::find(const CoroutineCode& code, const FrameView& view) {
    Place place;
    using Kind = SuspendPoint::Kind;
    if (view.point == nullptr || (view.point->kind != Kind::await && view.point->kind != Kind::yield))
        return place;
    if (view.awaiter->live.end > view.awaiter->live.begin) {
        // GCC's frame type has it as a member. Where several have its type, the number decides: it is right
        // when every await has a member.
        std::size_t members = 0;
        const FrameField* found = nullptr;
        for (const FrameField& field : view.layout->members) {
            if (!field.is_awaiter()) continue;
            ++members;
            if (field.offset == view.awaiter->live.begin) found = &field;
        }
        if (found != nullptr && (view.awaiter->is_certain || resolver_.await_count(code) == members)) {
            place.type = &types_.of(found->type);
            place.offset = found->offset;
        }
    }
    if (place.type == nullptr && view.awaiter->described) {
        place.type = &types_.of(*view.awaiter->described);
        place.offset = view.awaiter->live.begin;
    }
    if (place.type == nullptr) {
        if (const auto resumed = resumed_awaiter(code, *view.point)) {
            place.type = &types_.of(resumed->type);
            place.offset = resumed->offset;
        }
    }
    if (place.type == nullptr) return place;
    if (const auto held = find_held(*place.type, place.offset, 0)) {
        place.held_kind = held->kind;
        place.held_offset = held->offset;
        place.held_type = held->type;
    }
    return place;
}

const AwaiterObjects::Place& AwaiterObjects::place_of(const CoroutineCode& code, const FrameView& view) {
    const auto [entry, is_new] = places_.try_emplace({code.resume.begin.value(), view.point});
    if (is_new) entry->second = find(code, view);
    return entry->second;
}

std::vector<Variable> AwaiterObjects::fields(const Memory& memory, const Frame& frame,
                                             const CoroutineCode& code, const FrameView& view,
                                             const ValueNames& names) {
    std::vector<Variable> result;
    const Place& place = place_of(code, view);
    if (place.type == nullptr) return result;
    for (const ValueField& field : place.type->fields()) {
        if (result.size() >= most_fields) break;
        if (field.name.empty() || field.name.starts_with("_vptr") || field.bit_size) continue;
        const ValueAt value{field.type, frame.address + place.offset + field.offset};
        result.push_back({field.name, field.type->name(), print_value(memory, value, names), false});
    }
    return result;
}

std::optional<AwaiterObjects::Held> AwaiterObjects::held(const Memory& memory, const Frame& frame,
                                                         const CoroutineCode& code, const FrameView& view) {
    const Place& place = place_of(code, view);
    if (place.held_type.empty()) return std::nullopt;
    const auto address = memory.read_pointer(frame.address + place.held_offset);
    if (!address || address->is_null()) return std::nullopt;
    return Held{place.held_kind, *address, place.held_type};
}

}  // namespace asyncdump::cpp20

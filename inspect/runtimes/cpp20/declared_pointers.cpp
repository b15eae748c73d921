#include "runtimes/cpp20/declared_pointers.h"

#include <dwarf.h>

#include <algorithm>
#include <array>

#include "modules/dwarf_types.h"

namespace asyncdump::cpp20 {
namespace {

/// Bound what damaged debug information can cost: types within types, each with many of the next.
constexpr int deepest_member = 8;
constexpr std::size_t most_words = 4096;

bool is_plain_data(Dwarf_Die type) {
    Dwarf_Die stripped = strip_typedefs(type);
    const int tag = dwarf_tag(&stripped);
    return tag == DW_TAG_base_type || tag == DW_TAG_enumeration_type;
}

bool leads_to_array(Dwarf_Die target, std::string_view member) {
    static constexpr std::array<std::string_view, 7> bounds = {
        "_M_start", "_M_finish", "_M_end_of_storage", "_M_first", "_M_last", "__begin_", "__end_"};
    if (std::ranges::find(bounds, member) != bounds.end()) return true;
    const Dwarf_Die element = strip_typedefs(target);
    return is_pointer(element) || die_name(element).starts_with("coroutine_handle<");
}

/// 0 where the object may be one of a derived class: it has virtual functions, or is linked to others of its
/// kind, as the nodes of lists are.
std::uint32_t bytes_of_object(Dwarf_Die type) {
    Dwarf_Die object = strip_typedefs(type);
    if (dwarf_hasattr(&object, DW_AT_containing_type) != 0) return 0;
    bool is_linked = false;
    for_each_member(object, [&](const DwarfMember& member) {
        const auto target = pointee(member.type);
        is_linked = target && strip_typedefs(*target).addr == object.addr;
        return !is_linked;
    });
    return is_linked ? 0 : type_size(object).value_or(0);
}

void add_pointer(Dwarf_Die pointer, std::string_view member, std::uint32_t offset, DeclaredPointers& found) {
    const auto target = pointee(pointer);
    if (!target) return;
    const bool is_array = leads_to_array(*target, member);
    if (is_plain_data(*target)) found.to_plain_data.push_back(offset);
    if (is_array) found.to_arrays.push_back(offset);
    const std::uint32_t bytes = is_array ? 0 : bytes_of_object(*target);
    if (bytes != 0) found.to_objects.push_back({offset, bytes});
}

}  // namespace

const DeclaredPointers& DeclaredPointersOfTypes::of(Dwarf_Die type) {
    return find(type, 0);
}

const DeclaredPointers& DeclaredPointersOfTypes::find(Dwarf_Die type, int depth) {
    static const DeclaredPointers none;
    const Dwarf_Die stripped = strip_typedefs(type);
    if (depth > deepest_member) return none;
    // A type that contains itself, as none can, finds itself empty.
    const auto [entry, is_new] = known_.try_emplace(stripped.addr);
    DeclaredPointers& pointers = entry->second;
    if (!is_new) return pointers;
    DeclaredPointers found;
    for_each_member(stripped, [&](const DwarfMember& member) {
        const Dwarf_Die member_type = strip_typedefs(member.type);
        if (is_pointer(member_type)) {
            add_pointer(member_type, member.name, member.offset, found);
        } else {
            const DeclaredPointers& inner = find(member_type, depth + 1);
            for (const std::uint32_t offset : inner.to_plain_data)
                found.to_plain_data.push_back(member.offset + offset);
            for (const std::uint32_t offset : inner.to_arrays)
                found.to_arrays.push_back(member.offset + offset);
            for (const DeclaredPointers::ToObject& object : inner.to_objects)
                found.to_objects.push_back({member.offset + object.offset, object.bytes});
        }
        return found.to_plain_data.size() + found.to_arrays.size() + found.to_objects.size() < most_words;
    });
    if (is_pointer(stripped)) add_pointer(stripped, "", 0, found);
    pointers = std::move(found);
    return pointers;
}

}  // namespace asyncdump::cpp20

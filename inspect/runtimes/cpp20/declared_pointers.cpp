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

void add_pointer(Dwarf_Die pointer, std::string_view member, std::uint32_t offset, DeclaredPointers& found) {
    const auto target = pointee(pointer);
    if (target && is_plain_data(*target)) found.to_plain_data.push_back(offset);
    if (leads_to_array(pointer, member)) found.to_arrays.push_back(offset);
}

}  // namespace

bool leads_to_array(Dwarf_Die pointer, std::string_view member) {
    static constexpr std::array<std::string_view, 7> bounds = {
        "_M_start", "_M_finish", "_M_end_of_storage", "_M_first", "_M_last", "__begin_", "__end_"};
    if (std::ranges::find(bounds, member) != bounds.end()) return true;
    const auto target = pointee(pointer);
    if (!target) return false;
    const Dwarf_Die element = strip_typedefs(*target);
    return is_pointer(element) || die_name(element).starts_with("coroutine_handle<");
}

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
        }
        return found.to_plain_data.size() + found.to_arrays.size() < most_words;
    });
    if (is_pointer(stripped)) add_pointer(stripped, "", 0, found);
    pointers = std::move(found);
    return pointers;
}

}  // namespace asyncdump::cpp20

#include "runtimes/cpp20/plain_data.h"

#include <dwarf.h>

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

}  // namespace

std::span<const std::uint32_t> PlainDataWords::of(Dwarf_Die type) {
    return find(type, 0);
}

std::span<const std::uint32_t> PlainDataWords::find(Dwarf_Die type, int depth) {
    const Dwarf_Die stripped = strip_typedefs(type);
    if (depth > deepest_member) return {};
    // A type that contains itself, as none can, finds itself empty.
    const auto [entry, is_new] = known_.try_emplace(stripped.addr);
    std::vector<std::uint32_t>& words = entry->second;
    if (!is_new) return words;
    std::vector<std::uint32_t> found;
    if (is_pointer(stripped)) {
        const auto target = pointee(stripped);
        if (target && is_plain_data(*target)) found.push_back(0);
    } else {
        for_each_member(stripped, [&](const DwarfMember& member) {
            for (const std::uint32_t offset : find(member.type, depth + 1))
                found.push_back(member.offset + offset);
            return found.size() < most_words;
        });
    }
    words = std::move(found);
    return words;
}

}  // namespace asyncdump::cpp20

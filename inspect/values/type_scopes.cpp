#include "values/type_scopes.h"

#include <dwarf.h>

#include "modules/dwarf_types.h"
#include "modules/dwarf_walk.h"

namespace asyncdump {
namespace {

constexpr int deepest_scope = 64;

bool is_scope(int tag) {
    return tag == DW_TAG_namespace || tag == DW_TAG_structure_type || tag == DW_TAG_class_type ||
           tag == DW_TAG_union_type || tag == DW_TAG_enumeration_type;
}

/// Scopes that may hold types and give them no name.
bool is_passed_through(int tag) {
    return tag == DW_TAG_subprogram || tag == DW_TAG_lexical_block || tag == DW_TAG_inlined_subroutine;
}

}  // namespace

void TypeScopes::read_unit(Dwarf_Die unit) {
    struct Level {
        Dwarf_Die die;
        std::uint32_t parent;
    };
    OncePerDie once;
    std::vector<Level> open;
    Dwarf_Die child;
    if (dwarf_child(&unit, &child) != 0) return;
    open.push_back({child, none});
    while (!open.empty()) {
        Level& level = open.back();
        Dwarf_Die die = level.die;
        const std::uint32_t parent = level.parent;
        if (!once.is_new(die)) {
            open.pop_back();
            continue;
        }
        // The next sibling is found before the children are walked: the level may move in memory.
        if (!go_to_sibling(level.die)) open.pop_back();
        const int tag = dwarf_tag(&die);
        if (!is_scope(tag) && !is_passed_through(tag)) continue;
        std::uint32_t own = parent;
        if (is_scope(tag)) {
            own = static_cast<std::uint32_t>(scopes_.size());
            scopes_.push_back({die, parent});
            index_.emplace(die.addr, own);
        }
        if (open.size() < deepest_scope && dwarf_child(&die, &child) == 0) open.push_back({child, own});
    }
}

std::string TypeScopes::qualified_name(Dwarf_Die type) {
    std::string name = die_name(type);
    if (name.empty() || !is_scope(dwarf_tag(&type))) return name;
    Dwarf_Die unit;
    if (dwarf_diecu(&type, &unit, nullptr, nullptr) != nullptr && units_.try_emplace(unit.addr, true).second)
        read_unit(unit);
    const auto found = index_.find(type.addr);
    if (found == index_.end()) return name;
    std::uint32_t scope = scopes_[found->second].parent;
    for (int depth = 0; scope != none && depth < deepest_scope; ++depth) {
        const std::string outer = die_name(scopes_[scope].die);
        const bool is_namespace = dwarf_tag(&scopes_[scope].die) == DW_TAG_namespace;
        name.insert(0, (!outer.empty() ? outer
                        : is_namespace ? "(anonymous namespace)"
                                       : "(anonymous)") +
                           "::");
        scope = scopes_[scope].parent;
    }
    return name;
}

}  // namespace asyncdump

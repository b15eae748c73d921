#include "values/type_scopes.h"

#include <dwarf.h>

#include "modules/dwarf_types.h"
#include "modules/unit_outlines.h"

namespace asyncdump {
namespace {

bool is_scope(int tag) {
    return tag == DW_TAG_namespace || tag == DW_TAG_structure_type || tag == DW_TAG_class_type ||
           tag == DW_TAG_union_type || tag == DW_TAG_enumeration_type;
}

}  // namespace

std::string scoped_type_name(Dwarf_Die type) {
    std::string name = die_name(type);
    if (name.empty() || !is_scope(dwarf_tag(&type))) return name;
    for (Dwarf_Die& scope : scopes_around(type)) {
        const std::string outer = die_name(scope);
        const bool is_namespace = dwarf_tag(&scope) == DW_TAG_namespace;
        name.insert(0, (!outer.empty() ? outer
                        : is_namespace ? "(anonymous namespace)"
                                       : "(anonymous)") +
                           "::");
    }
    return name;
}

}  // namespace asyncdump

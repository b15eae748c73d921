#include "values/type_definitions.h"

#include <dwarf.h>

#include "modules/dwarf_types.h"
#include "modules/dwarf_walk.h"

namespace asyncdump {
namespace {

constexpr int deepest_scope = 16;
/// Reading the names costs some 100 ns an entry: 0.3 s at most, before the target is stopped.
constexpr std::size_t most_entries = 3'000'000;

bool is_record(int tag) {
    return tag == DW_TAG_structure_type || tag == DW_TAG_class_type || tag == DW_TAG_union_type;
}

bool is_declaration(Dwarf_Die die) {
    Dwarf_Attribute attribute;
    return dwarf_attr(&die, DW_AT_declaration, &attribute) != nullptr;
}

struct NameReader {
    std::unordered_map<std::string, Dwarf_Die>& names;
    OncePerDie once;
    std::size_t entries = 0;

    void read(Dwarf_Die scope, const std::string& prefix, int depth) {
        Dwarf_Die child;
        if (depth > deepest_scope || dwarf_child(&scope, &child) != 0) return;
        do {
            if (++entries > most_entries || !once.is_new(child)) return;
            const int tag = dwarf_tag(&child);
            if (tag != DW_TAG_namespace && !is_record(tag)) continue;
            const char* own = dwarf_diename(&child);
            if (own == nullptr && tag != DW_TAG_namespace) continue;
            const std::string name = prefix + (own != nullptr ? own : "(anonymous namespace)");
            if (is_record(tag) && !is_declaration(child)) names.try_emplace(name, child);
            read(child, name + "::", depth + 1);
        } while (go_to_sibling(child));
    }
};

}  // namespace

const TypeDefinitions::Names& TypeDefinitions::names_of(Dwarf* dwarf) {
    const auto [entry, is_new] = files_.try_emplace(dwarf);
    if (!is_new) return entry->second;
    NameReader reader{entry->second, {}, 0};
    Dwarf_CU* unit = nullptr;
    Dwarf_Die root;
    while (dwarf_get_units(dwarf, unit, &unit, nullptr, nullptr, &root, nullptr) == 0) {
        reader.once = {};
        reader.read(root, "", 0);
        if (reader.entries > most_entries) break;
    }
    return entry->second;
}

std::optional<Dwarf_Die> TypeDefinitions::definition_of(Dwarf_Die type, const std::string& qualified_name) {
    type = strip_typedefs(type);
    if (!is_declaration(type)) return type;
    Dwarf* const dwarf = dwarf_cu_getdwarf(type.cu);
    if (dwarf == nullptr) return std::nullopt;
    const Names& names = names_of(dwarf);
    const auto found = names.find(qualified_name);
    return found == names.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace asyncdump

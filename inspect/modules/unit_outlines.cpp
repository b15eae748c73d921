#include "modules/unit_outlines.h"

#include <dwarf.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <mutex>

#include "modules/cache_bytes.h"

namespace asyncdump {
namespace {

constexpr std::size_t deepest_scope = 256;

/// DIEs do not tell whose they are, and what asks for their scopes has nothing else.
struct Registry {
    std::mutex mutex;
    std::unordered_map<Dwarf*, UnitOutlines*> outlines;

    static Registry& instance() {
        static Registry registry;
        return registry;
    }
};

bool is_scope(int tag) {
    return tag == DW_TAG_namespace || tag == DW_TAG_structure_type || tag == DW_TAG_class_type ||
           tag == DW_TAG_union_type || tag == DW_TAG_enumeration_type;
}

std::uint32_t hash_of(std::string_view name) {
    return static_cast<std::uint32_t>(std::hash<std::string_view>{}(name));
}

/// Units of .debug_types (DWARF 4) have offsets of their own.
std::uint64_t cache_id_of(Dwarf_Die root) {
    Dwarf_Half version = 0;
    std::uint8_t type = 0;
    const bool is_known =
        dwarf_cu_info(root.cu, &version, &type, nullptr, nullptr, nullptr, nullptr, nullptr) == 0;
    const bool has_own_section = is_known && version < 5 && type == DW_UT_type;
    return dwarf_dieoffset(&root) | (has_own_section ? std::uint64_t{1} << 63 : 0);
}

/// Walks the unit: for a Dwarf that nobody outlines, and for what no outline knows.
std::vector<Dwarf_Die> scopes_by_walking(Dwarf_Die type) {
    std::vector<Dwarf_Die> around;
    Dwarf_Die* scopes = nullptr;
    const int count = dwarf_getscopes_die(&type, &scopes);
    for (int i = 1; i < count; ++i)
        if (is_scope(dwarf_tag(&scopes[i]))) around.push_back(scopes[i]);
    std::free(scopes);
    return around;
}

}  // namespace

UnitOutlines::UnitOutlines(Dwarf* dwarf, ModuleCache* cache) : dwarf_(dwarf), cache_(cache) {
    Registry& registry = Registry::instance();
    const std::scoped_lock lock(registry.mutex);
    registry.outlines[dwarf_] = this;
}

UnitOutlines::~UnitOutlines() {
    Registry& registry = Registry::instance();
    const std::scoped_lock lock(registry.mutex);
    registry.outlines.erase(dwarf_);
}

const LineTable& UnitOutlines::lines(const Dwarf_Die& root) {
    return lines_.try_emplace(root.addr, root).first->second;
}

UnitOutlines* UnitOutlines::of(const Dwarf_Die& die) {
    Registry& registry = Registry::instance();
    const std::scoped_lock lock(registry.mutex);
    const auto found = registry.outlines.find(dwarf_cu_getdwarf(die.cu));
    return found == registry.outlines.end() ? nullptr : found->second;
}

const UnitOutline& UnitOutlines::at(const Dwarf_Die& root) {
    const auto [entry, is_new] = outlines_.try_emplace(root.addr);
    if (!is_new) return entry->second;
    const std::uint64_t id = cache_id_of(root);
    const auto kept = cache_ ? cache_->find(ModuleCache::Kind::unit_outline, id) : std::nullopt;
    if (auto outline = kept ? UnitOutline::from_bytes(root, *kept) : std::nullopt) {
        entry->second = std::move(*outline);
        return entry->second;
    }
    entry->second = UnitOutline::read(root);
    if (cache_) cache_->put(ModuleCache::Kind::unit_outline, id, entry->second.to_bytes(root));
    return entry->second;
}

std::vector<UnitOutlines::ClassName> UnitOutlines::read_class_names(const Dwarf_Die& root,
                                                                    const UnitOutline& outline) {
    std::vector<ClassName> names;
    for (const UnitOutline::Scope& scope : outline.scopes) {
        const bool is_class = scope.tag == DW_TAG_structure_type || scope.tag == DW_TAG_class_type;
        if (!is_class || scope.is_declaration != 0) continue;
        Dwarf_Die die = die_at(root, scope.place);
        const char* const name = dwarf_diename(&die);
        // Of tens of thousands of long names: not even their length is of interest.
        if (name != nullptr) names.push_back({hash_of({name, std::strcspn(name, "<")}), scope.place});
    }
    std::ranges::stable_sort(names, {}, &ClassName::hash);
    return names;
}

const std::vector<UnitOutlines::ClassName>& UnitOutlines::class_names(const Dwarf_Die& root) {
    const auto [entry, is_new] = class_names_.try_emplace(root.addr);
    std::vector<ClassName>& names = entry->second;
    if (!is_new) return names;
    const std::uint64_t id = cache_id_of(root);
    if (const auto kept = cache_ ? cache_->find(ModuleCache::Kind::class_names, id) : std::nullopt) {
        CacheReader reader(*kept);
        names = reader.list<ClassName>();
        if (reader.complete() && std::ranges::is_sorted(names, {}, &ClassName::hash)) return names;
    }
    names = read_class_names(root, at(root));
    if (cache_) {
        CacheWriter writer;
        writer.list(names);
        cache_->put(ModuleCache::Kind::class_names, id, writer.take());
    }
    return names;
}

std::vector<Dwarf_Die> UnitOutlines::classes_named(const Dwarf_Die& root, std::string_view name) {
    UnitOutlines* const outlines = of(root);
    const UnitOutline own_outline = outlines == nullptr ? UnitOutline::read(root) : UnitOutline();
    const UnitOutline& outline = outlines != nullptr ? outlines->at(root) : own_outline;
    const std::vector<ClassName> own_names =
        outlines == nullptr ? read_class_names(root, outline) : std::vector<ClassName>();
    const std::vector<ClassName>& names = outlines != nullptr ? outlines->class_names(root) : own_names;
    std::vector<Dwarf_Die> classes;
    for (const ClassName& known : std::ranges::equal_range(names, hash_of(name), {}, &ClassName::hash)) {
        const Dwarf_Die die = die_at(root, known.place);
        // A cache may say anything.
        if (outline.find(root, die) != UnitOutline::none) classes.push_back(die);
    }
    return classes;
}

std::vector<Dwarf_Die> scopes_around(Dwarf_Die type) {
    // What was only declared where it belongs (a class in a class; in GCC's units of one type, all) is
    // defined elsewhere in the unit.
    Dwarf_Attribute attribute;
    Dwarf_Die declaration, root;
    if (dwarf_attr(&type, DW_AT_specification, &attribute) != nullptr &&
        dwarf_formref_die(&attribute, &declaration) != nullptr)
        type = declaration;
    UnitOutlines* const outlines = UnitOutlines::of(type);
    if (outlines == nullptr || dwarf_diecu(&type, &root, nullptr, nullptr) == nullptr)
        return scopes_by_walking(type);
    const UnitOutline& outline = outlines->at(root);
    std::uint32_t scope = outline.find(root, type);
    if (scope == UnitOutline::none) return scopes_by_walking(type);
    std::vector<Dwarf_Die> around;
    while ((scope = outline.scopes[scope].parent) != UnitOutline::none && around.size() < deepest_scope)
        around.push_back(die_at(root, outline.scopes[scope].place));
    return around;
}

}  // namespace asyncdump

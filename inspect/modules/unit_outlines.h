#pragma once

#include <elfutils/libdw.h>

#include <string_view>
#include <unordered_map>
#include <vector>

#include "modules/line_table.h"
#include "modules/module_cache.h"
#include "modules/unit_outline.h"

namespace asyncdump {

/// Outlines and line tables of the units of one Dwarf, each read when it is first asked for. Found again by
/// every DIE of that Dwarf, so that who has a DIE can ask for what is around it.
class UnitOutlines {
  public:
    /// `cache` may be nullptr.
    UnitOutlines(Dwarf* dwarf, ModuleCache* cache);
    ~UnitOutlines();
    UnitOutlines(const UnitOutlines&) = delete;
    UnitOutlines& operator=(const UnitOutlines&) = delete;

    /// Of the Dwarf that a DIE belongs to; nullptr when none was made for it. As long as that exists.
    static UnitOutlines* of(const Dwarf_Die& die);

    const UnitOutline& at(const Dwarf_Die& root);
    const LineTable& lines(const Dwarf_Die& root);

    /// The classes that are defined in the unit and may have this name (without scope and template arguments:
    /// a hash of it is what is compared), sorted by place. Slow for a Dwarf that nobody outlines.
    static std::vector<Dwarf_Die> classes_named(const Dwarf_Die& root, std::string_view name);

  private:
    Dwarf* dwarf_;
    ModuleCache* cache_;
    struct ClassName {
        std::uint32_t hash;
        std::uint32_t place;
    };
    static std::vector<ClassName> read_class_names(const Dwarf_Die& root, const UnitOutline& outline);
    const std::vector<ClassName>& class_names(const Dwarf_Die& root);

    std::unordered_map<const void*, UnitOutline> outlines_;                ///< by the unit's root DIE
    std::unordered_map<const void*, std::vector<ClassName>> class_names_;  ///< likewise; sorted by hash
    std::unordered_map<const void*, LineTable> lines_;                     ///< likewise
};

/// Namespaces, classes, unions and enumerations around a type that is one of these itself, innermost first.
std::vector<Dwarf_Die> scopes_around(Dwarf_Die type);

}  // namespace asyncdump

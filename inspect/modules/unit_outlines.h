#pragma once

#include <elfutils/libdw.h>

#include <unordered_map>
#include <vector>

#include "modules/module_cache.h"
#include "modules/unit_outline.h"

namespace asyncdump {

/// Outlines of the units of one Dwarf, each read when it is first asked for. Found again by every DIE of that
/// Dwarf, so that who has a DIE can ask for what is around it.
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

  private:
    Dwarf* dwarf_;
    ModuleCache* cache_;
    std::unordered_map<const void*, UnitOutline> outlines_;  ///< by the unit's root DIE
};

/// Namespaces, classes, unions and enumerations around a type that is one of these itself, innermost first.
std::vector<Dwarf_Die> scopes_around(Dwarf_Die type);

}  // namespace asyncdump

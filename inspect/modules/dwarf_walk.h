#pragma once

#include <elfutils/libdw.h>

namespace asyncdump {

/// Goes to the next DIE of the same level. False at the end, and for one that lies before `die`: a
/// DW_AT_sibling that leads back would make a walk endless.
inline bool go_to_sibling(Dwarf_Die& die) {
    const void* const before = die.addr;
    return dwarf_siblingof(&die, &die) == 0 && die.addr > before;
}

/// Lets a walk through a tree visit every DIE once: in a well-formed file the addresses only grow on the way.
/// Siblings that lead into the children of the DIE before them would make the visits multiply with every
/// level.
class OncePerDie {
  public:
    bool is_new(const Dwarf_Die& die) {
        if (die.addr <= furthest_) return false;
        furthest_ = die.addr;
        return true;
    }

  private:
    const void* furthest_ = nullptr;
};

}  // namespace asyncdump

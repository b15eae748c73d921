// Names of functions of other modules that a module's code calls through its procedure linkage table or its
// global offset table, from the dynamic relocations in its file.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "modules/module.h"
#include "runtimes/cpp20/machine_code.h"

namespace asyncdump::cpp20 {

class ImportedFunctions {
  public:
    /// Reads the relocations; bounded. A module without them (static) has none.
    explicit ImportedFunctions(const Module& module);

    /// Linkage name of what a call or jump instruction leads to: a function of this module or an imported
    /// one; "" when unknown. Lives as long as this object and the module.
    std::string_view callee(const Instruction& call) const;

    /// The callee is one of those that never return (a failed check, a throw), so that the code behind the
    /// call does not follow it.
    bool never_returns(const Instruction& call) const;

  private:
    void read_relocations(std::string_view section);

    const Module& module_;
    std::unordered_map<std::uint64_t, std::string>
        slots_;  // address of the pointer that the call goes through
};

}  // namespace asyncdump::cpp20

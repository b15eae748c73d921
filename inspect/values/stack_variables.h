#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "base/variable.h"
#include "modules/module.h"
#include "modules/unwinder.h"
#include "values/function_variables.h"
#include "values/location.h"
#include "values/value_writer.h"

namespace asyncdump {

/// What locations in the `function` (of `module`) that `frame` is an activation of are evaluated with. It
/// refers to all that it is given.
LocationContext location_context(const UnwoundFrame& frame, const Module& module, Dwarf_Die function,
                                 const Memory& memory);

/// Parameters and locals of native stack frames, where debug information says where they are. Everything it
/// is given must outlive it.
class StackVariables {
  public:
    StackVariables(const ModuleSet& modules, TypeTable& types, const Memory& memory, const ValueNames& names)
        : modules_(modules), types_(types), memory_(memory), names_(names) {}

    /// Of the calls inlined at the frame's pc, innermost first, then of the function itself: as
    /// Symbolizer::at() lists them. `lines` are the lines at which those stand (0: unknown); a local that is
    /// declared at or after its line does not live yet and is left out. The compiler's own are left out.
    std::vector<std::vector<Variable>> of(const UnwoundFrame& frame, const std::vector<unsigned>& lines);

  private:
    const FunctionVariables& variables_of(Dwarf_Die function);

    const ModuleSet& modules_;
    TypeTable& types_;
    const Memory& memory_;
    const ValueNames& names_;
    std::unordered_map<const void*, std::unique_ptr<FunctionVariables>> functions_;
};

}  // namespace asyncdump

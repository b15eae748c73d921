// Where in a coroutine's frame variables lie, by what debug information says of the ramp. Clang 17 to 19
// forget it in the resume function when they optimise.
#pragma once

#include <cstdint>
#include <optional>

#include "modules/module.h"
#include "runtimes/cpp20/coroutine_code.h"
#include "runtimes/cpp20/frame_bases.h"
#include "values/function_variables.h"

namespace asyncdump::cpp20 {

struct FrameHome {
    std::uint32_t offset = 0;  ///< from the frame's begin
    /// The last that the ramp says of the variable: so it is when the coroutine is suspended by the ramp.
    bool until_end = false;
    /// What it holds is the variable's value at any suspend point where it is alive, also when the resume
    /// function may have written to it since. What has a destructor and lies in memory as a whole keeps its
    /// value there: suspending is a call that may read it. References stay what they are. A number, or a part
    /// of a class of which the ramp says that it was a mere value, might live in a register in the meantime.
    bool is_always_current = false;
};

class FrameHomes {
  public:
    /// `imported` has to live as long.
    FrameHomes(const CoroutineCode& code, const ImportedFunctions& imported);

    /// Of a variable of the resume function. Empty when the ramp does not know it, knows two of its name and
    /// line, or keeps it elsewhere.
    std::optional<FrameHome> of(const VariableEntry& variable) const;

  private:
    std::optional<FrameHome> home_of(const VariableEntry& in_ramp) const;

    const Module& module_;
    FunctionCode code_;
    ValueSources values_;
    FrameBases bases_;
    FunctionVariables variables_;
};

}  // namespace asyncdump::cpp20

// What clang's debug information says of the variables of optimised coroutines, and is not to be believed.
#pragma once

#include "runtimes/cpp20/coroutine_code.h"
#include "runtimes/cpp20/interpreted_machine.h"
#include "values/function_variables.h"
#include "values/location.h"

namespace asyncdump::cpp20 {

/// Whether debug information says of the variable, or of a part of it, that it is a constant somewhere.
bool has_constants(const VariableEntry& variable);

/// Whether a constant that is the variable's value, or a part of it, is so at each suspend point. The resume
/// function begins with what was known at the ramp's end: of a parameter that was moved into the frame, that
/// the one outside is empty now; of a local that has changed since, what it was; of one that is moved away at
/// the end, that it is empty. Believed is a constant where neither function (`in_ramp` may be nullptr) says
/// anything else of the variable; of a class only where the ramp says so, too; never of one that is moved or
/// copied by its own functions.
bool is_constant_throughout(const VariableEntry& in_resume, const VariableEntry* in_ramp);

/// The parts of the frame, as FrameKnowledge has addresses, in which the variable is told to lie at `pc` by
/// registers that hold the frame's address: by optimised code. Empty when it lies elsewhere.
std::vector<AddressRange> optimised_places(const VariableEntry& variable, Dwarf_Addr pc,
                                           const FrameKnowledge& knowledge);

}  // namespace asyncdump::cpp20

// Where a coroutine stores the number of the suspend point that comes next into its frame. The compiler
// stores a constant; it stands in the instruction, or in a register whose value is followed back over all
// ways that lead to the store.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "runtimes/cpp20/frame_bases.h"
#include "runtimes/cpp20/function_code.h"
#include "runtimes/cpp20/suspend_point.h"

namespace asyncdump::cpp20 {

struct StoreSite {
    std::uint64_t index = 0;
    FunctionCode::Position store = 0;
    FunctionCode::Position constant = 0;  ///< where the number was made; the store itself for an immediate
    bool through_join = false;            ///< between the two, ways from several places meet
};

/// A store whose value or whose frame cannot be found out is left out.
std::vector<StoreSite> find_store_sites(const ImportedFunctions& imported, const FunctionCode& code,
                                        RemoteAddress entry, FunctionRole role, RemoteAddress resume_function,
                                        const IndexField& field);

}  // namespace asyncdump::cpp20

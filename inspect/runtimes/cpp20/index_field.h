// Which part of a coroutine's frame is the number of its suspend point.
#pragma once

#include <optional>

#include "runtimes/cpp20/coroutine_code.h"
#include "runtimes/cpp20/dispatch_interpreter.h"
#include "runtimes/cpp20/function_code.h"
#include "runtimes/cpp20/function_debug_info.h"
#include "runtimes/cpp20/imported_functions.h"

namespace asyncdump::cpp20 {

/// What is known of a coroutine's functions. The ramp's parts are nullptr when there is no ramp.
struct CoroutineFunctions {
    const CoroutineCode& code;
    const ImportedFunctions& imported;
    const InterpretedCode& interpreted;
    const FunctionCode& resume;
    const FunctionDebugInfo* resume_info = nullptr;
    const FunctionCode* ramp = nullptr;
    const FunctionDebugInfo* ramp_info = nullptr;
};

struct FoundIndexField {
    IndexField field;
    enum class By {
        frame_type,     ///< DWARF names it
        decision,       ///< the resume function's first decision is about it
        stores,         ///< stored in all functions, read in none
        resume_stores,  ///< the same, but where the coroutine is made was not seen: without another witness a
                        ///< guess
    };
    By by = By::frame_type;
};

/// Empty when the function has none (clang leaves it out where one suspend point is left), or when it cannot
/// be told from the user's data.
std::optional<FoundIndexField> find_index_field(const CoroutineFunctions& functions);

/// Whether the resume function may return with the coroutine suspended at a point that is not the final one.
/// False is certain.
bool may_suspend_again(const CoroutineFunctions& functions);

}  // namespace asyncdump::cpp20

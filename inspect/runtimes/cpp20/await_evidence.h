// The traces that one suspend point leaves in machine code and DWARF. Collects; does not judge.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtimes/cpp20/dispatch_interpreter.h"
#include "runtimes/cpp20/function_code.h"
#include "runtimes/cpp20/function_debug_info.h"
#include "runtimes/cpp20/store_sites.h"

namespace asyncdump::cpp20 {

enum class Rule : std::uint8_t {
    resume_scope,     ///< E1: an inlined await_resume where it goes on
    resume_call,      ///< E2: a call of await_resume where it goes on
    suspend_scope,    ///< E3: an inlined await_suspend after the store of the index
    suspend_call,     ///< E4: a call of await_suspend after the store
    store_line,       ///< E5: the line of the store itself
    store_line_join,  ///< E5r: the same, but the number comes through a join of ways
    ready_scope,      ///< E6: await_ready, await_transform, yield_value before the store
    resume_line,      ///< E7: the first line where it goes on
};
std::string_view rule_name(Rule rule);

struct Evidence {
    Rule rule = Rule::resume_line;
    SourcePosition position;
    const FunctionDebugInfo* info = nullptr;  ///< whose files `position` refers to
    AwaitRole role = AwaitRole::none;
    SuspendPoint::Kind kind = SuspendPoint::Kind::unknown;  ///< when the trace itself tells
    std::string function;  ///< linkage name of the await function; may be empty
    RemoteAddress address;
    bool at_keyword = false;             ///< the position is that of co_await or co_yield, not of its operand
    const InlinedCall* scope = nullptr;  ///< when the await function was inlined
    const AwaiterBlock* awaiter = nullptr;  ///< GCC: the awaiter that lives in the block of the store
};

/// One function (resume with its cold parts, or the ramp) with all that is known of it.
struct AnalysedFunction {
    const ImportedFunctions* imported = nullptr;
    const FunctionCode* code = nullptr;
    const FunctionDebugInfo* info = nullptr;
};

/// E3 to E6: what surrounds one store of the index.
std::vector<Evidence> evidence_at_store(const AnalysedFunction& function, const StoreSite& site);

/// E1, E2, E7: what lies where the dispatcher goes on.
std::vector<Evidence> evidence_at_resume(const AnalysedFunction& function, const DispatchTrace& trace);

}  // namespace asyncdump::cpp20

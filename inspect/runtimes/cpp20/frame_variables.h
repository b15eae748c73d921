#pragma once

#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "process/memory.h"
#include "runtimes/cpp20/frame_homes.h"
#include "runtimes/cpp20/frame_layout.h"
#include "runtimes/cpp20/frames.h"
#include "runtimes/cpp20/suspend_point.h"
#include "values/function_variables.h"
#include "values/value_writer.h"

namespace asyncdump::cpp20 {

/// Parameters and locals of suspended coroutines.
///
/// They are the variables of the resume function, at the place where it goes on: debug information says for
/// each compiler where in the frame a variable lies then, by a register that holds the frame's address (which
/// the interpreted dispatcher knows) or by GCC's frame type. A local is alive when its block covers that
/// place and it is declared before the statement that is suspended (is_declared_before). Without the source
/// text the statement is taken to begin on the line of the co_await: a variable that this very statement
/// initializes on an earlier line is then shown with a value that it does not have yet.
///
/// What is alive is found out once for a suspend point.
class FrameVariables {
  public:
    /// Both have to live as long.
    FrameVariables(TypeTable& types, SuspendPointResolver& resolver) : types_(types), resolver_(resolver) {}

    struct Values {
        std::vector<Variable> variables;  ///< short; in the order of the source, parameters first
        std::size_t left_out = 0;         ///< how many more are alive
    };
    /// Of one frame.
    Values read(const Memory& memory, const Frame& frame, const CoroutineCode& code,
                const FrameLayout& layout, const SuspendPoint& point, const ValueNames& names);

    /// Variables that a compiler made for itself in a coroutine's functions.
    static bool is_compilers_own(std::string_view name);

  private:
    struct Live {
        const VariableEntry* entry = nullptr;
        const ValueType* type = nullptr;
        std::string name;
        bool is_parameter = false;
        std::optional<std::uint32_t> frame_offset;  ///< by the frame's layout or the ramp
        std::vector<std::size_t> places;            ///< of DispatchTrace::places, where it has a location
        bool believes_constants = true;
    };
    struct LiveAtPoint {
        std::vector<Live> first;
        std::size_t left_out = 0;
    };
    struct Function {
        Dwarf_Die die{};
        FunctionVariables variables;
    };

    /// By the ramp, where debug information has no place for the variable in the resume function.
    std::optional<std::uint32_t> home_of(const CoroutineCode& code, const SuspendPoint& point,
                                         const VariableEntry& entry);
    /// Whether what the frame holds there is the variable's value still: an optimiser does not store what
    /// nobody reads any more.
    bool is_current(const CoroutineCode& code, const SuspendPoint& point, std::uint64_t begin,
                    std::uint64_t end);
    void doubt_optimised(const CoroutineCode& code, const SuspendPoint& point, Live& live);
    const Function* function_at(const Module& module, RemoteAddress entry);
    const LiveAtPoint& live_at(const CoroutineCode& code, const FrameLayout& layout,
                               const SuspendPoint& point);

    TypeTable& types_;
    SuspendPointResolver& resolver_;
    std::unordered_map<std::uint64_t, std::optional<Function>> functions_;  ///< by entry
    std::map<const Module*, ImportedFunctions> imported_;
    std::unordered_map<std::uint64_t, std::unique_ptr<FrameHomes>> homes_;  ///< by the resume function
    /// By the function's entry as well: some points are shared by all functions.
    std::map<std::pair<std::uint64_t, const SuspendPoint*>, LiveAtPoint> live_;
};

}  // namespace asyncdump::cpp20

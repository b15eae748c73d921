#pragma once

#include <string>
#include <vector>

#include "modules/module.h"
#include "modules/names.h"

namespace asyncdump {

/// One function at a pc: the function itself, or one of the calls inlined there.
struct CodePosition {
    std::string function;      ///< readable; "" when nothing is known
    std::string linkage_name;  ///< "" when unknown
    std::string file;          ///< path of the debug information; "" when unknown
    unsigned line = 0;         ///< 0 when unknown
    unsigned column = 0;       ///< 0 when unknown
    std::string module;        ///< the module's name, "" when outside all
    bool inlined = false;      ///< true for every position but the outermost
};

/// The readable name of the function, or of the object, that the symbol at `address` names; "" when none
/// does.
std::string function_name(const ModuleSet& modules, RemoteAddress address, const NameStyle& style);

/// Answers "what code is at this address" with caching. Not thread-safe.
class Symbolizer {
  public:
    Symbolizer(const ModuleSet& modules, NameStyle style);
    ~Symbolizer();

    /// Innermost first: inlined calls, then the function itself; never empty. `is_return_address` looks at
    /// the call instead of at the instruction after it.
    const std::vector<CodePosition>& at(RemoteAddress pc, bool is_return_address);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace asyncdump

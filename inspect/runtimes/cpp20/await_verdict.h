// Weighs the evidence for one suspend point. The one promise: what is called exact is right.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "runtimes/cpp20/await_evidence.h"
#include "runtimes/cpp20/coroutine_code.h"
#include "runtimes/cpp20/source_text.h"
#include "runtimes/cpp20/suspend_point.h"

namespace asyncdump::cpp20 {

/// Readable names of types by their DIE: to find a type's namespaces costs a walk through its unit, and
/// awaiters share few types.
class TypeNames {
  public:
    const std::string& of(const Dwarf_Die& type);

  private:
    std::unordered_map<const void*, std::string> names_;
};

struct AwaitCase {
    Compiler compiler = Compiler::gcc;
    const FunctionDebugInfo* resume_info = nullptr;  ///< not null
    bool is_sanitized = false;                       ///< the module was built with the address sanitizer
    std::vector<Evidence> evidence;
    SourceTextCache* text = nullptr;  ///< nullptr: do not look at source files
    TypeNames* types = nullptr;       ///< not null
    std::string program;              ///< path of the module, to compare the age of source files with
};

/// Kind, location, awaiter and the rule that answered. Location is empty when no evidence names a line.
SuspendPoint weigh(const AwaitCase& await);

/// The await expression in the source text that all traces after the store of the index lie in; nullptr when
/// the text is not at hand or does not tell.
const AwaitExpression* expression_in_text(const AwaitCase& await);

/// The class of `ret ns::Class<args>::await_suspend<P>(args) const`, readable; "" when it is no function of
/// an awaiter.
std::string class_of_await_function(const std::string& demangled);

/// The same of a function that was called, or inlined at `scope` (else nullptr), by its linkage name or by
/// debug information; "" when neither tells.
std::string class_of_await_call(const std::string& function, const InlinedCall* scope);

}  // namespace asyncdump::cpp20

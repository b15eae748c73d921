#include "modules/names.h"

#include <cxxabi.h>

#include <cstdlib>
#include <memory>

#include "modules/coroutine_symbol.h"
#include "modules/name_reader.h"

#if ASYNCDUMP_HAS_LLVM_DEMANGLER
// LLVM's __cxa_demangle, under a name of its own: cmake/ConstrainedNames.cmake.
extern "C" char* asyncdump_llvm_demangle(const char* name, char* buffer, std::size_t* length, int* status);
extern "C" [[noreturn]] void asyncdump_llvm_demangler_failed(const char*, ...) {
    std::abort();
}
#endif

namespace asyncdump {
namespace {

// Longer names are shown as they are: reading them is no help to anybody, and both bounds keep hostile files
// from costing time.
constexpr std::size_t maximal_mangled_length = 32 * 1024;
constexpr std::size_t maximal_readable_length = 256 * 1024;

struct Free {
    void operator()(char* text) const { std::free(text); }
};
using Demangled = std::unique_ptr<char, Free>;

#if ASYNCDUMP_HAS_LLVM_DEMANGLER
/// It follows a name by recursion and has no limit of its own: a bound for hostile files.
constexpr std::size_t maximal_length_for_llvm = 4 * 1024;

Demangled demangled_by_llvm(const std::string& name) {
    if (name.size() > maximal_length_for_llvm) return nullptr;
    int status = 0;
    Demangled demangled(asyncdump_llvm_demangle(name.c_str(), nullptr, nullptr, &status));
    return status == 0 ? std::move(demangled) : nullptr;
}
#else
Demangled demangled_by_llvm(const std::string&) {
    return nullptr;
}
#endif

bool is_mangled(std::string_view name) {
    return name.starts_with("_Z") || name.starts_with("___Z");
}

/// "vtable for", "guard variable for", "virtual thunk to": no functions with a return type of their own.
bool is_special(std::string_view mangled) {
    return mangled.starts_with("_ZT") || mangled.starts_with("_ZG");
}

/// LLVM writes a function's constraint behind its parameters.
std::string_view without_constraint(std::string_view function) {
    constexpr std::string_view keyword = " requires ";
    std::size_t open = 0;
    for (std::size_t i = 0; i < function.size(); ++i) {
        if (function[i] == '(') ++open;
        if (function[i] == ')' && open > 0) --open;
        if (open == 0 && function[i] == ' ' && function.substr(i).starts_with(keyword))
            return function.substr(0, i);
    }
    return function;
}

}  // namespace

std::string demangle(std::string_view linkage_name, const NameStyle& style) {
    const auto coroutine = parse_coroutine_symbol(linkage_name);
    const std::string name(without_compiler_suffixes(coroutine ? coroutine->ramp : linkage_name));
    if (!is_mangled(name) || name.size() > maximal_mangled_length) return name;
    int status = 0;
    Demangled demangled(abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status));
    if (status != 0) demangled = demangled_by_llvm(name);
    if (!demangled) return name;
    if (style.full || is_special(name)) return readable_name(demangled.get(), style);
    return readable_name(without_return_type(without_constraint(demangled.get())), style);
}

std::string readable_name(std::string_view demangled, const NameStyle& style) {
    if (style.full || demangled.size() > maximal_readable_length) return std::string(demangled);
    if (auto folded = read_and_fold(demangled)) return std::move(*folded);
    return std::string(demangled);
}

std::string_view unqualified_function_name(std::string_view demangled) {
    // Backwards, since a return type may stand in front: behind the parameters, outside of all brackets.
    std::size_t depth = 0, end = std::string_view::npos;
    bool saw_parameters = false;
    for (std::size_t i = demangled.size(); i-- > 0;) {
        const char letter = demangled[i];
        if (letter == ')' || letter == '>' || letter == '}') {
            ++depth;
        } else if (letter == '(' || letter == '<' || letter == '{') {
            if (depth == 0) return {};
            if (--depth == 0 && letter == '(' && !saw_parameters) saw_parameters = true;
        } else if (depth == 0 && saw_parameters) {
            const bool ends = letter == ':' || letter == ' ' || letter == '*' || letter == '&';
            if (ends && end == std::string_view::npos) return {};
            if (ends) {
                const std::string_view name = demangled.substr(i + 1, end - i - 1);
                return name.starts_with("operator") ? std::string_view() : name;
            }
            if (end == std::string_view::npos) end = i + 1;
        }
    }
    if (depth != 0 || end == std::string_view::npos) return {};
    const std::string_view name = demangled.substr(0, end);
    return name.starts_with("operator") ? std::string_view() : name;
}

bool is_same_class(std::string_view described, std::string_view demangled) {
    if (described == demangled) return true;
    const auto last_scope = [](std::string_view name) {
        std::size_t depth = 0, last = std::string_view::npos;
        for (std::size_t i = 0; i + 1 < name.size(); ++i) {
            if (name[i] == '<' || name[i] == '(') ++depth;
            if ((name[i] == '>' || name[i] == ')') && depth > 0) --depth;
            if (depth == 0 && name[i] == ':' && name[i + 1] == ':') last = i;
        }
        return last;
    };
    const std::size_t scope = last_scope(demangled);
    if (scope == demangled.npos) return false;
    const std::string_view around = demangled.substr(0, scope), name = demangled.substr(scope + 2);
    const bool is_in_function = around.ends_with(')') || around.ends_with(") const") ||
                                around.ends_with(") &") || around.ends_with(") &&");
    const std::size_t described_scope = last_scope(described);
    if (!is_in_function || described_scope == described.npos) return is_in_function && described == name;
    // The function is left out, not what is around it.
    return described.substr(described_scope + 2) == name &&
           around.starts_with(described.substr(0, described_scope));
}

}  // namespace asyncdump

#pragma once

#include <string>
#include <string_view>

namespace asyncdump {

/// How names of functions and types are shown.
struct NameStyle {
    bool full = false;  ///< everything the compiler wrote: no folding
};

/// Demangles a linkage name (Itanium C++ ABI); returns it unchanged when it is none. Compiler suffixes
/// (".cold",
/// ".constprop.0", ".isra.0", ".part.0", ".lto_priv.0", ".llvm.123") are left out, and the parts that a
/// compiler makes of a coroutine have the name of the function that the user wrote.
std::string demangle(std::string_view linkage_name, const NameStyle& style = {});

/// Makes a demangled function or type name readable: inline namespaces of the standard library gone
/// (std::__cxx11::, std::__1::, std::chrono::_V2::), `std::basic_string<char, ...>` is `std::string` (same
/// for string_view, w/u8/u16/u32), default template arguments (allocators, comparators, hashes, char_traits,
/// default_delete, ratio in durations: `std::chrono::milliseconds`) folded, `[abi:cxx11]` gone,
/// `{lambda(int)#1}` kept. Balanced input gives balanced output; a name it cannot parse is returned
/// unchanged.
std::string readable_name(std::string_view demangled, const NameStyle& style = {});

/// The name alone of a demangled function: without its scopes, template arguments, parameters and return
/// type.
/// "" for operators.
std::string_view unqualified_function_name(std::string_view demangled);

/// Whether a class as debug information has it and one of a demangled function are the same by their readable
/// names. Of a class inside a function the last names are compared, and what is around the function where
/// debug information has it: the function itself it leaves out.
bool is_same_class(std::string_view described, std::string_view demangled);

}  // namespace asyncdump

#pragma once

#include <optional>
#include <string_view>

namespace asyncdump {

/// What the symbol of one of a coroutine's compiler-made functions tells.
struct CoroutineSymbol {
    enum class Kind {
        resume,
        destroy,
        cleanup,  ///< clang: destroy of a frame whose memory belongs to somebody else (elided allocation)
    };
    enum class Compiler { gcc, clang };

    Kind kind = Kind::resume;
    Compiler compiler = Compiler::gcc;
    std::string_view ramp;  ///< linkage name of the function that the user wrote; points into the symbol
    bool is_cold = false;   ///< the unlikely part that was split off
};

/// Reads `_Z3fooPZ3fooiE13_Z3fooi.Frame.actor` (GCC) and `_Z3fooi.resume` (clang), with any compiler suffixes
/// behind; empty for every other symbol. The answer points into `symbol`.
std::optional<CoroutineSymbol> parse_coroutine_symbol(std::string_view symbol);

/// `linkage_name` without what compilers append to a function's name when they copy or split it: ".cold",
/// ".constprop.0", ".isra.0", ".part.0", ".lto_priv.0", ".llvm.123", ".localalias", ".0". Sets `*is_cold` to
/// whether ".cold" was among them.
std::string_view without_compiler_suffixes(std::string_view linkage_name, bool* is_cold = nullptr);

}  // namespace asyncdump

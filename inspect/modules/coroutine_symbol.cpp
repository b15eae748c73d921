#include "modules/coroutine_symbol.h"

#include <algorithm>
#include <array>
#include <string>

namespace asyncdump {
namespace {

constexpr std::array<std::string_view, 9> compiler_suffixes = {
    "cold", "constprop", "isra", "part", "lto_priv", "llvm", "localalias", "__uniq", "warm"};

bool is_number(std::string_view text) {
    return !text.empty() &&
           std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// The ramp in `...E13_Z3fooi.Frame`: GCC names the frame type after the ramp and mangles it as any local
/// type, by its length and text, at the end of the actor's only parameter. The length decides which "_Z"
/// begins the name.
std::optional<std::string_view> ramp_of_gcc_frame(std::string_view up_to_frame,
                                                  std::size_t frame_suffix_length) {
    for (std::size_t begin = up_to_frame.rfind("_Z"); begin != std::string_view::npos && begin > 0;
         begin = up_to_frame.rfind("_Z", begin - 1)) {
        const auto length = std::to_string(up_to_frame.size() - begin);
        if (up_to_frame.substr(0, begin).ends_with(length))
            return up_to_frame.substr(begin, up_to_frame.size() - begin - frame_suffix_length);
    }
    return std::nullopt;
}

}  // namespace

std::string_view without_compiler_suffixes(std::string_view linkage_name, bool* is_cold) {
    if (is_cold) *is_cold = false;
    for (;;) {
        const auto dot = linkage_name.rfind('.');
        if (dot == std::string_view::npos || dot == 0) return linkage_name;
        const auto suffix = linkage_name.substr(dot + 1);
        const bool known =
            std::find(compiler_suffixes.begin(), compiler_suffixes.end(), suffix) != compiler_suffixes.end();
        if (!known && !is_number(suffix)) return linkage_name;
        if (suffix == "cold" && is_cold) *is_cold = true;
        linkage_name.remove_suffix(suffix.size() + 1);
    }
}

std::optional<CoroutineSymbol> parse_coroutine_symbol(std::string_view symbol) {
    CoroutineSymbol result;
    const auto name = without_compiler_suffixes(symbol, &result.is_cold);
    const auto dot = name.rfind('.');
    if (dot == std::string_view::npos || dot == 0) return std::nullopt;
    const auto role = name.substr(dot + 1);
    const auto owner = name.substr(0, dot);

    using Kind = CoroutineSymbol::Kind;
    if (role == "actor" || role == "destroy") {
        for (const std::string_view frame : {".Frame", ".frame"}) {
            if (!owner.ends_with(frame)) continue;
            const auto ramp = ramp_of_gcc_frame(owner, frame.size());
            if (!ramp || ramp->size() <= 2) return std::nullopt;
            result.kind = role == "actor" ? Kind::resume : Kind::destroy;
            result.compiler = CoroutineSymbol::Compiler::gcc;
            result.ramp = *ramp;
            return result;
        }
    }
    if (role == "resume")
        result.kind = Kind::resume;
    else if (role == "destroy")
        result.kind = Kind::destroy;
    else if (role == "cleanup")
        result.kind = Kind::cleanup;
    else
        return std::nullopt;
    result.compiler = CoroutineSymbol::Compiler::clang;
    result.ramp = owner;
    return result;
}

}  // namespace asyncdump

#include "cli/hidden_coroutines.h"

#include <algorithm>
#include <array>
#include <string>

namespace asyncdump {
namespace {

/// Compilers and package managers of their own bring the runtime libraries along, wherever they lie.
bool is_of_system(const Module& module) {
    static constexpr std::array runtime_libraries = {
        "ld-linux", "libc.so",     "libc-2",       "libm.so",   "libm-2",       "libpthread",   "libdl.so",
        "librt.so", "libgcc_s.so", "libstdc++.so", "libc++.so", "libc++abi.so", "libunwind.so",
    };
    const std::string& path = module.path();
    if (path.starts_with("/lib") || path.starts_with("/usr/lib") || path.starts_with("[")) return true;
    const std::string_view file = std::string_view(path).substr(path.rfind('/') + 1);
    return std::ranges::any_of(runtime_libraries, [&](const char* name) { return file.starts_with(name); });
}

}  // namespace

HiddenCoroutines hidden_by_stripping(const ModuleSet& modules, std::string_view name) {
    for (const auto& module : modules.modules()) {
        if (module->name() != name && module->path() != name) continue;
        if (!is_of_system(*module)) break;
        const bool mentions_coroutines = std::ranges::any_of(module->symbols(), [](const Symbol& symbol) {
            return symbol.name.find("coroutine_handle") != std::string_view::npos;
        });
        return mentions_coroutines ? HiddenCoroutines::of_a_library : HiddenCoroutines::unlikely;
    }
    return HiddenCoroutines::of_the_program;
}

}  // namespace asyncdump

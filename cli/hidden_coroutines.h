#pragma once

#include <cstdint>
#include <string_view>

#include "modules/module.h"

namespace asyncdump {

/// Whether a dump lacks coroutines because a file is stripped: their functions are local symbols.
enum class HiddenCoroutines : std::uint8_t { unlikely, of_a_library, of_the_program };

/// By the module's name or path. Libraries that come with the system or with a compiler are stripped as a
/// rule: those without a trace of coroutines in what they export are not worth a word.
HiddenCoroutines hidden_by_stripping(const ModuleSet& modules, std::string_view name);

}  // namespace asyncdump

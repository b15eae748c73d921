#pragma once

#include <string>
#include <string_view>

namespace asyncdump {

/// Text from a target, made safe to print: control characters (C0, DEL and the C1 range, which some terminals
/// obey) become visible escapes such as `\x1b` or `\n`; bytes that are not valid UTF-8 become U+FFFD;
/// Unicode's directional overrides, which can reorder a terminal line, become escapes too. The result is
/// valid UTF-8.
std::string harmless(std::string_view text);

}  // namespace asyncdump

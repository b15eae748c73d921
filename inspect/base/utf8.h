#pragma once

#include <cstdint>
#include <string_view>

namespace asyncdump {

struct DecodedCharacter {
    std::uint32_t code_point = 0;
    std::size_t length = 0;  ///< in bytes; 0: the bytes at the beginning are not valid UTF-8
};

/// Decodes the first character of `text`, which must not be empty. Overlong forms, surrogates and numbers
/// above U+10FFFF are not valid.
DecodedCharacter decode_utf8(std::string_view text);

/// Characters that a terminal obeys or that reorder or break its lines: C0, DEL, C1, Unicode's directional
/// controls, line and paragraph separators.
bool is_harmful(std::uint32_t code_point);

}  // namespace asyncdump

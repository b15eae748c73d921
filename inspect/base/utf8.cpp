#include "base/utf8.h"

namespace asyncdump {

DecodedCharacter decode_utf8(std::string_view text) {
    const auto byte = [&](std::size_t index) { return static_cast<unsigned char>(text[index]); };
    const unsigned char first = byte(0);
    if (first < 0x80) return {first, 1};
    std::size_t length = 0;
    std::uint32_t code_point = 0;
    std::uint32_t smallest = 0;
    if (first >= 0xC2 && first <= 0xDF) {
        length = 2, code_point = first & 0x1Fu, smallest = 0x80;
    } else if (first >= 0xE0 && first <= 0xEF) {
        length = 3, code_point = first & 0x0Fu, smallest = 0x800;
    } else if (first >= 0xF0 && first <= 0xF4) {
        length = 4, code_point = first & 0x07u, smallest = 0x10000;
    } else {
        return {};
    }
    if (text.size() < length) return {};
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xC0) != 0x80) return {};
        code_point = (code_point << 6) | (byte(i) & 0x3Fu);
    }
    const bool surrogate = code_point >= 0xD800 && code_point <= 0xDFFF;
    if (code_point < smallest || code_point > 0x10FFFF || surrogate) return {};
    return {code_point, length};
}

bool is_harmful(std::uint32_t code_point) {
    const bool control = code_point < 0x20 || (code_point >= 0x7F && code_point < 0xA0);
    const bool directional = code_point == 0x061C || code_point == 0x200E || code_point == 0x200F ||
                             (code_point >= 0x202A && code_point <= 0x202E) ||
                             (code_point >= 0x2066 && code_point <= 0x2069);
    const bool separator = code_point == 0x2028 || code_point == 0x2029;
    return control || directional || separator;
}

}  // namespace asyncdump

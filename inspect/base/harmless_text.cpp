#include "base/harmless_text.h"

#include <fmt/format.h>

#include "base/utf8.h"

namespace asyncdump {
namespace {

bool is_plain(std::string_view text) {
    for (const char character : text) {
        const auto byte = static_cast<unsigned char>(character);
        if (byte < 0x20 || byte >= 0x7F) return false;
    }
    return true;
}

}  // namespace

std::string harmless(std::string_view text) {
    if (is_plain(text)) return std::string(text);
    std::string result;
    result.reserve(text.size());
    while (!text.empty()) {
        const auto [code_point, length] = decode_utf8(text);
        if (length == 0) {
            result += "\xEF\xBF\xBD";
            text.remove_prefix(1);
            continue;
        }
        if (code_point == '\n') {
            result += "\\n";
        } else if (code_point == '\t') {
            result += "\\t";
        } else if (code_point == '\r') {
            result += "\\r";
        } else if (is_harmful(code_point)) {
            result += code_point < 0x100 ? fmt::format("\\x{:02x}", code_point)
                                         : fmt::format("\\u{:04x}", code_point);
        } else {
            result += text.substr(0, length);
        }
        text.remove_prefix(length);
    }
    return result;
}

}  // namespace asyncdump

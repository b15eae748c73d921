#include "report/json_writer.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

#include "base/utf8.h"
#include "report/words.h"

namespace asyncdump {
namespace {

/// True for the bytes that stand for themselves in a JSON string.
constexpr std::array<bool, 256> plain_bytes = [] {
    std::array<bool, 256> plain{};
    for (std::size_t byte = 0x20; byte < 0x7F; ++byte) plain[byte] = byte != '"' && byte != '\\';
    return plain;
}();

}  // namespace

void JsonWriter::begin_element() {
    if (comma_due_) output_.append(',');
    if (line_break_due_) output_.append('\n');
    line_break_due_ = false;
}

void JsonWriter::open(char bracket) {
    begin_element();
    output_.append(bracket);
    comma_due_ = false;
}

void JsonWriter::close(char bracket) {
    if (line_break_due_) output_.append('\n');
    line_break_due_ = false;
    output_.append(bracket);
    comma_due_ = true;
}

JsonWriter& JsonWriter::key(std::string_view name) {
    begin_element();
    output_.append('"');
    output_.append(name);
    output_.append("\":");
    comma_due_ = false;
    return *this;
}

void JsonWriter::word(std::string_view text) {
    begin_element();
    output_.append(text);
    comma_due_ = true;
}

void JsonWriter::number(std::int64_t value) {
    std::array<char, 24> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
    word({digits.data(), static_cast<std::size_t>(end - digits.data())});
}

void JsonWriter::number(std::uint64_t value) {
    std::array<char, 24> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
    word({digits.data(), static_cast<std::size_t>(end - digits.data())});
}

void JsonWriter::address(RemoteAddress address) {
    std::array<char, 24> text{'"', '0', 'x'};
    char* end = std::to_chars(text.data() + 3, text.data() + text.size(), address.value(), 16).ptr;
    *end++ = '"';
    word({text.data(), static_cast<std::size_t>(end - text.data())});
}

void JsonWriter::time(std::chrono::system_clock::time_point time) {
    string(utc_time(time, true));
}

void JsonWriter::string(std::string_view text) {
    begin_element();
    output_.append('"');
    escaped(text);
    output_.append('"');
    comma_due_ = true;
}

void JsonWriter::string_or_null(std::string_view text) {
    if (text.empty()) {
        null();
    } else {
        string(text);
    }
}

void JsonWriter::escaped(std::string_view text) {
    while (true) {
        std::size_t plain = 0;
        while (plain < text.size() && plain_bytes[static_cast<unsigned char>(text[plain])]) ++plain;
        output_.append(text.substr(0, plain));
        text.remove_prefix(plain);
        if (text.empty()) return;
        const auto [code_point, length] = decode_utf8(text);
        if (length == 0) {
            output_.append("\xEF\xBF\xBD");
            text.remove_prefix(1);
            continue;
        }
        switch (code_point) {
            case '"':
                output_.append("\\\"");
                break;
            case '\\':
                output_.append("\\\\");
                break;
            case '\n':
                output_.append("\\n");
                break;
            case '\t':
                output_.append("\\t");
                break;
            case '\r':
                output_.append("\\r");
                break;
            default:
                if (is_harmful(code_point)) {
                    output_.append(fmt::format("\\u{:04x}", code_point));
                } else {
                    output_.append(text.substr(0, length));
                }
        }
        text.remove_prefix(length);
    }
}

}  // namespace asyncdump

#include "report/text_writer.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/harmless_text.h"
#include "base/utf8.h"

namespace asyncdump {
namespace {

std::string_view escape_sequence(Paint paint) {
    switch (paint) {
        case Paint::plain:
            return "";
        case Paint::heading:
            return "\x1b[1m";
        case Paint::error:
            return "\x1b[1;31m";
        case Paint::warning:
            return "\x1b[1;33m";
        case Paint::function:
            return "\x1b[32m";
        case Paint::location:
            return "\x1b[36m";
        case Paint::quiet:
            return "\x1b[2m";
    }
    return "";
}

constexpr std::string_view blanks =
    "                                                                                ";

}  // namespace

std::size_t columns(std::string_view text) {
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char byte) {
        return (static_cast<unsigned char>(byte) & 0xC0) != 0x80;
    }));
}

std::string printable(std::string_view text, bool unicode, std::size_t most) {
    std::string result = harmless(text.substr(0, most));
    if (text.size() > most) result += "...";
    const auto is_ascii = [](char byte) { return static_cast<unsigned char>(byte) < 0x80; };
    if (unicode || std::all_of(result.begin(), result.end(), is_ascii)) return result;
    std::string ascii;
    for (std::string_view rest = result; !rest.empty();) {
        const auto [code_point, length] = decode_utf8(rest);
        if (code_point < 0x80) {
            ascii += rest.front();
        } else if (code_point == 0xFFFD) {
            ascii += '?';
        } else {
            ascii += code_point < 0x10000 ? fmt::format("\\u{:04x}", code_point)
                                          : fmt::format("\\U{:08x}", code_point);
        }
        rest.remove_prefix(length);
    }
    return ascii;
}

void TextWriter::paint_on(Paint paint) {
    if (style_.colour) output_.append(escape_sequence(paint));
}

void TextWriter::paint_off(Paint paint) {
    if (style_.colour && paint != Paint::plain) output_.append("\x1b[0m");
}

void TextWriter::begin_line(std::size_t indent, std::size_t hanging) {
    output_.append(blanks.substr(0, indent));
    column_ = indent;
    folded_indent_ = indent + hanging;
}

void TextWriter::begin_line_with(std::string_view prefix, std::size_t prefix_columns, std::size_t hanging) {
    paint_on(Paint::quiet);
    output_.append(prefix);
    paint_off(Paint::quiet);
    column_ = prefix_columns;
    folded_indent_ = prefix_columns + hanging;
}

void TextWriter::end_line() {
    output_.append('\n');
}

void TextWriter::add(std::string_view text, Paint paint) {
    paint_on(paint);
    output_.append(text);
    paint_off(paint);
    column_ += columns(text);
}

void TextWriter::fold() {
    output_.append('\n');
    output_.append(blanks.substr(0, folded_indent_));
    column_ = folded_indent_;
}

void TextWriter::add_part(std::string_view separator, std::string_view text, Paint paint) {
    const bool fits = style_.width == 0 || column_ + columns(separator) + columns(text) <= style_.width;
    if (!fits && column_ > folded_indent_) {
        const std::size_t end = separator.find_last_not_of(' ');
        if (end != std::string_view::npos) add(separator.substr(0, end + 1));
        fold();
    } else {
        add(separator);
    }
    add(text, paint);
}

void TextWriter::add_sentence(std::string_view text, Paint paint) {
    std::string_view separator = "";
    while (style_.width != 0 && !text.empty()) {
        const std::size_t end = std::min(text.find(' '), text.size());
        add_part(separator, text.substr(0, end), paint);
        text.remove_prefix(std::min(end + 1, text.size()));
        separator = " ";
    }
    if (!text.empty()) add(text, paint);
}

void TextWriter::pad_to(std::size_t column, std::size_t least) {
    const std::size_t missing = std::max(least, column > column_ ? column - column_ : 0);
    add(blanks.substr(0, std::min(missing, blanks.size())));
}

void TextWriter::line(std::size_t indent, std::string_view text, Paint paint) {
    begin_line(indent);
    add_sentence(text, paint);
    end_line();
}

}  // namespace asyncdump

#pragma once

#include <string>
#include <string_view>

#include "report/output_buffer.h"

namespace asyncdump {

enum class Paint { plain, heading, error, warning, function, location, quiet };

/// Lines of text in the colours and characters that the style allows, folded at the terminal's width. What it
/// is given must be printable already: see printable().
class TextWriter {
  public:
    TextWriter(const TextStyle& style, const Output& output) : style_(style), output_(output) {}

    const TextStyle& style() const { return style_; }

    /// Begins a line; a folded one goes on `hanging` columns further right.
    void begin_line(std::size_t indent, std::size_t hanging = 4);
    /// Like begin_line(), with `prefix` (`columns` wide) instead of blanks; a folded line goes on with
    /// blanks.
    void begin_line_with(std::string_view prefix, std::size_t columns, std::size_t hanging = 4);
    void end_line();
    void blank_line() { output_.append('\n'); }
    /// Text that is never separated from what stands before it.
    void add(std::string_view text, Paint paint = Paint::plain);
    /// A part of the line that goes to the next one when it does not fit; `separator` stands before it
    /// otherwise, except for its trailing blanks, which a fold swallows.
    void add_part(std::string_view separator, std::string_view text, Paint paint = Paint::plain);
    /// A sentence: folds between words.
    void add_sentence(std::string_view text, Paint paint = Paint::plain);
    /// Blanks up to a column, counted from 0; at least `least` of them.
    void pad_to(std::size_t column, std::size_t least = 2);
    /// A whole line.
    void line(std::size_t indent, std::string_view text, Paint paint = Paint::plain);

    std::string_view branch() const { return style_.unicode ? "├─ " : "|- "; }
    std::string_view last_branch() const { return style_.unicode ? "└─ " : "`- "; }
    std::string_view trunk() const { return style_.unicode ? "│  " : "|  "; }
    std::string_view times() const { return style_.unicode ? "×" : "x"; }

  private:
    void paint_on(Paint paint);
    void paint_off(Paint paint);
    void fold();

    TextStyle style_;
    OutputBuffer output_;
    std::size_t column_ = 0;
    std::size_t folded_indent_ = 0;
};

/// Columns that UTF-8 text takes, at one a character.
std::size_t columns(std::string_view text);

/// Text from the target, harmless, and without `unicode` plain ASCII: a terminal that does not expect UTF-8
/// may obey the single bytes of a character. Longer text than `most` bytes is cut and ends in "...".
std::string printable(std::string_view text, bool unicode, std::size_t most = 1000);

}  // namespace asyncdump

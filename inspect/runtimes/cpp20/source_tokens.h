// The tokens of C++ source text, as far as reading awaits and declarations needs them: comments and
// directives are left out, digraphs and trigraphs are not known.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace asyncdump::cpp20 {

struct TextPosition {
    std::uint32_t line = 0;
    std::uint32_t column = 0;  ///< in bytes, from 1; 0: unknown
    friend auto operator<=>(const TextPosition&, const TextPosition&) = default;
};

/// A word, number, literal, or one character of punctuation (two in `==`, `!=`, `<=`, `>=`, `::`, `->`).
struct Token {
    enum class Kind : std::uint8_t { word, number, literal, punctuation };
    Kind kind = Kind::punctuation;
    std::string_view text;  ///< of the text that was given
    TextPosition at;
};

constexpr std::size_t most_tokens = 4'000'000;

/// Lines and columns from 1. Ends at most_tokens.
std::vector<Token> tokens_of(std::string_view text);

}  // namespace asyncdump::cpp20

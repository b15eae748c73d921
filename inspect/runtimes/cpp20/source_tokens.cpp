#include "runtimes/cpp20/source_tokens.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <string>
#include <utility>

namespace asyncdump::cpp20 {

namespace {

bool begins_word(char c) {
    return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_' || (c & 0x80) != 0;
}
bool continues_word(char c) {
    return begins_word(c) || (c >= '0' && c <= '9');
}

class Tokenizer {
  public:
    explicit Tokenizer(std::string_view text) : text_(text) {}

    std::vector<Token> run() {
        while (at_ < text_.size() && tokens_.size() < most_tokens) step();
        return std::move(tokens_);
    }

  private:
    char peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }

    void advance(std::size_t count) {
        for (; count > 0 && at_ < text_.size(); --count, ++at_) {
            if (text_[at_] == '\n') {
                ++position_.line;
                position_.column = 1;
                line_is_fresh_ = true;
            } else {
                ++position_.column;
            }
        }
    }

    void push(Token::Kind kind, std::size_t length) {
        tokens_.push_back({kind, text_.substr(at_, length), position_});
        line_is_fresh_ = false;
        advance(length);
    }

    void step() {
        const char c = peek();
        if (std::isspace(static_cast<unsigned char>(c)) != 0) return advance(1);
        if (c == '/' && peek(1) == '/') return skip_line();
        if (c == '/' && peek(1) == '*') {
            const std::size_t end = text_.find("*/", at_ + 2);
            return advance((end == std::string_view::npos ? text_.size() : end + 2) - at_);
        }
        if (c == '#' && line_is_fresh_) return skip_line();
        if (c == '\\' && peek(1) == '\n') return advance(2);
        if (begins_word(c)) {
            std::size_t length = 1;
            while (continues_word(peek(length))) ++length;
            const std::string_view word = text_.substr(at_, length);
            if (peek(length) == '"' &&
                (word == "R" || word == "LR" || word == "u8R" || word == "uR" || word == "UR")) {
                return raw_string(length);
            }
            return push(Token::Kind::word, length);
        }
        if (c >= '0' && c <= '9') {
            std::size_t length = 1;
            while (continues_word(peek(length)) || peek(length) == '.' ||
                   (peek(length) == '\'' && continues_word(peek(length + 1)))) {
                ++length;
            }
            return push(Token::Kind::number, length);
        }
        if (c == '"' || c == '\'') {
            std::size_t length = 1;
            while (at_ + length < text_.size() && peek(length) != c && peek(length) != '\n') {
                length += peek(length) == '\\' ? 2 : 1;
            }
            return push(Token::Kind::literal, std::min(length + 1, text_.size() - at_));
        }
        const bool compares = (c == '=' || c == '!' || c == '<' || c == '>') && peek(1) == '=';
        const bool two = compares || (c == ':' && peek(1) == ':') || (c == '-' && peek(1) == '>');
        push(Token::Kind::punctuation, two ? 2 : 1);
    }

    // Comments and directives, with the lines that a backslash adds.
    void skip_line() {
        while (at_ < text_.size() && peek() != '\n') {
            const bool continued =
                peek() == '\\' && (peek(1) == '\n' || (peek(1) == '\r' && peek(2) == '\n'));
            advance(continued ? (peek(1) == '\r' ? 3 : 2) : 1);
        }
    }

    void raw_string(std::size_t prefix) {
        const std::size_t open = text_.find('(', at_ + prefix);
        if (open == std::string_view::npos || open - at_ > prefix + 18)
            return push(Token::Kind::literal, prefix + 1);
        const std::string end = fmt::format("){}\"", text_.substr(at_ + prefix + 1, open - at_ - prefix - 1));
        const std::size_t close = text_.find(end, open);
        const std::size_t stop = close == std::string_view::npos ? text_.size() : close + end.size();
        push(Token::Kind::literal, stop - at_);
    }

    std::string_view text_;
    std::size_t at_ = 0;
    TextPosition position_{1, 1};
    bool line_is_fresh_ = true;
    std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokens_of(std::string_view text) {
    return Tokenizer(text).run();
}

}  // namespace asyncdump::cpp20

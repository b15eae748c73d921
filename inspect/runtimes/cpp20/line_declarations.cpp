#include "runtimes/cpp20/line_declarations.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "runtimes/cpp20/source_tokens.h"

namespace asyncdump::cpp20 {
namespace {

constexpr std::size_t longest_line = 10'000;
constexpr std::size_t most_names = 200;

/// What stands before an expression, and never before a name that is declared as a variable.
constexpr std::array words_before_no_variable{
    "return", "co_return", "co_await", "co_yield", "throw",  "delete",  "new",
    "case",   "goto",      "else",     "do",       "and",    "or",      "not",
    "xor",    "bitand",    "bitor",    "compl",    "sizeof", "alignof", "operator",
    "using",  "namespace", "class",    "struct",   "union",  "enum",    "typename"};

class Line {
  public:
    explicit Line(std::string_view text) : tokens_(tokens_of(text)), open_(tokens_.size(), none) {
        std::vector<std::size_t> open;
        for (std::size_t i = 0; i < tokens_.size(); ++i) {
            around_.push_back(open.empty() ? none : open.back());
            if (is(i, "(") || is(i, "[") || is(i, "{")) {
                open.push_back(i);
            } else if ((is(i, ")") || is(i, "]") || is(i, "}")) && !open.empty()) {
                open_[i] = open.back();
                open.pop_back();
            }
        }
    }

    std::vector<DeclaredName> names(std::uint32_t statement_column) const {
        std::vector<DeclaredName> found;
        for (std::size_t i = 0; i < tokens_.size() && found.size() < most_names; ++i) {
            if (!may_be_declared(i) || is_parameter(i)) continue;
            const std::uint32_t column = tokens_[i].at.column;
            const bool is_visible = column < statement_column && is_visible_at(i, statement_column);
            found.push_back({std::string(tokens_[i].text), column, is_visible});
        }
        return found;
    }

  private:
    static constexpr std::size_t none = static_cast<std::size_t>(-1);

    bool is(std::size_t i, std::string_view text) const {
        return i < tokens_.size() && tokens_[i].text == text;
    }

    bool may_be_declared(std::size_t i) const {
        if (i == 0 || tokens_[i].kind != Token::Kind::word) return false;
        const bool ends_declarator = i + 1 == tokens_.size() || is(i + 1, "=") || is(i + 1, ";") ||
                                     is(i + 1, "{") || is(i + 1, "(") || is(i + 1, "[") || is(i + 1, ",") ||
                                     is(i + 1, "]") || is(i + 1, ":");
        if (!ends_declarator) return false;
        std::size_t before = i - 1;
        while (before > 0 && (is(before, "*") || is(before, "&"))) --before;
        return is(before, ",") || is(before, "[") || may_end_type(before);
    }

    bool may_end_type(std::size_t i) const {
        if (is(i, ">")) return true;
        if (is(i, ")")) return open_[i] != none && open_[i] > 0 && is(open_[i] - 1, "decltype");
        return tokens_[i].kind == Token::Kind::word &&
               std::ranges::find(words_before_no_variable, tokens_[i].text) == words_before_no_variable.end();
    }

    /// The parentheses of `if (auto x = ...)`, in which variables of the function are declared.
    bool belongs_to_statement(std::size_t parenthesis) const {
        return parenthesis > 0 &&
               (is(parenthesis - 1, "if") || is(parenthesis - 1, "for") || is(parenthesis - 1, "while") ||
                is(parenthesis - 1, "switch") || is(parenthesis - 1, "constexpr"));
    }

    /// The bracket around a name, without those of a structured binding.
    std::size_t scope_of(std::size_t i) const {
        std::size_t scope = around_[i];
        while (scope != none && is(scope, "[")) scope = around_[scope];
        return scope;
    }

    bool is_parameter(std::size_t i) const {
        const std::size_t scope = scope_of(i);
        return scope != none && is(scope, "(") && !belongs_to_statement(scope);
    }

    bool is_visible_at(std::size_t name, std::uint32_t column) const {
        enum class In { block, head, body_without_braces };
        const std::size_t scope = scope_of(name);
        In in = scope != none && is(scope, "(") ? In::head : In::block;
        bool is_complete = in == In::block;
        std::size_t depth = 0;
        for (std::size_t i = name + 1; i < tokens_.size() && tokens_[i].at.column < column; ++i) {
            if (is(i, "(") || is(i, "{")) ++depth;
            const bool closes = is(i, ")") || is(i, "}");
            if (closes && depth > 0) {
                --depth;
                if (in == In::body_without_braces && depth == 0 && is(i, "}") && ends_statement(i))
                    return false;
            } else if (closes) {
                // Behind `for (auto x : y)` the block in braces, or one statement, is what x lives in.
                if (in != In::head || !is(i, ")")) return false;
                in = is(i + 1, "{") ? In::block : In::body_without_braces;
                if (in == In::block) ++i;
                is_complete = true;
            } else if (is(i, ";") && depth == 0) {
                if (in == In::body_without_braces && !is(i + 1, "else")) return false;
                is_complete = true;
            }
        }
        return is_complete;
    }

    /// Whether nothing of a statement follows on a block's closing brace.
    bool ends_statement(std::size_t brace) const {
        const std::size_t next = brace + 1;
        return next < tokens_.size() && tokens_[next].kind == Token::Kind::word && !is(next, "else") &&
               !is(next, "while") && !is(next, "catch");
    }

    std::vector<Token> tokens_;
    std::vector<std::size_t> open_;    // of each closing bracket
    std::vector<std::size_t> around_;  // the bracket around each token
};

}  // namespace

std::vector<DeclaredName> declared_names(std::string_view line, std::uint32_t statement_column) {
    if (line.size() > longest_line) return {};
    return Line(line).names(statement_column);
}

bool is_visible_at_statement(const std::vector<DeclaredName>& names, std::string_view name,
                             std::uint32_t column) {
    bool found = false;
    for (const DeclaredName& one : names) {
        if (one.name != name || (column != 0 && one.column != column)) continue;
        if (!one.is_visible) return false;
        found = true;
    }
    return found;
}

}  // namespace asyncdump::cpp20

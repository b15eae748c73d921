// The co_await and co_yield expressions of a source file, found by reading its text: a helper for lines that
// the machine code leaves open. Knows tokens, brackets and the shape of an operand; knows no macros, no
// templates' ambiguities, no #if.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtimes/cpp20/source_tokens.h"

namespace asyncdump::cpp20 {

/// One co_await or co_yield with its operand.
struct AwaitExpression {
    TextPosition keyword;
    TextPosition operand_begin, operand_end;  ///< first bytes of the operand's first and last token
    TextPosition statement_begin,
        statement_end;        ///< first bytes of its first token and of the token that ends it
    TextPosition part_begin;  ///< the statement's part behind `for (...)`, or behind a `;` in such a head
    bool is_yield = false;
    bool in_for_increment = false;  ///< `for (;; here)`: comes after the body
    bool after_assignment =
        false;  ///< a `=` stands between this one and the one before it in the same statement
    std::size_t body = no_body;  ///< which function's or lambda's body it belongs to

    static constexpr std::size_t no_body = static_cast<std::size_t>(-1);
};

class SourceText {
  public:
    /// Files above a size or with absurdly many tokens are not read: empty.
    static std::optional<SourceText> parse(std::string text);

    std::string_view line(std::uint32_t number) const;  ///< from 1, without its end; "" beyond the last

    const std::vector<AwaitExpression>& awaits() const { return awaits_; }  ///< by position of the keyword

    /// Those whose keyword stands on these lines (both included).
    std::vector<const AwaitExpression*> on_lines(std::uint32_t first, std::uint32_t last) const;

    /// The innermost one whose keyword or operand covers a position. Without a column: the only one that
    /// touches the line; nullptr when there is none or more than one.
    const AwaitExpression* covering(TextPosition position) const;

    struct Body {
        TextPosition open, close;
        std::size_t id = 0;                      ///< as in AwaitExpression::body
        std::vector<std::string> words_of_head;  ///< before parentheses: `f` and `noexcept`
    };
    const Body* body_closed_at(TextPosition brace) const;  ///< nullptr when there is none, as of the next

    /// The one whose operand begins with this one: `co_await co_await x`; nullptr when there is none.
    const AwaitExpression* awaiting_result_of(const AwaitExpression& await) const;

    /// The await expression of the statement around a position; nullptr when it has none or more than one.
    const AwaitExpression* only_one_in_statement(TextPosition position) const;

    /// No statement that touches this line goes beyond it, nor one around a lambda on it.
    bool is_one_line(std::uint32_t line) const;

    /// The first body of a function, lambda or class that opens at or after a line (that of its declaration);
    /// nullptr also when two open on one line, and not exactly one of them has the function's name.
    const Body* body_declared_at(std::uint32_t line, std::string_view function) const;
    std::vector<const AwaitExpression*> in_body(
        const Body& body) const;  ///< in order, without those of bodies within it

    /// Where the body around an await calls functions of a name (without scope). It can be wrong where a
    /// macro calls one.
    enum class Calls : std::uint8_t {
        unknown,    ///< not at all, here and there, or for something that may keep what the call returned
        elsewhere,  ///< in other statements, only as the operand of a co_await: what was returned is no more
        before,     ///< in the await's own statement and before it, or in its operand: it still is
    };
    Calls calls_of(std::string_view name, const AwaitExpression& await) const;

    /// An identifier that looks like a macro (capitals only) stands between these positions, and the file
    /// itself does not define it as something without an await.
    bool has_macros(TextPosition first, TextPosition last) const;
    bool has_macros_on(std::uint32_t line) const;

  private:
    const Body* body_around(TextPosition position) const;
    std::size_t offset_of(TextPosition position) const;

    std::string text_;
    std::vector<std::size_t> line_begins_;
    std::vector<AwaitExpression> awaits_;
    std::vector<TextPosition> macros_;  ///< sorted
    std::vector<Body> bodies_;          ///< of functions, lambdas and classes, in order of opening
    std::vector<bool> one_line_;        ///< by line number
};

/// Source files, read once. A file that is newer than the program that was made from it is not trusted.
class SourceTextCache {
  public:
    /// nullptr when the file cannot be read. `program` may be "" or not readable: then age is not compared.
    const SourceText* find(const std::string& path, const std::string& program);

  private:
    std::unordered_map<std::string, std::optional<SourceText>> files_;
};

}  // namespace asyncdump::cpp20

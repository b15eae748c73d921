#include "runtimes/cpp20/source_text.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstddef>
#include <span>

#include "base/file_descriptor.h"

namespace asyncdump::cpp20 {

namespace {

constexpr std::size_t max_file_bytes = 16 << 20;
constexpr std::size_t max_template_tokens = 400;
constexpr std::size_t max_nesting = 500;
constexpr std::size_t max_awaits = 50'000;
constexpr std::size_t max_expression_tokens =
    2000;  // looked at for one operand or statement: keeps hostile text linear

class Parser {
  public:
    explicit Parser(const std::vector<Token>& tokens) : tokens_(tokens), partner_(tokens.size(), none) {
        match_brackets();
        for (std::size_t i = 0; i < tokens.size(); ++i) {
            if (is(i, "{")) brace_kinds_.emplace(i, kind_of(i));
        }
    }

    bool is(std::size_t i, std::string_view text) const {
        return i < tokens_.size() && tokens_[i].text == text;
    }
    std::size_t partner(std::size_t i) const { return partner_[i]; }
    static constexpr std::size_t none = static_cast<std::size_t>(-1);

    /// Last token of a unary expression that begins at `i`.
    std::size_t unary_end(std::size_t i) const {
        const std::size_t limit = i + max_expression_tokens;
        while (i < std::min(tokens_.size(), limit) &&
               (is(i, "*") || is(i, "&") || is(i, "!") || is(i, "~") || is(i, "-") || is(i, "+") ||
                is(i, "co_await") || is(i, "new") || is(i, "sizeof"))) {
            ++i;
        }
        if (i >= tokens_.size()) return tokens_.empty() ? 0 : tokens_.size() - 1;
        std::size_t last = i;
        if (is(i, "[")) return lambda_end(i);
        if (is(i, "(") || is(i, "{")) {
            if (partner_[i] == none) return i;
            last = partner_[i];
            // `(type)operand`: a word or an opening parenthesis right behind.
            if (is(i, "(") && last + 1 < tokens_.size() &&
                (tokens_[last + 1].kind == Token::Kind::word ||
                 tokens_[last + 1].kind == Token::Kind::number) &&
                !is(last + 1, "and") && !is(last + 1, "or")) {
                return unary_end(last + 1);
            }
        } else if (is(i, "::")) {
            last = i + 1;
        }
        return postfix_end(last);
    }

    /// First token of the scopes and objects before the member or function name at `i`: of `a(b).c->d`.
    std::size_t postfix_begin(std::size_t i) const {
        while (i > 0 && (is(i - 1, "::") || is(i - 1, ".") || is(i - 1, "->"))) {
            --i;
            while (i > 0 && (is(i - 1, ")") || is(i - 1, "]")) && partner_[i - 1] != none)
                i = partner_[i - 1];
            if (i > 0 && tokens_[i - 1].kind == Token::Kind::word && !is(i - 1, "co_await")) --i;
        }
        return i;
    }

    /// Last token of an assignment expression or braced list that begins at `i`.
    std::size_t assignment_end(std::size_t i) const {
        std::size_t last = i;
        for (std::size_t steps = 0; i < tokens_.size() && steps < max_expression_tokens; ++steps) {
            if (is(i, ";") || is(i, ",") || is(i, ")") || is(i, "]") || is(i, "}")) break;
            last = i;
            if (partner_[i] != none && partner_[i] > i) last = partner_[i];
            i = last + 1;
        }
        return std::min(last, tokens_.size() - 1);
    }

    /// First token of the statement around `i`, and the token that ends it.
    std::pair<std::size_t, std::size_t> statement(std::size_t i) const {
        std::size_t first = i;
        for (std::size_t steps = 0; first > 0 && steps < max_expression_tokens; ++steps) {
            const std::size_t before = first - 1;
            if (is(before, ";") && !is_inside_parentheses(before)) break;
            if (is(before, "{") && !is_initializer(before)) break;
            if (is(before, "}")) {
                if (!belongs_to_expression(before)) break;
                first = partner_[before];
                continue;
            }
            first = before;
        }
        std::size_t last = i;
        for (std::size_t steps = 0; last + 1 < tokens_.size() && steps < max_expression_tokens; ++steps) {
            if (is(last, ";") && !is_inside_parentheses(last)) break;
            if (is(last, "}") && (partner_[last] == none || !is_initializer(partner_[last]))) break;
            if (is(last, "{")) {
                if (!belongs_to_expression(last)) break;
                last = partner_[last];
            }
            ++last;
        }
        return {first, std::min(last, tokens_.size() - 1)};
    }

    /// First token of the part of a statement around `i` that begins at `first`: of the body without braces
    /// behind its last head, `for (...)`; in a head, of what stands behind its last `;`.
    std::size_t part_of_statement(std::size_t first, std::size_t i) const {
        std::size_t begin = first;
        for (std::size_t at = first; at < i; ++at) {
            const bool is_closed_before = partner_[at] != none && at < partner_[at] && partner_[at] < i;
            if (opens_head(at)) {
                if (is_closed_before) begin = partner_[at] + 1;
                for (std::size_t inside = at + 1; !is_closed_before && inside < i; ++inside) {
                    if (is(inside, ";") && enclosing_[inside] == at) begin = inside + 1;
                }
            }
            if (is_closed_before) at = partner_[at];
        }
        return begin;
    }

    /// The opening brace of the innermost function, lambda or class around a token; `none` at namespace
    /// level.
    std::size_t body_around(std::size_t i) const {
        std::size_t steps = 0;
        for (std::size_t open = enclosing_[i]; open != none && ++steps < max_nesting;
             open = enclosing_[open]) {
            if (is(open, "{") && partner_[open] != none && is_body(open)) return open;
        }
        return none;
    }

    bool opens_body(std::size_t i) const { return is(i, "{") && partner_[i] != none && is_body(i); }

    /// The words that stand before parentheses in the head before an opening brace: of a function, one is its
    /// name.
    std::vector<std::string> words_of_head(std::size_t brace) const {
        constexpr std::size_t most_tokens = 200;
        std::vector<std::string> words;
        for (std::size_t i = brace, steps = 0; i > 0 && ++steps < most_tokens;) {
            --i;
            if (is(i, ";") || is(i, "{") || is(i, "}") || is(i, "(")) break;
            if (!is(i, ")") || partner_[i] == none) continue;
            i = partner_[i];
            if (i > 0 && tokens_[i - 1].kind == Token::Kind::word) words.emplace_back(tokens_[i - 1].text);
        }
        return words;
    }

    /// Whether no statement goes on from the token before `i` to the token `i`.
    bool ends_statement_before(std::size_t i) const {
        if (i == 0 || i >= tokens_.size()) return true;
        const std::size_t before = i - 1;
        if (is(before, "else") || is(before, "do")) return true;
        if (is(before, "{"))
            return !belongs_to_expression(before) || brace_kinds_.at(before) == BraceKind::lambda;
        if (is_inside_parentheses(before)) return false;
        if (is(before, "}")) return !belongs_to_expression(before);
        if (is(before, ")")) return partner_[before] != none && opens_head(partner_[before]);
        return is(before, ";");
    }

    /// Whether a bracket of an expression opens between the tokens `first` and `end` and closes elsewhere, or
    /// the other way round: the statement around a lambda goes on where one in the lambda ends.
    bool cuts_expression(std::size_t first, std::size_t end) const {
        for (std::size_t i = first; i < end; ++i) {
            const std::size_t other = partner_[i];
            if (other == none || (other >= first && other < end)) continue;
            const std::size_t open = std::min(i, other);
            if (!is(open, "{")) return true;
            const BraceKind kind = brace_kinds_.at(open);
            if (kind == BraceKind::lambda || (kind == BraceKind::other && belongs_to_expression(open)))
                return true;
        }
        return false;
    }

    bool in_for_increment(std::size_t i) const {
        std::size_t steps = 0;
        for (std::size_t open = enclosing_[i]; open != none && !is(open, "{") && ++steps < max_nesting;
             open = enclosing_[open]) {
            if (!is(open, "(") || open == 0 || !is(open - 1, "for") || i - open > max_expression_tokens)
                continue;
            std::size_t semicolons = 0;
            for (std::size_t at = open + 1; at < i; ++at) {
                if (is(at, ";") && enclosing_[at] == open) ++semicolons;
            }
            return semicolons >= 2;
        }
        return false;
    }

  private:
    enum class BraceKind { function, lambda, class_, other };

    bool opens_head(std::size_t i) const {
        if (i == 0 || !is(i, "(")) return false;
        const std::size_t before = i - 1;
        return is(before, "if") || is(before, "while") || is(before, "for") || is(before, "switch") ||
               (is(before, "constexpr") && before > 0 && is(before - 1, "if"));
    }

    bool is_body(std::size_t brace) const { return brace_kinds_.at(brace) != BraceKind::other; }

    // What an opening brace begins; `other` for blocks, initialisers and namespaces.
    BraceKind kind_of(std::size_t brace) const {
        constexpr std::size_t max_signature_tokens = 80;
        std::size_t at = brace;
        for (std::size_t steps = 0; at > 0 && steps < max_signature_tokens; ++steps) {
            --at;
            if (is(at, ")")) {
                const std::size_t open = partner_[at];
                if (open == none || open == 0) return BraceKind::other;
                const std::string_view before = tokens_[open - 1].text;
                if (before == "noexcept" || before == "requires" || before == "decltype") {
                    at = open;
                    continue;
                }
                if (before == "if" || before == "while" || before == "for" || before == "switch" ||
                    before == "catch" || before == "constexpr") {
                    return BraceKind::other;
                }
                return before == "]" ? BraceKind::lambda : BraceKind::function;
            }
            if (is(at, "]")) return steps == 0 ? BraceKind::lambda : BraceKind::other;
            const std::string_view text = tokens_[at].text;
            if (text == "struct" || text == "class" || text == "union") return BraceKind::class_;
            if (text == "namespace" || text == "enum" || text == "else" || text == "do" || text == "try" ||
                text == "=" || text == "return" || text == "," || text == "(" || text == ";" || text == "{" ||
                text == "}") {
                return BraceKind::other;
            }
        }
        return BraceKind::other;
    }

    void match_brackets() {
        std::vector<std::size_t> open;
        enclosing_.reserve(tokens_.size());
        for (std::size_t i = 0; i < tokens_.size(); ++i) {
            const std::string_view text = tokens_[i].text;
            enclosing_.push_back(open.empty() ? none : open.back());
            if (text == "(" || text == "[" || text == "{") {
                open.push_back(i);
            } else if (text == ")" || text == "]" || text == "}") {
                const char wanted = text == ")" ? '(' : text == "]" ? '[' : '{';
                if (!open.empty() && tokens_[open.back()].text.front() == wanted) {
                    partner_[i] = open.back();
                    partner_[open.back()] = i;
                    open.pop_back();
                }
            }
        }
    }

    // Directly: what stands in braces within parentheses (a lambda's body) is not.
    bool is_inside_parentheses(std::size_t i) const {
        const bool closes = is(i, ")") || is(i, "]") || is(i, "}");
        const std::size_t around = closes && partner_[i] != none ? enclosing_[partner_[i]] : enclosing_[i];
        return around != none && !is(around, "{");
    }

    // Braces around values, not around statements.
    bool is_initializer(std::size_t open) const {
        return belongs_to_expression(open) && brace_kinds_.at(open) != BraceKind::lambda;
    }

    // `Type{...}`, `f({...})` or a lambda against `if (...) {`, `else {`, `try {`.
    bool belongs_to_expression(std::size_t brace) const {
        const std::size_t open = is(brace, "{") ? brace : partner_[brace];
        if (open == none || open == 0 || partner_[open] == none) return false;
        if (is_inside_parentheses(open) || brace_kinds_.at(open) == BraceKind::lambda) return true;
        const Token& before = tokens_[open - 1];
        if (before.kind == Token::Kind::word) {
            return before.text != "else" && before.text != "try" && before.text != "do" &&
                   before.text != "const" && before.text != "noexcept" && before.text != "mutable";
        }
        return before.text == "(" || before.text == "," || before.text == "=" || before.text == ">" ||
               before.text == "return";
    }

    std::size_t postfix_end(std::size_t last) const {
        for (std::size_t steps = 0; last + 1 < tokens_.size() && steps < max_expression_tokens; ++steps) {
            const std::size_t next = last + 1;
            if (is(next, "(") || is(next, "[") || is(next, "{")) {
                if (partner_[next] == none) return last;
                last = partner_[next];
            } else if (is(next, "::") || is(next, ".") || is(next, "->")) {
                last = std::min(next + 1, tokens_.size() - 1);
                if (is(last, "template") || is(last, "*")) ++last;
            } else if (is(next, "<") && tokens_[last].kind == Token::Kind::word) {
                const std::size_t close = template_end(next);
                if (close == none) return last;
                last = close;
            } else {
                return last;
            }
        }
        return std::min(last, tokens_.size() - 1);
    }

    // `<` opens template arguments when a matching `>` follows before anything that cannot stand in them, and
    // a call, braces or `::` come right behind.
    std::size_t template_end(std::size_t open) const {
        std::size_t depth = 0;
        for (std::size_t i = open; i < tokens_.size() && i - open < max_template_tokens; ++i) {
            if (is(i, "<")) ++depth;
            if (is(i, ">") && --depth == 0) {
                return is(i + 1, "(") || is(i + 1, "{") || is(i + 1, "::") ? i : none;
            }
            if (is(i, ";") || is(i, ")") || is(i, "}")) return none;
            if ((is(i, "(") || is(i, "[") || is(i, "{")) && partner_[i] != none) i = partner_[i];
        }
        return none;
    }

    std::size_t lambda_end(std::size_t open) const {
        std::size_t i = partner_[open];
        while (i != none && i + 1 < tokens_.size() && !is(i, "{") && !is(i, ";")) {
            i = (is(i, "(") || is(i, "[")) && partner_[i] != none ? partner_[i] + 1 : i + 1;
        }
        if (i == none || i >= tokens_.size() || !is(i, "{") || partner_[i] == none) return open;
        return postfix_end(partner_[i]);
    }

    const std::vector<Token>& tokens_;
    std::vector<std::size_t> partner_;
    std::unordered_map<std::size_t, BraceKind> brace_kinds_;
    std::vector<std::size_t> enclosing_;  // the bracket around each token
};

bool looks_like_macro(std::string_view word) {
    if (word.size() < 3 || word.starts_with("__")) return false;
    return std::ranges::all_of(
        word, [](char c) { return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; });
}

/// The macros that the text itself defines, and in which no await can hide: by name, whether none can.
std::unordered_map<std::string_view, bool> defined_macros(std::string_view text) {
    std::unordered_map<std::string_view, bool> macros;
    for (std::size_t begin = 0; begin < text.size();) {
        std::size_t end = text.find('\n', begin);
        while (end != text.npos && end > begin && text[end - 1] == '\\') end = text.find('\n', end + 1);
        const std::string_view line = text.substr(begin, end == text.npos ? end : end - begin);
        begin = end == text.npos ? text.size() : end + 1;
        const std::size_t hash = line.find_first_not_of(" \t");
        if (hash == line.npos || line[hash] != '#') continue;
        const std::vector<Token> tokens = tokens_of(line.substr(hash + 1));
        if (tokens.size() < 2 || tokens[0].text != "define") continue;
        const bool is_harmless = std::ranges::none_of(std::span(tokens).subspan(2), [&](const Token& token) {
            if (token.kind != Token::Kind::word) return false;
            const auto other = macros.find(token.text);
            return token.text.starts_with("co_") ||
                   (looks_like_macro(token.text) && (other == macros.end() || !other->second));
        });
        const auto [entry, is_new] = macros.try_emplace(tokens[1].text, is_harmless);
        if (!is_new) entry->second = entry->second && is_harmless;
    }
    return macros;
}

}  // namespace

std::optional<SourceText> SourceText::parse(std::string text) {
    if (text.size() > max_file_bytes) return std::nullopt;
    SourceText result;
    result.text_ = std::move(text);
    result.line_begins_.push_back(0);
    for (std::size_t i = 0; i < result.text_.size(); ++i) {
        if (result.text_[i] == '\n') result.line_begins_.push_back(i + 1);
    }
    const std::vector<Token> tokens = tokens_of(result.text_);
    if (tokens.size() >= most_tokens) return std::nullopt;
    const Parser parser(tokens);
    if (!tokens.empty()) result.one_line_.assign(tokens.back().at.line + 1, false);
    for (std::size_t i = 0; i < tokens.size();) {
        std::size_t next = i + 1;
        while (next < tokens.size() && tokens[next].at.line == tokens[i].at.line) ++next;
        result.one_line_[tokens[i].at.line] = parser.ends_statement_before(i) &&
                                              parser.ends_statement_before(next) &&
                                              !parser.cuts_expression(i, next);
        i = next;
    }
    const auto macros = defined_macros(result.text_);
    const auto may_hide_await = [&](std::string_view word) {
        const auto defined = looks_like_macro(word) ? macros.find(word) : macros.end();
        return looks_like_macro(word) && (defined == macros.end() || !defined->second);
    };
    std::size_t last_keyword = 0;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        if (parser.opens_body(i)) {
            result.bodies_.push_back(
                {tokens[i].at, tokens[parser.partner(i)].at, i, parser.words_of_head(i)});
        }
        if (tokens[i].kind != Token::Kind::word) continue;
        if (may_hide_await(tokens[i].text)) result.macros_.push_back(tokens[i].at);
        const bool is_yield = tokens[i].text == "co_yield";
        if ((!is_yield && tokens[i].text != "co_await") || i + 1 >= tokens.size()) continue;
        if (result.awaits_.size() >= max_awaits) return std::nullopt;
        // `operator co_await` is no await.
        if (i > 0 && tokens[i - 1].text == "operator") continue;
        AwaitExpression await;
        await.is_yield = is_yield;
        await.keyword = tokens[i].at;
        await.operand_begin = tokens[i + 1].at;
        await.operand_end = tokens[is_yield ? parser.assignment_end(i + 1) : parser.unary_end(i + 1)].at;
        const auto [first, last] = parser.statement(i);
        await.statement_begin = tokens[first].at;
        await.statement_end = tokens[last].at;
        await.part_begin = tokens[parser.part_of_statement(first, i)].at;
        if (!result.awaits_.empty() && result.awaits_.back().statement_begin == await.statement_begin) {
            for (std::size_t at = last_keyword; at < i && !await.after_assignment; ++at) {
                await.after_assignment = parser.is(at, "=");
            }
        }
        last_keyword = i;
        await.in_for_increment = parser.in_for_increment(i);
        await.body = parser.body_around(i);
        result.awaits_.push_back(await);
    }
    return result;
}

std::string_view SourceText::line(std::uint32_t number) const {
    if (number == 0 || number > line_begins_.size()) return {};
    const std::size_t begin = line_begins_[number - 1];
    const std::size_t end = text_.find('\n', begin);
    return std::string_view(text_).substr(begin, end == std::string::npos ? std::string::npos : end - begin);
}

std::vector<const AwaitExpression*> SourceText::on_lines(std::uint32_t first, std::uint32_t last) const {
    std::vector<const AwaitExpression*> found;
    auto await = std::ranges::lower_bound(awaits_, TextPosition{first, 0}, {}, &AwaitExpression::keyword);
    for (; await != awaits_.end() && await->keyword.line <= last; ++await) found.push_back(&*await);
    return found;
}

const AwaitExpression* SourceText::covering(TextPosition position) const {
    const AwaitExpression* found = nullptr;
    for (const AwaitExpression& await : awaits_) {
        if (await.keyword.line > position.line) break;
        if (await.operand_end.line < position.line) continue;
        if (position.column == 0) {
            if (found != nullptr) return nullptr;
            found = &await;
        } else if (await.keyword <= position && position <= await.operand_end) {
            found = &await;  // a later keyword that still covers it lies further in
        }
    }
    return found;
}

const AwaitExpression* SourceText::only_one_in_statement(TextPosition position) const {
    const AwaitExpression* found = nullptr;
    for (const AwaitExpression& await : awaits_) {
        if (position < await.statement_begin || await.statement_end < position) continue;
        if (found != nullptr) return nullptr;
        found = &await;
    }
    return found;
}

const AwaitExpression* SourceText::awaiting_result_of(const AwaitExpression& await) const {
    const auto found = std::ranges::find(awaits_, await.keyword, &AwaitExpression::operand_begin);
    return found == awaits_.end() ? nullptr : &*found;
}

const SourceText::Body* SourceText::body_closed_at(TextPosition brace) const {
    const auto body = std::ranges::find(bodies_, brace, &Body::close);
    return body == bodies_.end() ? nullptr : &*body;
}

const SourceText::Body* SourceText::body_declared_at(std::uint32_t line, std::string_view function) const {
    const auto first = std::ranges::lower_bound(bodies_, TextPosition{line, 0}, {}, &Body::open);
    if (first == bodies_.end()) return nullptr;
    const auto last = std::ranges::upper_bound(first, bodies_.end(), first->open.line, {},
                                               [](const Body& body) { return body.open.line; });
    if (last - first == 1) return &*first;
    const auto is_of_function = [&](const Body& body) {
        return std::ranges::find(body.words_of_head, function.substr(0, function.find('<'))) !=
               body.words_of_head.end();
    };
    const auto body = std::find_if(first, last, is_of_function);
    return body == last || std::any_of(std::next(body), last, is_of_function) ? nullptr : &*body;
}

std::vector<const AwaitExpression*> SourceText::in_body(const Body& body) const {
    std::vector<const AwaitExpression*> found;
    for (const AwaitExpression& await : awaits_) {
        if (await.body == body.id) found.push_back(&await);
    }
    return found;
}

const SourceText::Body* SourceText::body_around(TextPosition position) const {
    const Body* innermost = nullptr;
    for (const Body& body : bodies_) {
        if (position < body.open) break;
        if (position <= body.close) innermost = &body;
    }
    return innermost;
}

std::size_t SourceText::offset_of(TextPosition position) const {
    return line_begins_[position.line - 1] + position.column - 1;
}

SourceText::Calls SourceText::calls_of(std::string_view name, const AwaitExpression& await) const {
    const Body* const body = body_around(await.keyword);
    if (body == nullptr) return Calls::unknown;
    const std::string_view text(text_);
    const std::size_t open = offset_of(body->open), close = offset_of(body->close);
    const std::vector<Token> tokens = tokens_of(text.substr(open, close - open));
    const Parser parser(tokens);
    std::optional<Calls> calls;
    for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
        if (tokens[i].text != name || !(parser.is(i + 1, "(") || parser.is(i + 1, "<"))) continue;
        const auto at = static_cast<std::size_t>(tokens[i].text.data() - text.data());
        const std::size_t begin = parser.postfix_begin(i);
        Calls call = Calls::unknown;
        if (at >= offset_of(await.part_begin) && at <= offset_of(await.statement_end)) {
            if (at > offset_of(await.operand_end)) continue;  // not yet
            call = Calls::before;
        } else if (begin > 0 && parser.is(begin - 1, "co_await")) {
            call = Calls::elsewhere;
        }
        if (calls && *calls != call) return Calls::unknown;
        calls = call;
    }
    return calls.value_or(Calls::unknown);
}

bool SourceText::is_one_line(std::uint32_t line) const {
    return line < one_line_.size() && one_line_[line];
}

bool SourceText::has_macros(TextPosition first, TextPosition last) const {
    const auto found = std::ranges::lower_bound(macros_, first);
    return found != macros_.end() && *found <= last;
}

bool SourceText::has_macros_on(std::uint32_t line) const {
    return has_macros({line, 0}, {line + 1, 0});
}

const SourceText* SourceTextCache::find(const std::string& path, const std::string& program) {
    const auto [entry, is_new] = files_.try_emplace(path);
    if (is_new) {
        const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
        struct stat source {};
        struct stat made {};
        if (!file || ::fstat(file.get(), &source) != 0 || !S_ISREG(source.st_mode)) return nullptr;
        if (source.st_size > static_cast<off_t>(max_file_bytes)) return nullptr;
        if (!program.empty() && ::stat(program.c_str(), &made) == 0 && source.st_mtime > made.st_mtime)
            return nullptr;
        std::string text(static_cast<std::size_t>(source.st_size), '\0');
        std::size_t done = 0;
        while (done < text.size()) {
            const ssize_t count = ::read(file.get(), text.data() + done, text.size() - done);
            if (count <= 0) break;
            done += static_cast<std::size_t>(count);
        }
        text.resize(done);
        entry->second = SourceText::parse(std::move(text));
    }
    return entry->second ? &*entry->second : nullptr;
}

}  // namespace asyncdump::cpp20

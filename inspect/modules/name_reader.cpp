#include "modules/name_reader.h"

#include <array>
#include <vector>

#include "modules/name_folding.h"

namespace asyncdump {
namespace {

constexpr std::size_t maximal_depth = 200;  // of brackets

bool is_identifier_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '$' || static_cast<unsigned char>(c) >= 0x80;
}

/// The length of the operator's symbol at the beginning of `text` ("()", "<<=", "->*", ...); 0 when there is
/// none, as in "operator bool".
std::size_t operator_symbol_length(std::string_view text) {
    // Longer ones first: "<<=" begins with "<<", which begins with "<".
    constexpr std::array<std::string_view, 41> symbols = {
        "->*", "<=>", "<<=", ">>=", "()", "[]", "->", "<<", ">>", "<=", ">=", "==",   "!=", "&&",
        "||",  "++",  "--",  "+=",  "-=", "*=", "/=", "%=", "^=", "&=", "|=", "\"\"", "<",  ">",
        "+",   "-",   "*",   "/",   "%",  "^",  "&",  "|",  "~",  "!",  "=",  ",",    ".*"};
    for (const auto symbol : symbols)
        if (text.starts_with(symbol)) return symbol.size();
    return 0;
}

class Reader {
  public:
    explicit Reader(std::string_view text) : text_(text), is_libcxx_(text.find("std::__1::") != text.npos) {}

    std::optional<std::string> read_all() {
        std::string out;
        if (!sequence(out, '\0', 0) || position_ != text_.size()) return std::nullopt;
        return out;
    }

  private:
    char peek(std::size_t ahead = 0) const {
        return position_ + ahead < text_.size() ? text_[position_ + ahead] : '\0';
    }
    std::string_view rest() const { return text_.substr(position_); }

    void take(std::string& out, std::size_t count) {
        out += text_.substr(position_, count);
        position_ += count;
    }

    /// Reads up to `closer` ('\0': the end of the text; '>': also a comma), which it leaves. False on
    /// malformed text.
    bool sequence(std::string& out, char closer, std::size_t depth) {
        if (depth > maximal_depth) return false;
        bool after_name = false;  // whether a '<' here would open template arguments
        while (position_ < text_.size()) {
            const char c = peek();
            if (c == closer || (closer == '>' && c == ',')) return true;
            if (c == '>' && closer == '\0') return false;
            if (is_identifier_character(c)) {
                after_name = identifier(out);
            } else if (c == '<' && after_name) {
                if (!template_arguments(out, depth)) return false;
            } else if (c == '<' && closer != ')' && closer != '}') {
                if (!angle_bracketed_name(out)) return false;
                after_name = true;
            } else if (rest().starts_with("[abi:")) {
                const auto end = text_.find(']', position_);
                if (end == text_.npos) return false;
                position_ = end + 1;
            } else if (c == '(' || c == '[' || c == '{') {
                const char matching = c == '(' ? ')' : c == '[' ? ']' : '}';
                take(out, 1);
                if (!sequence(out, matching, depth + 1) || peek() != matching) return false;
                take(out, 1);
                after_name = c == '{';  // {lambda()#1}<...> does occur, (anonymous namespace)<...> does not
            } else if (c == ')' || c == ']' || c == '}') {
                return false;
            } else if (c == '\'' || c == '"') {
                if (!quoted(out)) return false;
                after_name = false;
            } else if (rest().starts_with("->")) {
                take(out, 2);
                after_name = false;
            } else if (c == ' ') {
                space(out, closer);
                after_name = false;
            } else {
                take(out, 1);
                after_name = false;
            }
        }
        return closer == '\0';
    }

    /// Compilers differ in the space before '>' and ','; it is left out.
    void space(std::string& out, char closer) {
        const auto next = text_.find_first_not_of(' ', position_);
        const bool before_end =
            next != text_.npos && closer == '>' && (text_[next] == '>' || text_[next] == ',');
        if (before_end)
            position_ = next;
        else
            take(out, 1);
    }

    /// Reads an identifier or operator name. Returns whether template arguments may follow.
    bool identifier(std::string& out) {
        std::size_t length = 1;
        while (is_identifier_character(peek(length))) ++length;
        const auto word = text_.substr(position_, length);
        if (word == "operator") return operator_name(out);
        if (is_inline_namespace_of_std(word) && text_.substr(position_ + length).starts_with("::") &&
            is_within_std(out)) {
            position_ += length + 2;
            return false;
        }
        take(out, length);
        return true;
    }

    bool operator_name(std::string& out) {
        take(out, std::string_view("operator").size());
        const auto symbol = operator_symbol_length(rest());
        if (symbol == 0) return false;  // operator bool, operator new: the words that follow are read as such
        take(out, symbol);
        // Demanglers set a space between operator< and its template arguments.
        if (rest().starts_with(" <")) take(out, 1);
        return true;
    }

    /// Whether what was written so far ends in "std::" or a namespace inside it ("std::chrono::").
    static bool is_within_std(std::string_view out) {
        const auto qualified = qualified_name_at_end(out);
        return qualified.starts_with("std::") && qualified.ends_with("::");
    }

    static std::string_view qualified_name_at_end(std::string_view out) {
        std::size_t begin = out.size();
        while (begin > 0 && (is_identifier_character(out[begin - 1]) || out[begin - 1] == ':')) --begin;
        return out.substr(begin);
    }

    bool template_arguments(std::string& out, std::size_t depth) {
        ++position_;  // <
        std::vector<std::string> arguments;
        for (;;) {
            while (peek() == ' ') ++position_;
            if (peek() == '>' && arguments.empty()) break;
            std::string argument;
            if (!sequence(argument, '>', depth + 1) || position_ >= text_.size()) return false;
            arguments.push_back(std::move(argument));
            if (peek() == '>') break;
            ++position_;  // ,
        }
        ++position_;  // >
        const auto name = std::string(qualified_name_at_end(out));
        out.resize(out.size() - name.size());
        out += fold_template(name, std::move(arguments), is_libcxx_);
        return true;
    }

    /// GCC's DWARF names: <lambda(int)>, <unnamed struct>.
    bool angle_bracketed_name(std::string& out) {
        std::size_t depth = 0;
        for (std::size_t i = position_; i < text_.size(); ++i) {
            if (text_[i] == '<') ++depth;
            const bool is_arrow = text_[i] == '>' && i > 0 && text_[i - 1] == '-';
            if (text_[i] == '>' && !is_arrow && --depth == 0) {
                take(out, i + 1 - position_);
                return true;
            }
        }
        return false;
    }

    bool quoted(std::string& out) {
        const auto end = text_.find(peek(), position_ + 1);
        if (end == text_.npos) return false;
        take(out, end + 1 - position_);
        return true;
    }

    std::string_view text_;
    std::size_t position_ = 0;
    bool is_libcxx_;
};

/// The position after the bracket that matches the one at `open`; npos when there is none. Angle brackets are
/// not counted: within round ones they match or are operators.
std::size_t after_matching_bracket(std::string_view text, std::size_t open) {
    const char opener = text[open];
    const char closer = opener == '(' ? ')' : opener == '[' ? ']' : '}';
    std::size_t depth = 0;
    for (std::size_t i = open; i < text.size(); ++i) {
        if (text[i] == opener) ++depth;
        if (text[i] == closer && --depth == 0) return i + 1;
    }
    return text.npos;
}

}  // namespace

std::optional<std::string> read_and_fold(std::string_view name) {
    return Reader(name).read_all();
}

std::string_view without_return_type(std::string_view demangled) {
    std::size_t name_begin = 0;
    std::size_t angle_depth = 0;
    std::size_t i = 0;
    while (i < demangled.size()) {
        const auto rest = demangled.substr(i);
        const bool begins_word = i == 0 || !is_identifier_character(demangled[i - 1]);
        if (angle_depth == 0 && begins_word && rest.starts_with("operator") &&
            !is_identifier_character(rest.size() > 8 ? rest[8] : ' '))
            return demangled.substr(name_begin);  // what follows is the name, spaces or not
        if (begins_word && (rest.starts_with("decltype (") || rest.starts_with("decltype(") ||
                            rest.starts_with("(anonymous namespace)"))) {
            const auto end = after_matching_bracket(demangled, demangled.find('(', i));
            if (end == demangled.npos) return demangled;
            i = end;
            continue;
        }
        const char c = demangled[i];
        if (c == '(' || c == '[' || c == '{') {
            // The parameters follow their function's name directly. A bracket behind a space belongs to a
            // declarator, as in void (*f<int>(int))(char): there the return type surrounds the name.
            if (angle_depth == 0 && c == '(') {
                const bool follows_name = i > name_begin;
                return follows_name ? demangled.substr(name_begin) : demangled;
            }
            const auto end = after_matching_bracket(demangled, i);
            if (end == demangled.npos) return demangled;
            i = end;
            continue;
        }
        if (c == '<') ++angle_depth;
        if (c == '>' && angle_depth > 0 && !(i > 0 && demangled[i - 1] == '-')) --angle_depth;
        if (c == ' ' && angle_depth == 0) name_begin = i + 1;
        ++i;
    }
    return demangled;
}

}  // namespace asyncdump

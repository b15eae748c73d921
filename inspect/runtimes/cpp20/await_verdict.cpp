#include "runtimes/cpp20/await_verdict.h"

#include <algorithm>

#include "modules/dwarf_functions.h"
#include "modules/dwarf_types.h"
#include "modules/names.h"

namespace asyncdump::cpp20 {

namespace {

/// Where a trace's position lies in the await expression that left it.
enum class Meaning {
    keyword,    ///< at the co_await or co_yield itself
    statement,  ///< GCC: at it, or somewhere in the statement around it, mostly at its beginning
    operand,    ///< somewhere in its operand
    nearby,     ///< about there
};

struct Trace {
    Meaning meaning;
    SourcePosition position;
    const Evidence* evidence;
};

Meaning meaning_of(Compiler compiler, const Evidence& evidence) {
    switch (evidence.rule) {
        case Rule::store_line:
            return compiler == Compiler::gcc ? Meaning::statement : Meaning::keyword;
        case Rule::suspend_scope:
        case Rule::suspend_call:
            return evidence.at_keyword ? Meaning::keyword : Meaning::operand;
        case Rule::resume_call:
            // GCC calls the await_resume of all awaits of a statement after the last of them was resumed.
            return compiler == Compiler::gcc ? Meaning::nearby : Meaning::operand;
        case Rule::resume_scope:  // an inlined await_resume is often sunk to where its value is used
        case Rule::ready_scope:
        case Rule::store_line_join:
        case Rule::resume_line:
            return Meaning::nearby;
    }
    return Meaning::nearby;
}

/// Compilers give code that belongs to no statement the line of the function's declaration (both) or closing
/// brace (GCC).
bool is_no_statement(Compiler compiler, const FunctionDebugInfo& info, const SourcePosition& position) {
    if (position.line == 0) return true;
    const SourcePosition declaration = info.declaration(), brace = info.closing_brace();
    if (compiler == Compiler::clang) return position.line == declaration.line && position.column == 0;
    const auto stamped = [&](const SourcePosition& place) {
        return position.line == place.line &&
               (place.column == 0 || position.column == 0 || position.column == place.column);
    };
    return stamped(declaration) || stamped(brace);
}

bool same_line(const std::vector<Trace>& traces) {
    return std::ranges::all_of(traces, [&](const Trace& trace) {
        return trace.position.line == traces.front().position.line &&
               trace.position.file == traces.front().position.file;
    });
}

/// Whether these statements and operands share a line, on which every statement's position comes first: then
/// what lies between is the keyword. In a co_return GCC gives the stores the line of the last token, and in a
/// call on what was awaited that of a parenthesis behind it; the keyword may stand lines above either.
bool begin_before(const std::vector<Trace>& statements, const std::vector<Trace>& operands) {
    return std::ranges::all_of(statements, [&](const Trace& statement) {
        return std::ranges::all_of(operands, [&](const Trace& operand) {
            return statement.position.file == operand.position.file &&
                   statement.position.line == operand.position.line && statement.position.column != 0 &&
                   statement.position.column < operand.position.column;
        });
    });
}

std::vector<Trace> with_meaning(const std::vector<Trace>& traces, Meaning meaning) {
    std::vector<Trace> found;
    std::ranges::copy_if(traces, std::back_inserter(found),
                         [&](const Trace& trace) { return trace.meaning == meaning; });
    return found;
}

class Weighing {
  public:
    explicit Weighing(const AwaitCase& await) : await_(await) {
        for (const Evidence& evidence : await.evidence) {
            if (evidence.info == nullptr ||
                is_no_statement(await.compiler, *await.resume_info, evidence.position))
                continue;
            SourcePosition position = evidence.position;
            position.file = file_number(evidence.info->file(evidence.position.file));
            const Trace trace{meaning_of(await.compiler, evidence), position, &evidence};
            if (evidence.rule == Rule::resume_line) {
                if (resumes_at_ == 0) resumes_at_ = position.line;
                resume_traces_.push_back(trace);
            } else {
                traces_.push_back(trace);
            }
        }
    }

    const AwaitExpression* expression() const {
        const AwaitExpression* found = nullptr;
        const auto operands = with_meaning(traces_, Meaning::operand);
        for (const Trace& trace : operands) {
            const SourceText* text = text_of(trace);
            const AwaitExpression* expression =
                text != nullptr ? text->covering({trace.position.line, trace.position.column}) : nullptr;
            if (expression == nullptr || (found != nullptr && expression != found)) return nullptr;
            found = expression;
        }
        return operands.empty() ? only_one_of_statement() : found;
    }

    SuspendPoint run() {
        if (!answer_from_code() && !answer_from_text()) answer_near();
        doubt_await_of_await();
        find_column();
        find_kind();
        find_awaiter();
        return std::move(point_);
    }

  private:
    std::uint32_t file_number(const std::string& path) {
        const auto found = std::ranges::find(files_, path);
        if (found != files_.end()) return static_cast<std::uint32_t>(found - files_.begin());
        files_.push_back(path);
        return static_cast<std::uint32_t>(files_.size() - 1);
    }

    void set(const Trace& trace, bool exact, std::string evidence) {
        SourceLocation location;
        location.file = files_[trace.position.file];
        location.line = trace.position.line;
        location.column = trace.position.column;
        location.exact = exact;
        location.resumes_at_line = exact ? 0 : resumes_at_;
        point_.location = std::move(location);
        point_.evidence = std::move(evidence);
    }

    // Without the source: either the compiler marks the keyword itself, or one line holds both its
    // statement's beginning and its operand.
    bool answer_from_code() {
        const auto keywords = with_meaning(traces_, Meaning::keyword);
        const auto statements = with_meaning(traces_, Meaning::statement);
        const auto operands = with_meaning(traces_, Meaning::operand);
        if (!operands.empty() && !same_line(operands)) return false;
        if (!keywords.empty()) {
            if (!same_line(keywords)) return false;
            if (!operands.empty() && operands.front().position.line < keywords.front().position.line)
                return false;
            set(keywords.front(), true, std::string(rule_name(keywords.front().evidence->rule)));
            return true;
        }
        if (statements.empty() || operands.empty() || !same_line(statements)) return false;
        if (!begin_before(statements, operands)) return false;
        set(operands.front(), true, std::string(rule_name(operands.front().evidence->rule)) + "+E5");
        point_.location->column = 0;
        return true;
    }

    const AwaitExpression* only_one_of_statement() const {
        const auto statements = with_meaning(traces_, Meaning::statement);
        if (statements.empty() || !same_line(statements)) return nullptr;
        const SourcePosition& position = statements.front().position;
        const SourceText* text = position.column != 0 ? text_of(statements.front()) : nullptr;
        const AwaitExpression* found =
            text != nullptr ? text->only_one_in_statement({position.line, position.column}) : nullptr;
        return found != nullptr && !text->has_macros(found->statement_begin, found->statement_end) ? found
                                                                                                   : nullptr;
    }

    const SourceText* text_of(const Trace& trace) const {
        if (await_.text == nullptr) return nullptr;
        return await_.text->find(files_[trace.position.file], await_.program);
    }

    void set_from_text(const Trace& trace, const AwaitExpression& expression, std::string evidence) {
        Trace at_keyword = trace;
        at_keyword.position.line = expression.keyword.line;
        at_keyword.position.column = expression.keyword.column;
        // Sanitized code gives an operand's line to its neighbour.
        set(at_keyword, !await_.is_sanitized, std::move(evidence));
        is_yield_ = expression.is_yield;
    }

    /// Whether all traces of the operand lie between these two.
    static bool lie_within(const std::vector<Trace>& operands, const Trace& statement, TextPosition begin,
                           TextPosition end) {
        return std::ranges::all_of(operands, [&](const Trace& operand) {
            const TextPosition at{operand.position.line, operand.position.column};
            return operand.position.file == statement.position.file && begin <= at && at <= end;
        });
    }

    // With the source: an operand's position belongs to the innermost await expression around it; a
    // statement's to the only line with an await in that statement. GCC gives the operand, too, the
    // statement's position where both come from a macro or a template.
    bool answer_from_text() {
        const auto operands = with_meaning(traces_, Meaning::operand);
        const AwaitExpression* found = operands.empty() ? nullptr : expression();
        if (found != nullptr) {
            set_from_text(operands.front(), *found,
                          std::string(rule_name(operands.front().evidence->rule)) + "+text");
            return true;
        }
        const auto statements = with_meaning(traces_, Meaning::statement);
        if (statements.empty() || !same_line(statements)) return false;
        const Trace& statement = statements.front();
        const SourceText* text = text_of(statement);
        if (text == nullptr) return false;
        const std::uint32_t line = statement.position.line;
        if (text->is_one_line(line) && lie_within(operands, statement, {line, 0}, {line + 1, 0})) {
            set(statement, true, "E5+line");
            point_.location->column = 0;
            return true;
        }
        found = only_one_of_statement();
        if (found == nullptr ||
            !lie_within(operands, statement, found->statement_begin, found->statement_end)) {
            return false;
        }
        set_from_text(statement, *found, "E5+text");
        return true;
    }

    // For `co_await co_await x` GCC gives both the place of x.
    void doubt_await_of_await() {
        if (await_.compiler != Compiler::gcc || !point_.location || !point_.location->exact) return;
        const AwaitExpression* inner = expression();
        if (inner == nullptr) return;
        const SourceText* text = await_.text->find(point_.location->file, await_.program);
        const AwaitExpression* outer = text != nullptr ? text->awaiting_result_of(*inner) : nullptr;
        if (outer != nullptr && outer->keyword.line != inner->keyword.line) point_.location->exact = false;
    }

    void answer_near() {
        for (const Rule rule : {Rule::store_line, Rule::suspend_scope, Rule::suspend_call, Rule::resume_scope,
                                Rule::resume_call, Rule::ready_scope, Rule::store_line_join}) {
            const auto trace =
                std::ranges::find_if(traces_, [&](const Trace& t) { return t.evidence->rule == rule; });
            if (trace == traces_.end()) continue;
            set(*trace, false, std::string(rule_name(rule)));
            return;
        }
        if (!resume_traces_.empty())
            set(resume_traces_.front(), false, std::string(rule_name(Rule::resume_line)));
    }

    // The code proved the line alone: the text may tell where on it the keyword stands.
    void find_column() {
        if (!point_.location || !point_.location->exact || point_.location->column != 0 ||
            await_.is_sanitized)
            return;
        const AwaitExpression* found = expression();
        if (found != nullptr && found->keyword.line == point_.location->line)
            point_.location->column = found->keyword.column;
    }

    void find_kind() {
        point_.kind = SuspendPoint::Kind::await;
        for (const Evidence& evidence : await_.evidence) {
            if (evidence.kind != SuspendPoint::Kind::unknown) {
                point_.kind = evidence.kind;
                return;
            }
        }
        const bool yields = std::ranges::any_of(await_.evidence, [](const Evidence& evidence) {
            return evidence.role == AwaitRole::yield_value;
        });
        if (yields || is_yield_.value_or(false)) {
            point_.kind = SuspendPoint::Kind::yield;
            return;
        }
        if (is_yield_ || !point_.location || !point_.location->exact || await_.text == nullptr) return;
        if (const SourceText* text = await_.text->find(point_.location->file, await_.program)) {
            const auto on_line = text->on_lines(point_.location->line, point_.location->line);
            const bool all_yield =
                !on_line.empty() &&
                std::ranges::all_of(on_line, [](const AwaitExpression* e) { return e->is_yield; });
            if (all_yield) point_.kind = SuspendPoint::Kind::yield;
        }
    }

    bool has_other_await_in_statement() const {
        if (!point_.location || await_.text == nullptr) return false;
        const SourceText* text = await_.text->find(point_.location->file, await_.program);
        if (text == nullptr) return false;
        const auto on_line = text->on_lines(point_.location->line, point_.location->line);
        return std::ranges::any_of(on_line, [&](const AwaitExpression* await) {
            const auto others = text->on_lines(await->statement_begin.line, await->statement_end.line);
            return std::ranges::any_of(others, [&](const AwaitExpression* other) {
                return other != await && other->statement_begin == await->statement_begin;
            });
        });
    }

    void find_awaiter() {
        // GCC calls the await_resume of all awaits of a statement after the last of them was resumed: the
        // first that is seen there may be another one's.
        const bool is_gcc = await_.compiler == Compiler::gcc;
        for (const AwaitRole role :
             {AwaitRole::await_suspend, is_gcc ? AwaitRole::await_ready : AwaitRole::await_resume,
              is_gcc ? AwaitRole::await_resume : AwaitRole::await_ready}) {
            if (is_gcc && role == AwaitRole::await_resume && has_other_await_in_statement()) continue;
            for (const Evidence& evidence : await_.evidence) {
                if (evidence.role != role) continue;
                point_.awaiter_type = class_of_await_call(evidence.function, evidence.scope);
                if (!point_.awaiter_type.empty()) return;
            }
        }
        for (const Evidence& evidence : await_.evidence) {
            if (evidence.awaiter == nullptr || !evidence.awaiter->has_type) continue;
            point_.awaiter_type = await_.types->of(evidence.awaiter->type);
            return;
        }
    }

    const AwaitCase& await_;
    std::vector<std::string> files_;
    std::vector<Trace> traces_, resume_traces_;
    std::uint32_t resumes_at_ = 0;
    std::optional<bool> is_yield_;
    SuspendPoint point_;
};

}  // namespace

const std::string& TypeNames::of(const Dwarf_Die& type) {
    const auto [entry, is_new] = names_.try_emplace(type.addr);
    if (is_new) entry->second = readable_name(qualified_type_name(type));
    return entry->second;
}

SuspendPoint weigh(const AwaitCase& await) {
    return Weighing(await).run();
}

const AwaitExpression* expression_in_text(const AwaitCase& await) {
    return Weighing(await).expression();
}

std::string class_of_await_call(const std::string& function, const InlinedCall* scope) {
    // Functions of internal linkage have no linkage name.
    const bool is_mangled = function.starts_with("_Z");
    if (!is_mangled && scope == nullptr) return "";
    return class_of_await_function(is_mangled ? demangle(function, NameStyle{.full = true})
                                              : described_name_of(scope->die));
}

std::string class_of_await_function(const std::string& demangled) {
    // Up to the last `::await_` outside of brackets (await_transform may have a class inside); a return type
    // ends at a space outside of brackets. A class inside a function has spaces in its scope:
    // "operator co_await() &&::", "lock() const::".
    const auto belongs_to_scope = [&](std::size_t space) {
        const std::string_view before = std::string_view(demangled).substr(0, space);
        return before.ends_with(')') || before.ends_with("operator") || before.ends_with(") const");
    };
    std::size_t depth = 0, begin = 0, end = 0;
    for (std::size_t i = 0; i < demangled.size(); ++i) {
        const char c = demangled[i];
        if (c == '<' || c == '(' || c == '{' || c == '[') ++depth;
        if ((c == '>' || c == ')' || c == '}' || c == ']') && depth > 0) --depth;
        if (depth != 0) continue;
        if (c == ' ' && !belongs_to_scope(i)) begin = i + 1;
        if (demangled.compare(i, 8, "::await_") == 0) end = i;
    }
    return end > begin ? readable_name(demangled.substr(begin, end - begin)) : std::string();
}

}  // namespace asyncdump::cpp20

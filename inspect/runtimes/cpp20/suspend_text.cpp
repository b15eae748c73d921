// What the source text adds to the code of a coroutine.
#include <algorithm>
#include <utility>

#include "runtimes/cpp20/analysed_coroutine.h"

namespace asyncdump::cpp20 {

// The file's age is compared by the cache. A file can be older than the program and yet another version: then
// the function's closing brace (GCC says where it stands) or its name on the line of its declaration is
// rarely where it should be.
bool AnalysedCoroutine::matches(SourceTextCache& text) {
    if (matches_ || !resume_.info) return matches_.value_or(false);
    const SourcePosition brace = resume_.info->closing_brace(), declaration = resume_.info->declaration();
    const SourcePosition place = brace ? brace : declaration;
    const SourceText* source = text.find(resume_.info->file(place.file), module_.path());
    if (source == nullptr || !place) {
        matches_ = false;
    } else if (brace && code_.compiler == Compiler::gcc) {
        matches_ = source->body_closed_at({brace.line, brace.column}) != nullptr;
    } else {
        const std::string& name = resume_.info->name();
        const std::string_view token =
            name.starts_with("operator()") ? "[" : std::string_view(name).substr(0, name.find('<'));
        const std::string_view line = source->line(declaration.line);
        matches_ =
            line.find(token) != std::string_view::npos || line.find("operator") != std::string_view::npos;
    }
    return *matches_;
}

void AnalysedCoroutine::number_awaits(SourceTextCache& text) {
    if (numbered_) return;
    numbered_.emplace();
    if (code_.compiler != Compiler::gcc || !resume_.info || !field_) return;
    const SourcePosition brace = resume_.info->closing_brace();
    const SourceText* source = brace ? text.find(resume_.info->file(brace.file), module_.path()) : nullptr;
    const SourceText::Body* body =
        source != nullptr ? source->body_closed_at({brace.line, brace.column}) : nullptr;
    const std::uint64_t last = body != nullptr ? last_index() : 0;
    if (last < gcc_first_await) return;
    numbered_.emplace(source->in_body(*body), last);
    for (std::uint64_t index = gcc_first_await; index < last; index += 2) {
        numbered_->add_certain(index, expression_in_text(await_case(collect(index), &text)));
    }
}

void AnalysedCoroutine::answer_by_number(std::uint64_t index, SourceTextCache* text, SuspendPoint& point) {
    if (text == nullptr || (point.location && point.location->exact)) return;
    number_awaits(*text);
    const AwaitExpression* await = numbered_->at(index);
    if (await == nullptr) return;
    point.location = SourceLocation{resume_.info->file(resume_.info->closing_brace().file),
                                    await->keyword.line, await->keyword.column};
    point.kind = await->is_yield ? SuspendPoint::Kind::yield : SuspendPoint::Kind::await;
    point.evidence = "number";
}

// All awaits of a function that stands on one line do.
void AnalysedCoroutine::answer_by_one_line(SourceTextCache* cache, SuspendPoint& point) const {
    if (cache == nullptr || !resume_.info || (point.location && point.location->exact)) return;
    // GCC describes no declaration of a resume function.
    const FunctionDebugInfo& info =
        code_.compiler == Compiler::gcc && ramp_.info ? *ramp_.info : *resume_.info;
    const SourcePosition declaration = info.declaration();
    const std::string& file = info.file(declaration.file);
    const SourceText* text = declaration ? cache->find(file, module_.path()) : nullptr;
    const SourceText::Body* body =
        text != nullptr ? text->body_declared_at(declaration.line, info.name()) : nullptr;
    if (body == nullptr || body->open.line != declaration.line || body->close.line != declaration.line)
        return;
    const auto awaits = text->in_body(*body);
    if (awaits.empty()) return;
    point.location =
        SourceLocation{file, declaration.line, awaits.size() == 1 ? awaits[0]->keyword.column : 0};
    if (awaits.size() == 1)
        point.kind = awaits[0]->is_yield ? SuspendPoint::Kind::yield : SuspendPoint::Kind::await;
    point.evidence = "line";
}

// Where the field was found by the code alone and might be the user's after all, the text has to have an
// await on that line.
void AnalysedCoroutine::doubt_field(SourceTextCache* cache, SuspendPoint& point) const {
    using By = FoundIndexField::By;
    if (!point.location || code_.compiler == Compiler::gcc || field_by_ == By::frame_type) return;
    const std::uint32_t line = point.location->line;
    const SourceText* text = cache != nullptr ? cache->find(point.location->file, module_.path()) : nullptr;
    const bool is_confirmed = text != nullptr
                                  ? !text->on_lines(line, line).empty() || text->has_macros_on(line)
                                  : field_by_ != By::resume_stores;
    if (!is_confirmed) point.location->exact = false;
}

// What the statement around the co_await declares does not live yet.
void AnalysedCoroutine::place_statement(SourceTextCache* cache, SuspendPoint& point) const {
    if (cache == nullptr || !point.location) return;
    const SourceText* text = cache->find(point.location->file, module_.path());
    if (text == nullptr) return;
    const std::uint32_t line = point.location->line;
    const auto awaits = text->on_lines(line, line);
    AwaitingStatement& statement = point.statement;
    for (const AwaitExpression* await : awaits) {
        const bool is_only_one = awaits.size() == 1 && point.location->column == 0 && point.location->exact;
        const bool is_meant = await->keyword.column == point.location->column || is_only_one;
        // Several on the line are told apart by the column; without one the earliest counts.
        if (point.location->column != 0 && !is_meant && awaits.size() > 1) continue;
        if (statement.begin.line == 0 || await->part_begin < statement.begin)
            statement.begin = await->part_begin;
        // A macro may hide another await, or declare something, at the same place.
        if (!is_meant || text->has_macros(await->statement_begin, await->statement_end)) continue;
        statement.end = await->statement_end;
        statement.has_one_await = text->only_one_in_statement(statement.begin) != nullptr;
        statement.names = declared_names(text->line(statement.begin.line), statement.begin.column);
    }
}

// Of a coroutine that begins at once, clang may leave everything in the ramp that is done up to its first
// suspension: the resume function then has nothing of that awaiter. Awaits that are on one line must be of
// one class.
void AnalysedCoroutine::name_awaiter_by_ramp(SuspendPoint& point) const {
    if (!point.awaiter_type.empty() || !ramp_.info || !point.location || !point.location->exact) return;
    std::string found;
    for (const InlinedCall& call : ramp_.info->inlined_calls()) {
        if (call.role != AwaitRole::await_suspend || call.called_at.line != point.location->line ||
            ramp_.info->file(call.called_at.file) != point.location->file)
            continue;
        const std::string type = class_of_await_call(call.function, &call);
        if (!found.empty() && type != found) return;
        found = type;
    }
    point.awaiter_type = found;
}

// A coroutine that suspends at its begin does nothing of its body in the ramp.
bool AnalysedCoroutine::ramp_runs(const SourceText::Body& body, const std::string& file) const {
    if (!ramp_.code || !ramp_.info) return false;
    return std::ranges::any_of(ramp_.code->instructions(), [&](const Instruction& instruction) {
        const SourcePosition at = ramp_.info->statement_at(instruction.address);
        const TextPosition position{at.line, at.column};
        return at.line > body.open.line && position < body.close && ramp_.info->file(at.file) == file;
    });
}

// Whether calls of await_suspend were inlined into the body, and all of them stand on one line.
bool AnalysedCoroutine::only_awaits_on(std::uint32_t line, const SourceText::Body& body,
                                       const std::string& file) const {
    bool found = false;
    for (const FunctionDebugInfo* info : {ramp_.info ? &*ramp_.info : nullptr, &*resume_.info}) {
        if (info == nullptr) continue;
        for (const InlinedCall& call : info->inlined_calls()) {
            const std::uint32_t at = call.called_at.line;
            const bool is_in_body = at > body.open.line && at < body.close.line;
            if (call.role != AwaitRole::await_suspend || !is_in_body ||
                info->file(call.called_at.file) != file)
                continue;
            if (at != line) return false;
            found = true;
        }
    }
    return found;
}

}  // namespace asyncdump::cpp20

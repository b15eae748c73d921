#include "runtimes/cpp20/suspend_point.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>

#include "runtimes/cpp20/await_evidence.h"
#include "runtimes/cpp20/await_verdict.h"
#include "runtimes/cpp20/awaiter_slots.h"
#include "runtimes/cpp20/dispatch_interpreter.h"
#include "runtimes/cpp20/function_code.h"
#include "runtimes/cpp20/function_debug_info.h"
#include "runtimes/cpp20/gcc_numbers.h"
#include "runtimes/cpp20/index_field.h"
#include "runtimes/cpp20/reused_words.h"
#include "runtimes/cpp20/source_text.h"
#include "runtimes/cpp20/store_sites.h"
#include "runtimes/cpp20/undescribed_frames.h"

namespace asyncdump::cpp20 {

namespace {

constexpr std::size_t max_sites_of_one_index = 64;
/// How far behind the place where a function goes on the location of a variable may begin to be valid:
/// compilers let it begin behind the instructions that load the frame's address. A function without a
/// dispatcher begins there with its prologue.
constexpr std::size_t places_after_dispatch = 8;
constexpr std::size_t places_without_dispatch = 48;
constexpr std::size_t places_up_to_await_resume = 48;

/// One of a coroutine's functions, decoded and explained.
struct Analysis {
    std::optional<FunctionCode> code;
    std::optional<FunctionDebugInfo> info;
    std::vector<StoreSite> stores;

    AnalysedFunction view(const ImportedFunctions& imported) const {
        return {&imported, &*code, info ? &*info : nullptr};
    }
};

/// Everything that is worked out once for a coroutine function.
class Coroutine {
  public:
    Coroutine(const CoroutineCode& code, const ImportedFunctions& imported, TypeNames& types)
        : code_(code), module_(*code.module), imported_(imported), types_(types) {
        std::vector<AddressRange> ranges{code.resume};
        ranges.insert(ranges.end(), code.cold.begin(), code.cold.end());
        resume_.code.emplace(module_, imported_, ranges);
        resume_.info = FunctionDebugInfo::read(module_, code.resume.begin);
        interpreted_.instruction_at = [this](RemoteAddress address) -> const Instruction* {
            const FunctionCode::Position position = resume_.code->find(address);
            return position == FunctionCode::nowhere ? nullptr : &resume_.code->at(position);
        };
        interpreted_.read_constant = [this](RemoteAddress address, std::span<std::byte> destination) {
            return module_.read_file_bytes(address, destination);
        };
        if (code.ramp.size() != 0) {
            ramp_.code.emplace(module_, imported_, std::span(&code_.ramp, 1));
            ramp_.info = FunctionDebugInfo::read(module_, code_.ramp.begin);
        }
        if (const auto found = find_index_field(functions())) {
            field_ = found->field;
            field_by_ = found->by;
        }
        find_stores();
    }
    Coroutine(const Coroutine&) = delete;
    Coroutine& operator=(const Coroutine&) = delete;

    const std::optional<IndexField>& field() const { return field_; }
    SuspendPoint at_index(std::uint64_t index, SourceTextCache* text);
    SuspendPoint without_index(SourceTextCache* text);

    std::optional<std::size_t> await_count();
    std::optional<LiveSlot> live_slot(std::uint64_t index, std::span<const AwaiterSlot> slots);
    bool reuses(std::uint64_t offset, std::span<const AddressRange> located);
    const CodeKnowledge& knowledge();
    std::vector<std::uint32_t> read_first(std::uint64_t index) const;

    /// Whether the source text is the one that this function was compiled from, as far as one can see.
    bool matches(SourceTextCache& text);

    std::map<std::uint64_t, SuspendPoint> points;
    std::optional<SuspendPoint> only_point;

  private:
    CoroutineFunctions functions() const;
    void find_stores();
    const FrameBases& bases();
    std::vector<Evidence> collect(std::uint64_t index) const;
    AwaitCase await_case(std::vector<Evidence> evidence, SourceTextCache* text) const;
    SuspendPoint weigh_evidence(std::vector<Evidence> evidence, SourceTextCache* text) const;
    std::uint64_t last_index();
    void number_awaits(SourceTextCache& text);
    std::vector<RemoteAddress> stores_of(std::uint64_t index) const;
    void answer_by_one_line(SourceTextCache* cache, SuspendPoint& point) const;
    void answer_by_number(std::uint64_t index, SourceTextCache* text, SuspendPoint& point);
    std::optional<SuspendPoint> from_label(std::uint64_t index) const;
    bool is_initial(std::uint64_t index, const std::vector<Evidence>& evidence) const;
    void doubt_field(SourceTextCache* cache, SuspendPoint& point) const;
    bool ramp_runs_body() const;
    bool ramp_runs(const SourceText::Body& body, const std::string& file) const;
    bool only_awaits_on(std::uint32_t line, const SourceText::Body& body, const std::string& file) const;
    void place_statement(SourceTextCache* cache, SuspendPoint& point) const;
    void name_awaiter_by_ramp(SuspendPoint& point) const;

    const CoroutineCode code_;
    const Module& module_;
    const ImportedFunctions& imported_;
    TypeNames& types_;
    Analysis resume_, ramp_;
    InterpretedCode interpreted_;
    std::optional<IndexField> field_;
    FoundIndexField::By field_by_ = FoundIndexField::By::frame_type;
    std::optional<bool> matches_;
    std::optional<NumberedAwaits> numbered_;
    std::optional<std::uint64_t> last_index_;
    std::optional<ValueSources> sources_;  // of bases_
    std::optional<FrameBases> bases_;      // of the resume function; made when first asked for
    std::optional<CodeKnowledge> knowledge_;
};

CoroutineFunctions Coroutine::functions() const {
    return {code_,
            imported_,
            interpreted_,
            *resume_.code,
            resume_.info ? &*resume_.info : nullptr,
            ramp_.code ? &*ramp_.code : nullptr,
            ramp_.info ? &*ramp_.info : nullptr};
}

void Coroutine::find_stores() {
    if (!field_) return;
    resume_.stores = find_store_sites(imported_, *resume_.code, code_.resume.begin, FunctionRole::resume,
                                      code_.resume.begin, *field_);
    if (!ramp_.code) return;
    ramp_.stores = find_store_sites(imported_, *ramp_.code, code_.ramp.begin, FunctionRole::ramp,
                                    code_.resume.begin, *field_);
}

// The file's age is compared by the cache. A file can be older than the program and yet another version: then
// the function's closing brace (GCC says where it stands) or its name on the line of its declaration is
// rarely where it should be.
bool Coroutine::matches(SourceTextCache& text) {
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

std::optional<SuspendPoint> Coroutine::from_label(std::uint64_t index) const {
    if (!resume_.info) return std::nullopt;
    for (const ResumeLabel& label : resume_.info->labels()) {
        if (label.index != index || !label.position) continue;
        SuspendPoint point;
        point.kind = SuspendPoint::Kind::await;
        point.location = SourceLocation{resume_.info->file(label.position.file), label.position.line,
                                        label.position.column};
        point.evidence = "label";
        return point;
    }
    return std::nullopt;
}

std::vector<Evidence> Coroutine::collect(std::uint64_t index) const {
    std::vector<Evidence> evidence;
    std::size_t sites = 0;
    for (const Analysis* function : {&resume_, &ramp_}) {
        if (!function->code || !function->info) continue;
        for (const StoreSite& site : function->stores) {
            if (site.index != index || ++sites > max_sites_of_one_index) continue;
            const auto found = evidence_at_store(function->view(imported_), site);
            evidence.insert(evidence.end(), found.begin(), found.end());
        }
    }
    if (resume_.info) {
        const DispatchTrace trace = interpret_dispatch(interpreted_, code_.resume.begin, field_, index);
        const auto found = evidence_at_resume(resume_.view(imported_), trace);
        evidence.insert(evidence.end(), found.begin(), found.end());
    }
    return evidence;
}

AwaitCase Coroutine::await_case(std::vector<Evidence> evidence, SourceTextCache* text) const {
    AwaitCase await;
    await.compiler = code_.compiler;
    await.resume_info = &*resume_.info;
    await.evidence = std::move(evidence);
    await.text = text;
    await.types = &types_;
    await.program = module_.path();
    await.is_sanitized = module_.find_symbol("__asan_init").has_value();
    return await;
}

SuspendPoint Coroutine::weigh_evidence(std::vector<Evidence> evidence, SourceTextCache* text) const {
    if (!resume_.info) return {};
    return weigh(await_case(std::move(evidence), text));
}

std::optional<std::size_t> Coroutine::await_count() {
    if (code_.compiler != Compiler::gcc || !field_) return std::nullopt;
    const std::uint64_t last = last_index();
    if (last < gcc_first_await) return std::nullopt;
    return static_cast<std::size_t>((last - gcc_first_await) / 2);
}

const FrameBases& Coroutine::bases() {
    if (!bases_) {
        sources_.emplace(*resume_.code, code_.resume.begin);
        bases_.emplace(imported_, *resume_.code, *sources_, FunctionRole::resume, code_.resume.begin);
    }
    return *bases_;
}

bool Coroutine::reuses(std::uint64_t offset, std::span<const AddressRange> located) {
    return is_reused(*resume_.code, bases(), offset, located);
}

const CodeKnowledge& Coroutine::knowledge() {
    if (!knowledge_) knowledge_ = knowledge_from_code(imported_, *resume_.code, bases());
    return *knowledge_;
}

std::vector<std::uint32_t> Coroutine::read_first(std::uint64_t index) const {
    if (!field_) return {};
    return words_read_on_resumption(
        *resume_.code,
        interpret_dispatch(interpreted_, code_.resume.begin, field_, index, places_up_to_await_resume));
}

std::optional<LiveSlot> Coroutine::live_slot(std::uint64_t index, std::span<const AwaiterSlot> slots) {
    if (!field_) return std::nullopt;
    if (const auto made =
            slot_touched_before_suspension(*resume_.code, bases(), resume_.stores, index, slots))
        return LiveSlot{*made, true};
    const auto trace =
        interpret_dispatch(interpreted_, code_.resume.begin, field_, index, places_up_to_await_resume);
    if (const auto read = slot_read_on_resumption(*resume_.code, trace, slots)) return LiveSlot{*read, false};
    return std::nullopt;
}

std::uint64_t Coroutine::last_index() {
    if (!last_index_) last_index_ = last_gcc_index(interpreted_, code_.resume.begin, *field_);
    return *last_index_;
}

void Coroutine::number_awaits(SourceTextCache& text) {
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

void Coroutine::answer_by_number(std::uint64_t index, SourceTextCache* text, SuspendPoint& point) {
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
void Coroutine::answer_by_one_line(SourceTextCache* cache, SuspendPoint& point) const {
    if (cache == nullptr || !resume_.info || (point.location && point.location->exact)) return;
    // GCC describes no declaration of a resume function.
    const FunctionDebugInfo& info =
        code_.compiler == Compiler::gcc && ramp_.info ? *ramp_.info : *resume_.info;
    const SourcePosition declaration = info.declaration();
    const std::string& file = info.file(declaration.file);
    const SourceText* text = declaration ? cache->find(file, module_.path()) : nullptr;
    const SourceText::Body* body = text != nullptr ? text->body_declared_at(declaration.line) : nullptr;
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

// Without debug information: a ramp that runs the body up to its first await may go on to another await or to
// the end, resumes another coroutine, or makes one in its own frame. Where initial_suspend is called, all
// this stands behind a decision that is only made at run time.
bool Coroutine::ramp_runs_body() const {
    // Inlined wherever it was called, it tells nothing: a coroutine that begins at once counts as new then.
    if (!ramp_.code) return false;
    const auto& instructions = ramp_.code->instructions();
    const bool decides_later = std::ranges::any_of(instructions, [&](const Instruction& instruction) {
        return instruction.operation == Operation::call &&
               await_role(imported_.callee(instruction)) == AwaitRole::initial_suspend;
    });
    if (decides_later) return false;
    if (std::ranges::any_of(ramp_.stores, [](const StoreSite& site) { return site.index != 0; })) return true;
    const auto null_pointers = find_store_sites(imported_, *ramp_.code, code_.ramp.begin, FunctionRole::ramp,
                                                code_.resume.begin, {.offset = 0, .width = 8});
    if (std::ranges::find(null_pointers, 0U, &StoreSite::index) != null_pointers.end()) return true;
    return std::ranges::any_of(instructions, [&](const Instruction& instruction) {
        const Operand& to = instruction.operands[0];
        const Operand& from = instruction.operands[1];
        const bool transfers =
            instruction.operation == Operation::call || instruction.operation == Operation::jmp;
        if (transfers && to.has_only_base() && !to.rip_relative) return true;
        const bool names_code = from.rip_relative && instruction.operation == Operation::lea;
        if (!names_code || RemoteAddress(static_cast<std::uint64_t>(from.value)) == code_.resume.begin)
            return false;
        const Symbol* symbol = module_.symbol_at(RemoteAddress(static_cast<std::uint64_t>(from.value)));
        return symbol != nullptr && symbol->name.ends_with(".resume");
    });
}

// GCC numbers the initial suspend point 2, whether it suspends or not. Clang gives 0 to the first point that
// is left: the initial one, or the first await of a coroutine that starts at once. Code of the initial point
// has the line of the declaration.
bool Coroutine::is_initial(std::uint64_t index, const std::vector<Evidence>& evidence) const {
    if (code_.compiler == Compiler::gcc) return index <= gcc_initial_index;
    if (index != 0) return false;
    if (!resume_.info) return !ramp_runs_body();
    if (const auto suspends = resume_.info ? resume_.info->suspends_initially() : std::nullopt)
        return *suspends;
    bool stored_in_ramp = false, at_statement = false;
    for (const Evidence& one : evidence) {
        if (one.kind == SuspendPoint::Kind::initial || one.role == AwaitRole::initial_suspend) return true;
        if (one.rule != Rule::store_line) continue;
        stored_in_ramp = true;
        // The store may have been merged with those of the promise's constructor, which is elsewhere.
        const SourcePosition declaration = one.info->declaration();
        at_statement =
            at_statement || (one.position && one.position.line > declaration.line &&
                             one.info->file(one.position.file) == one.info->file(declaration.file));
    }
    const bool stored_by_resume =
        std::ranges::any_of(resume_.stores, [](const StoreSite& s) { return s.index == 0; });
    return !stored_by_resume && !(stored_in_ramp && at_statement);
}

std::vector<RemoteAddress> Coroutine::stores_of(std::uint64_t index) const {
    std::vector<RemoteAddress> stores;
    if (!resume_.code) return stores;
    for (const StoreSite& site : resume_.stores) {
        if (site.index == index && stores.size() < max_sites_of_one_index)
            stores.push_back(resume_.code->at(site.store).address);
    }
    return stores;
}

SuspendPoint Coroutine::at_index(std::uint64_t index, SourceTextCache* text) {
    const bool odd_for_gcc = code_.compiler == Compiler::gcc && (index & 1) != 0;
    if (odd_for_gcc) --index;

    std::vector<Evidence> evidence = collect(index);
    SuspendPoint point;
    if (is_initial(index, evidence)) {
        point.kind = SuspendPoint::Kind::initial;
        point.evidence = "index";
    } else if (auto labelled = from_label(index)) {
        point = weigh_evidence(std::move(evidence), text);
        labelled->kind = point.kind;
        labelled->awaiter_type = point.awaiter_type;
        point = std::move(*labelled);
    } else {
        point = weigh_evidence(std::move(evidence), text);
        answer_by_number(index, text, point);
        answer_by_one_line(text, point);
        doubt_field(text, point);
    }
    point.being_destroyed = odd_for_gcc;
    place_statement(text, point);
    auto trace = interpret_dispatch(interpreted_, code_.resume.begin, field_, index, places_after_dispatch);
    point.resumes_at = trace.resume_address;
    if (!trace.path.empty()) point.resumed = std::make_shared<const DispatchTrace>(std::move(trace));
    point.stored_at = stores_of(index);
    point.suspended_by_ramp = point.stored_at.empty() &&
                              std::ranges::find(ramp_.stores, index, &StoreSite::index) != ramp_.stores.end();
    if (point.kind == SuspendPoint::Kind::await) name_awaiter_by_ramp(point);
    return point;
}

// Where the field was found by the code alone and might be the user's after all, the text has to have an
// await on that line.
void Coroutine::doubt_field(SourceTextCache* cache, SuspendPoint& point) const {
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
void Coroutine::place_statement(SourceTextCache* cache, SuspendPoint& point) const {
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
void Coroutine::name_awaiter_by_ramp(SuspendPoint& point) const {
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
bool Coroutine::ramp_runs(const SourceText::Body& body, const std::string& file) const {
    if (!ramp_.code || !ramp_.info) return false;
    return std::ranges::any_of(ramp_.code->instructions(), [&](const Instruction& instruction) {
        const SourcePosition at = ramp_.info->statement_at(instruction.address);
        const TextPosition position{at.line, at.column};
        return at.line > body.open.line && position < body.close && ramp_.info->file(at.file) == file;
    });
}

// Whether calls of await_suspend were inlined into the body, and all of them stand on one line.
bool Coroutine::only_awaits_on(std::uint32_t line, const SourceText::Body& body,
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

// Clang leaves out the index of a coroutine with one suspend point: all that the function says of awaiting
// belongs to that point. It does so, too, where the function goes on in the same way from every point.
SuspendPoint Coroutine::without_index(SourceTextCache* text) {
    if (!resume_.info) return {};
    SuspendPoint point;
    const std::string& file = resume_.info->file(resume_.info->declaration().file);
    const SourceText* source =
        text != nullptr && resume_.info->declaration() ? text->find(file, module_.path()) : nullptr;
    const SourceText::Body* body =
        source != nullptr ? source->body_declared_at(resume_.info->declaration().line) : nullptr;
    const auto awaits = body != nullptr ? source->in_body(*body) : std::vector<const AwaitExpression*>{};
    // A macro may hide another await. Where the code has awaits on that line alone, none does.
    const bool may_hide_await = body != nullptr && source->has_macros(body->open, body->close) &&
                                (awaits.size() != 1 || !only_awaits_on(awaits[0]->keyword.line, *body, file));
    if (may_hide_await && awaits.size() != 1) body = nullptr;

    point.suspended_by_ramp = !may_suspend_again(functions());
    const std::optional<bool> suspends_initially = resume_.info->suspends_initially();
    const bool has_no_await = body != nullptr && awaits.empty();
    if (suspends_initially.value_or(has_no_await)) {
        if (has_no_await || point.suspended_by_ramp) {
            point.kind = SuspendPoint::Kind::initial;
            point.evidence = "only";
        }
        return point;
    }
    DispatchTrace trace;
    for (RemoteAddress at = code_.resume.begin;;) {
        const FunctionCode::Position position = resume_.code->find(at);
        if (position == FunctionCode::nowhere) break;
        trace.path.push_back(at);
        const Instruction& instruction = resume_.code->at(position);
        if (instruction.operation == Operation::call || instruction.operation == Operation::jcc ||
            instruction.ends_block_without_fall_through()) {
            break;
        }
        at = instruction.next();
    }
    const bool suspended_by_ramp = point.suspended_by_ramp;
    point = weigh_evidence(evidence_at_resume(resume_.view(imported_), trace), text);
    point.suspended_by_ramp = suspended_by_ramp;
    if (!trace.path.empty()) {
        trace.places =
            interpret_dispatch(interpreted_, code_.resume.begin, std::nullopt, 0, places_without_dispatch)
                .places;
        point.resumed = std::make_shared<const DispatchTrace>(std::move(trace));
    }
    // Where the text has one await in the whole function, that is it, unless the function waits at its begin
    // and not there.
    const bool is_await = suspends_initially.has_value() || (body != nullptr && ramp_runs(*body, file));
    if (body != nullptr && awaits.size() == 1 && is_await) {
        point.location =
            SourceLocation{file, awaits[0]->keyword.line, awaits[0]->keyword.column, !may_hide_await};
        point.kind = awaits[0]->is_yield ? SuspendPoint::Kind::yield : SuspendPoint::Kind::await;
        point.evidence = "only";
        name_awaiter_by_ramp(point);
    } else if (!is_await) {
        point.kind = SuspendPoint::Kind::unknown;
        if (point.location) point.location->exact = false;
    }
    place_statement(text, point);
    return point;
}

}  // namespace

struct SuspendPointResolver::State {
    Options options;
    SourceTextCache text;
    TypeNames types;
    std::map<const Module*, ImportedFunctions> imported;
    std::map<std::pair<const Module*, RemoteAddress>, std::unique_ptr<Coroutine>> coroutines;
    std::size_t resolutions = 0;
    const SuspendPoint unknown{};
    const SuspendPoint at_end = [] {
        SuspendPoint point;
        point.kind = SuspendPoint::Kind::final;
        point.evidence = "resume";
        return point;
    }();

    Coroutine& coroutine(const CoroutineCode& code) {
        auto& entry = coroutines[{code.module, code.resume.begin}];
        if (entry == nullptr) {
            const auto names = imported.try_emplace(code.module, *code.module).first;
            entry = std::make_unique<Coroutine>(code, names->second, types);
        }
        return *entry;
    }
    SourceTextCache* text_for(Coroutine& coroutine) {
        return options.use_source_text && coroutine.matches(text) ? &text : nullptr;
    }
};

SuspendPointResolver::SuspendPointResolver(const ModuleSet&, Options options)
    : state_(std::make_unique<State>()) {
    state_->options = options;
}

SuspendPointResolver::~SuspendPointResolver() = default;

std::optional<IndexField> SuspendPointResolver::index_field(const CoroutineCode& code) {
    if (code.module == nullptr) return std::nullopt;
    return state_->coroutine(code).field();
}

const SuspendPoint& SuspendPointResolver::resolve(const CoroutineCode& code, RemoteAddress resume,
                                                  std::optional<std::uint64_t> index) {
    if (code.module == nullptr) return state_->unknown;
    if (resume.is_null()) return state_->at_end;

    Coroutine& coroutine = state_->coroutine(code);
    if (!coroutine.field()) {
        if (!coroutine.only_point) {
            coroutine.only_point = coroutine.without_index(state_->text_for(coroutine));
            ++state_->resolutions;
        }
        return *coroutine.only_point;
    }
    if (!index) return state_->unknown;
    const auto known = coroutine.points.find(*index);
    if (known != coroutine.points.end()) return known->second;
    ++state_->resolutions;
    return coroutine.points.emplace(*index, coroutine.at_index(*index, state_->text_for(coroutine)))
        .first->second;
}

const SuspendPoint& SuspendPointResolver::resolve(const CoroutineCode& code,
                                                  std::span<const std::byte> frame) {
    std::uint64_t resume = 0;
    if (frame.size() < 16) return state_->unknown;
    std::memcpy(&resume, frame.data(), sizeof resume);
    const auto field = resume != 0 ? index_field(code) : std::nullopt;
    std::optional<std::uint64_t> index;
    if (field && frame.size() >= std::size_t{field->offset} + field->width) {
        index = 0;
        std::memcpy(&*index, frame.data() + field->offset, field->width);
    }
    return resolve(code, RemoteAddress(resume), index);
}

std::optional<std::size_t> SuspendPointResolver::await_count(const CoroutineCode& code) {
    return code.module == nullptr ? std::nullopt : state_->coroutine(code).await_count();
}

std::optional<LiveSlot> SuspendPointResolver::live_slot(const CoroutineCode& code, std::uint64_t index,
                                                        std::span<const AwaiterSlot> slots) {
    return code.module == nullptr ? std::nullopt : state_->coroutine(code).live_slot(index, slots);
}

bool SuspendPointResolver::is_reused(const CoroutineCode& code, std::uint64_t offset,
                                     std::span<const AddressRange> located) {
    // GCC gives each local a place of its own.
    if (code.module == nullptr || code.compiler == Compiler::gcc || located.empty()) return false;
    return state_->coroutine(code).reuses(offset, located);
}

const CodeKnowledge* SuspendPointResolver::code_knowledge(const CoroutineCode& code) {
    return code.module == nullptr ? nullptr : &state_->coroutine(code).knowledge();
}

std::vector<std::uint32_t> SuspendPointResolver::read_first(const CoroutineCode& code, std::uint64_t index) {
    return code.module == nullptr ? std::vector<std::uint32_t>() : state_->coroutine(code).read_first(index);
}

std::size_t SuspendPointResolver::resolutions() const {
    return state_->resolutions;
}

}  // namespace asyncdump::cpp20

#include "runtimes/cpp20/analysed_coroutine.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "runtimes/cpp20/awaiter_slots.h"
#include "runtimes/cpp20/reused_words.h"

namespace asyncdump::cpp20 {
namespace {

constexpr std::size_t max_sites_of_one_index = 64;
/// How far behind the place where a function goes on the location of a variable may begin to be valid:
/// compilers let it begin behind the instructions that load the frame's address. A function without a
/// dispatcher begins there with its prologue.
constexpr std::size_t places_after_dispatch = 8;
constexpr std::size_t places_without_dispatch = 48;
constexpr std::size_t places_up_to_await_resume = 48;

}  // namespace

AnalysedCoroutine::AnalysedCoroutine(const CoroutineCode& code, const ImportedFunctions& imported,
                                     TypeNames& types)
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

CoroutineFunctions AnalysedCoroutine::functions() const {
    return {code_,
            imported_,
            interpreted_,
            *resume_.code,
            resume_.info ? &*resume_.info : nullptr,
            ramp_.code ? &*ramp_.code : nullptr,
            ramp_.info ? &*ramp_.info : nullptr};
}

void AnalysedCoroutine::find_stores() {
    if (!field_) return;
    resume_.stores = find_store_sites(imported_, *resume_.code, code_.resume.begin, FunctionRole::resume,
                                      code_.resume.begin, *field_);
    if (!ramp_.code) return;
    ramp_.stores = find_store_sites(imported_, *ramp_.code, code_.ramp.begin, FunctionRole::ramp,
                                    code_.resume.begin, *field_);
}

std::optional<SuspendPoint> AnalysedCoroutine::from_label(std::uint64_t index) const {
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

std::vector<Evidence> AnalysedCoroutine::collect(std::uint64_t index) const {
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

AwaitCase AnalysedCoroutine::await_case(std::vector<Evidence> evidence, SourceTextCache* text) const {
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

SuspendPoint AnalysedCoroutine::weigh_evidence(std::vector<Evidence> evidence, SourceTextCache* text) const {
    if (!resume_.info) return {};
    return weigh(await_case(std::move(evidence), text));
}

std::optional<std::size_t> AnalysedCoroutine::await_count() {
    if (code_.compiler != Compiler::gcc || !field_) return std::nullopt;
    const std::uint64_t last = last_index();
    if (last < gcc_first_await) return std::nullopt;
    return static_cast<std::size_t>((last - gcc_first_await) / 2);
}

const FrameBases& AnalysedCoroutine::bases() {
    if (!bases_) {
        sources_.emplace(*resume_.code, code_.resume.begin);
        bases_.emplace(imported_, *resume_.code, *sources_, FunctionRole::resume, code_.resume.begin);
    }
    return *bases_;
}

bool AnalysedCoroutine::reuses(std::uint64_t offset, std::span<const AddressRange> located) {
    return is_reused(*resume_.code, bases(), offset, located);
}

const ResumedPositions& AnalysedCoroutine::resumed_positions() {
    if (resumed_positions_) return *resumed_positions_;
    resumed_positions_.emplace();
    std::map<std::uint64_t, FunctionCode::Position> by_index;
    for (const StoreSite& site : resume_.stores) {
        const auto [entry, is_new] = by_index.try_emplace(site.index, FunctionCode::nowhere);
        if (is_new) {
            const auto trace = interpret_dispatch(interpreted_, code_.resume.begin, field_, site.index);
            entry->second = resume_.code->find(trace.resume_address);
        }
        // A store behind a join serves several suspend points.
        if (entry->second != FunctionCode::nowhere)
            resumed_positions_->emplace(site.through_join ? site.constant : site.store, entry->second);
    }
    return *resumed_positions_;
}

bool AnalysedCoroutine::uses(const SuspendPoint& point, std::uint64_t begin, std::uint64_t end) {
    const auto known = std::ranges::find(
        points, &point, [](const auto& entry) -> const SuspendPoint* { return &entry.second; });
    const std::uint64_t index = known == points.end() ? 0 : known->first;
    const auto field = known == points.end() ? std::nullopt : field_;
    const auto resumed =
        interpret_dispatch(interpreted_, code_.resume.begin, field, index, places_up_to_await_resume);
    if (is_used_from(*resume_.code, bases(), resumed, resumed_positions(), begin, end)) return true;
    if (code_.destroy.size() == 0) return false;
    if (!destroy_) {
        std::vector<AddressRange> ranges{code_.destroy};
        ranges.insert(ranges.end(), code_.destroy_cold.begin(), code_.destroy_cold.end());
        destroy_.emplace(module_, imported_, ranges);
        destroy_sources_.emplace(*destroy_, code_.destroy.begin);
        destroy_bases_.emplace(imported_, *destroy_, *destroy_sources_, FunctionRole::resume,
                               code_.resume.begin);
    }
    InterpretedCode interpreted = interpreted_;
    interpreted.instruction_at = [this](RemoteAddress address) -> const Instruction* {
        const FunctionCode::Position position = destroy_->find(address);
        return position == FunctionCode::nowhere ? nullptr : &destroy_->at(position);
    };
    const auto destroyed =
        interpret_dispatch(interpreted, code_.destroy.begin, field, index, places_up_to_await_resume);
    return is_used_from(*destroy_, *destroy_bases_, destroyed, {}, begin, end);
}

const CodeKnowledge& AnalysedCoroutine::knowledge() {
    if (!knowledge_) knowledge_ = knowledge_from_code(imported_, *resume_.code, bases());
    return *knowledge_;
}

std::vector<std::uint32_t> AnalysedCoroutine::read_first(std::uint64_t index) const {
    if (!field_) return {};
    return words_read_on_resumption(
        *resume_.code,
        interpret_dispatch(interpreted_, code_.resume.begin, field_, index, places_up_to_await_resume));
}

std::optional<LiveSlot> AnalysedCoroutine::live_slot(std::uint64_t index,
                                                     std::span<const AwaiterSlot> slots) {
    if (!field_) return std::nullopt;
    if (const auto made =
            slot_touched_before_suspension(*resume_.code, bases(), resume_.stores, index, slots))
        return LiveSlot{*made, true};
    const auto trace =
        interpret_dispatch(interpreted_, code_.resume.begin, field_, index, places_up_to_await_resume);
    if (const auto read = slot_read_on_resumption(*resume_.code, trace, slots)) return LiveSlot{*read, false};
    return std::nullopt;
}

std::optional<AwaiterSlot> AnalysedCoroutine::slot_around_handle(std::optional<std::uint64_t> index,
                                                                 std::uint32_t handle, std::uint32_t bytes) {
    constexpr std::uint32_t first_word = 16;
    if (field_.has_value() != index.has_value()) return std::nullopt;
    std::optional<ValueSources> sources;
    std::optional<FrameBases> of_ramp;
    if (ramp_.code) {
        sources.emplace(*ramp_.code, code_.ramp.begin);
        of_ramp.emplace(imported_, *ramp_.code, *sources, FunctionRole::ramp, code_.resume.begin);
    }
    const auto places_in = [&](const Analysis& function, const FrameBases& frame) {
        return index ? own_address_stored_beside(*function.code, frame, function.stores, *index)
                     : own_address_stored_in(*function.code, frame);
    };
    std::set<std::uint32_t> places = places_in(resume_, bases());
    if (of_ramp) places.merge(places_in(ramp_, *of_ramp));
    if (places.size() != 1 || *places.begin() < handle + first_word) return std::nullopt;
    const std::uint32_t begin = *places.begin() - handle;
    const AwaiterSlot slot{begin, begin + bytes};
    const bool is_known_to_others = makes_address_in(*resume_.code, bases(), slot) ||
                                    (of_ramp && makes_address_in(*ramp_.code, *of_ramp, slot));
    return is_known_to_others ? std::optional(slot) : std::nullopt;
}

std::uint64_t AnalysedCoroutine::last_index() {
    if (!last_index_) last_index_ = last_gcc_index(interpreted_, code_.resume.begin, *field_);
    return *last_index_;
}

// Without debug information: a ramp that runs the body up to its first await may go on to another await or to
// the end, resumes another coroutine, or makes one in its own frame. Where initial_suspend is called, all
// this stands behind a decision that is only made at run time.
bool AnalysedCoroutine::ramp_runs_body() const {
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
bool AnalysedCoroutine::is_initial(std::uint64_t index, const std::vector<Evidence>& evidence) const {
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

std::vector<RemoteAddress> AnalysedCoroutine::stores_of(std::uint64_t index) const {
    std::vector<RemoteAddress> stores;
    if (!resume_.code) return stores;
    for (const StoreSite& site : resume_.stores) {
        if (site.index == index && stores.size() < max_sites_of_one_index)
            stores.push_back(resume_.code->at(site.store).address);
    }
    return stores;
}

SuspendPoint AnalysedCoroutine::at_index(std::uint64_t index, SourceTextCache* text) {
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

// Clang leaves out the index of a coroutine with one suspend point: all that the function says of awaiting
// belongs to that point. It does so, too, where the function goes on in the same way from every point.
SuspendPoint AnalysedCoroutine::without_index(SourceTextCache* text) {
    SuspendPoint point;
    SuspendPoint at_end;
    at_end.kind = SuspendPoint::Kind::final;
    at_end.evidence = "only";
    // A function without any code is one that may never be called: that of a coroutine with no other suspend
    // point than the final one. Where such a coroutine was inlined and its frame is leaked, the store of the
    // null pointer may be left out.
    constexpr std::uint64_t least_size_of_a_range = 1;
    const bool may_not_resume = code_.resume.size() <= least_size_of_a_range;
    if (!resume_.info) return may_not_resume ? at_end : point;
    const std::string& file = resume_.info->file(resume_.info->declaration().file);
    const SourceText* source =
        text != nullptr && resume_.info->declaration() ? text->find(file, module_.path()) : nullptr;
    const SourceText::Body* body =
        source != nullptr ? source->body_declared_at(resume_.info->declaration().line, resume_.info->name())
                          : nullptr;
    const auto awaits = body != nullptr ? source->in_body(*body) : std::vector<const AwaitExpression*>{};
    // A macro may hide another await. Where the code has awaits on that line alone, none does.
    const bool may_hide_await = body != nullptr && source->has_macros(body->open, body->close) &&
                                (awaits.size() != 1 || !only_awaits_on(awaits[0]->keyword.line, *body, file));
    if (may_hide_await && awaits.size() != 1) body = nullptr;

    if (may_not_resume && awaits.empty()) return at_end;

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
    if (has_no_await) return at_end;
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

}  // namespace asyncdump::cpp20

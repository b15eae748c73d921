// One coroutine function: its resume function and its ramp decoded, and what they say of its suspend points.
// Reads files only; knows nothing of frames.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtimes/cpp20/await_evidence.h"
#include "runtimes/cpp20/await_verdict.h"
#include "runtimes/cpp20/dispatch_interpreter.h"
#include "runtimes/cpp20/function_code.h"
#include "runtimes/cpp20/function_debug_info.h"
#include "runtimes/cpp20/gcc_numbers.h"
#include "runtimes/cpp20/index_field.h"
#include "runtimes/cpp20/source_text.h"
#include "runtimes/cpp20/store_sites.h"
#include "runtimes/cpp20/suspend_point.h"
#include "runtimes/cpp20/undescribed_frames.h"
#include "runtimes/cpp20/words_in_use.h"

namespace asyncdump::cpp20 {

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
class AnalysedCoroutine {
  public:
    /// `imported` and `types` have to live as long.
    AnalysedCoroutine(const CoroutineCode& code, const ImportedFunctions& imported, TypeNames& types);
    AnalysedCoroutine(const AnalysedCoroutine&) = delete;
    AnalysedCoroutine& operator=(const AnalysedCoroutine&) = delete;

    const std::optional<IndexField>& field() const { return field_; }
    SuspendPoint at_index(std::uint64_t index, SourceTextCache* text);
    SuspendPoint without_index(SourceTextCache* text);

    std::optional<std::size_t> await_count();
    std::optional<LiveSlot> live_slot(std::uint64_t index, std::span<const AwaiterSlot> slots);
    std::optional<AwaiterSlot> slot_around_handle(std::optional<std::uint64_t> index, std::uint32_t handle,
                                                  std::uint32_t bytes);
    bool reuses(std::uint64_t offset, std::span<const AddressRange> located);
    bool uses(const SuspendPoint& point, std::uint64_t begin, std::uint64_t end);
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
    const ResumedPositions& resumed_positions();
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
    std::optional<ResumedPositions> resumed_positions_;
    std::optional<FunctionCode> destroy_;  // with what follows, made when first asked for
    std::optional<ValueSources> destroy_sources_;
    std::optional<FrameBases> destroy_bases_;
};

}  // namespace asyncdump::cpp20

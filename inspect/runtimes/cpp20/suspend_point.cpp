#include "runtimes/cpp20/suspend_point.h"

#include <map>
#include <utility>

#include "runtimes/cpp20/analysed_coroutine.h"

namespace asyncdump::cpp20 {

struct SuspendPointResolver::State {
    Options options;
    SourceTextCache text;
    TypeNames types;
    std::map<const Module*, ImportedFunctions> imported;
    std::map<std::pair<const Module*, RemoteAddress>, std::unique_ptr<AnalysedCoroutine>> coroutines;
    std::size_t resolutions = 0;
    const SuspendPoint unknown{};
    const SuspendPoint at_end = [] {
        SuspendPoint point;
        point.kind = SuspendPoint::Kind::final;
        point.evidence = "resume";
        return point;
    }();

    AnalysedCoroutine& coroutine(const CoroutineCode& code) {
        auto& entry = coroutines[{code.module, code.resume.begin}];
        if (entry == nullptr) {
            const auto names = imported.try_emplace(code.module, *code.module).first;
            entry = std::make_unique<AnalysedCoroutine>(code, names->second, types);
        }
        return *entry;
    }
    SourceTextCache* text_for(AnalysedCoroutine& coroutine) {
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

    AnalysedCoroutine& coroutine = state_->coroutine(code);
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

std::optional<AwaiterSlot> SuspendPointResolver::slot_around_handle(const CoroutineCode& code,
                                                                    std::optional<std::uint64_t> index,
                                                                    std::uint32_t handle,
                                                                    std::uint32_t bytes) {
    return code.module == nullptr ? std::nullopt
                                  : state_->coroutine(code).slot_around_handle(index, handle, bytes);
}

bool SuspendPointResolver::is_used(const CoroutineCode& code, const SuspendPoint& point, std::uint64_t begin,
                                   std::uint64_t end) {
    return code.module == nullptr || state_->coroutine(code).uses(point, begin, end);
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

SourceText::Calls SuspendPointResolver::calls_of(std::string_view name, const CoroutineCode& code,
                                                 const SuspendPoint& point) {
    if (code.module == nullptr || name.empty() || !point.location || !point.location->exact ||
        !point.statement.is_certain())
        return SourceText::Calls::unknown;
    SourceTextCache* const cache = state_->text_for(state_->coroutine(code));
    const SourceText* const text =
        cache == nullptr ? nullptr : cache->find(point.location->file, code.module->path());
    const AwaitExpression* const await =
        text == nullptr ? nullptr : text->covering({point.location->line, point.location->column});
    return await == nullptr ? SourceText::Calls::unknown : text->calls_of(name, *await);
}

std::size_t SuspendPointResolver::resolutions() const {
    return state_->resolutions;
}

}  // namespace asyncdump::cpp20

#include "runtimes/cpp20/coroutine_catalog.h"

#include <algorithm>
#include <map>

#include "modules/coroutine_symbol.h"

namespace asyncdump::cpp20 {

CoroutineCatalog::CoroutineCatalog(const ModuleSet& modules) {
    for (const auto& module : modules.modules()) add_module(*module);

    for (std::uint32_t i = 0; i < functions_.size(); ++i) {
        const CoroutineCode& code = functions_[i];
        using Kind = CoroutinePart::Kind;
        const auto add = [&](const AddressRange& range, Kind kind, RemoteAddress entry) {
            if (range.size() != 0) code_.emplace_back(range, CoroutinePart{i, kind, entry});
        };
        add(code.resume, Kind::resume, code.resume.begin);
        for (const AddressRange& part : code.cold) add(part, Kind::resume, code.resume.begin);
        add(code.destroy, Kind::destroy, code.destroy.begin);
        add(code.cleanup, Kind::destroy, code.cleanup.begin);
        for (const AddressRange& part : code.destroy_cold) add(part, Kind::destroy, code.destroy.begin);
        add(code.ramp, Kind::ramp, code.ramp.begin);
        if (code.destroy.size() != 0) destroy_entries_.emplace(code.destroy.begin.value(), Entry{i, false});
        if (code.cleanup.size() != 0) destroy_entries_.emplace(code.cleanup.begin.value(), Entry{i, true});
    }
    std::ranges::stable_sort(code_, {}, &std::pair<AddressRange, CoroutinePart>::first);
    std::ranges::sort(destroy_ranges_);
}

void CoroutineCatalog::add_module(const Module& module) {
    // Local coroutine functions of different units may share a name; GCC and clang emit the parts of one
    // function close together, so a part joins the function of that name whose resume entry is nearest.
    std::map<std::string_view, std::vector<std::uint32_t>> by_ramp;
    struct Part {
        CoroutineSymbol symbol;
        AddressRange range;
    };
    std::vector<Part> parts;

    RemoteAddress previous;
    std::string_view previous_name;
    for (const Symbol& symbol : module.symbols()) {
        if (symbol.address == previous && symbol.name == previous_name) continue;
        previous = symbol.address;
        previous_name = symbol.name;
        const auto parsed = parse_coroutine_symbol(symbol.name);
        if (!parsed) continue;
        const AddressRange range{symbol.address, symbol.address + std::max<std::uint64_t>(symbol.size, 1)};
        if (parsed->kind == CoroutineSymbol::Kind::resume && !parsed->is_cold) {
            CoroutineCode code;
            code.module = &module;
            code.compiler =
                parsed->compiler == CoroutineSymbol::Compiler::gcc ? Compiler::gcc : Compiler::clang;
            code.ramp_symbol = std::string(parsed->ramp);
            code.resume = range;
            by_ramp[parsed->ramp].push_back(static_cast<std::uint32_t>(functions_.size()));
            functions_.push_back(std::move(code));
        } else {
            parts.push_back({*parsed, range});
        }
    }
    if (by_ramp.empty()) return;

    const auto nearest = [&](std::string_view ramp, RemoteAddress address) -> CoroutineCode* {
        const auto found = by_ramp.find(ramp);
        if (found == by_ramp.end()) return nullptr;
        const auto distance = [&](std::uint32_t index) {
            const RemoteAddress resume = functions_[index].resume.begin;
            return resume < address ? address - resume : resume - address;
        };
        return &functions_[*std::ranges::min_element(found->second, {}, distance)];
    };
    AddressRange destroys{RemoteAddress(~0ULL), RemoteAddress(0)};
    for (const Part& part : parts) {
        CoroutineCode* code = nearest(part.symbol.ramp, part.range.begin);
        if (code == nullptr) continue;
        if (part.symbol.is_cold) {
            const bool is_of_resume = part.symbol.kind == CoroutineSymbol::Kind::resume;
            (is_of_resume ? code->cold : code->destroy_cold).push_back(part.range);
            continue;
        }
        AddressRange& slot =
            part.symbol.kind == CoroutineSymbol::Kind::cleanup ? code->cleanup : code->destroy;
        slot = part.range;
        destroys.begin = std::min(destroys.begin, part.range.begin);
        destroys.end = std::max(destroys.end, part.range.end);
    }
    if (destroys.begin < destroys.end) destroy_ranges_.push_back(destroys);

    for (const Symbol& symbol : module.symbols()) {
        const auto found = by_ramp.find(symbol.name);
        if (found == by_ramp.end()) continue;
        if (CoroutineCode* code = nearest(symbol.name, symbol.address); code->ramp.size() == 0) {
            code->ramp = {symbol.address, symbol.address + std::max<std::uint64_t>(symbol.size, 1)};
        }
    }
}

std::optional<FrameIdentity> CoroutineCatalog::identify(RemoteAddress resume, RemoteAddress destroy) const {
    const auto [first, last] = destroy_entries_.equal_range(destroy.value());
    for (auto entry = first; entry != last; ++entry) {
        const auto& [function, elided] = entry->second;
        if (resume.is_null() || functions_[function].resume.begin == resume) {
            return FrameIdentity{function, resume.is_null(), elided};
        }
    }
    return std::nullopt;
}

std::optional<CoroutinePart> CoroutineCatalog::part_at(RemoteAddress pc) const {
    auto after = std::ranges::upper_bound(code_, pc, {}, [](const auto& entry) { return entry.first.begin; });
    if (after == code_.begin()) return std::nullopt;
    --after;
    if (!after->first.contains(pc)) return std::nullopt;
    return after->second;
}

}  // namespace asyncdump::cpp20

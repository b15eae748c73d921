#include "runtimes/cpp20/coroutine_catalog.h"

#include <algorithm>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <map>

#include "modules/cache_bytes.h"
#include "modules/coroutine_symbol.h"

namespace asyncdump::cpp20 {
namespace {

std::vector<CoroutineCode> find_functions(const Module& module) {
    std::vector<CoroutineCode> functions;
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
            by_ramp[parsed->ramp].push_back(static_cast<std::uint32_t>(functions.size()));
            functions.push_back(std::move(code));
        } else {
            parts.push_back({*parsed, range});
        }
    }
    if (by_ramp.empty()) return functions;

    const auto nearest = [&](std::string_view ramp, RemoteAddress address) -> CoroutineCode* {
        const auto found = by_ramp.find(ramp);
        if (found == by_ramp.end()) return nullptr;
        const auto distance = [&](std::uint32_t index) {
            const RemoteAddress resume = functions[index].resume.begin;
            return resume < address ? address - resume : resume - address;
        };
        return &functions[*std::ranges::min_element(found->second, {}, distance)];
    };
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
    }
    for (const Symbol& symbol : module.symbols()) {
        const auto found = by_ramp.find(symbol.name);
        if (found == by_ramp.end()) continue;
        if (CoroutineCode* code = nearest(symbol.name, symbol.address); code->ramp.size() == 0) {
            code->ramp = {symbol.address, symbol.address + std::max<std::uint64_t>(symbol.size, 1)};
        }
    }
    return functions;
}

std::vector<std::byte> bytes_of(const Module& module, const std::vector<CoroutineCode>& functions) {
    CacheWriter writer;
    const auto write_range = [&](const AddressRange& range) {
        // Without bias: the next process has the module elsewhere.
        writer.number(range.size() == 0 ? 0 : range.begin.value() - module.bias());
        writer.number(range.size());
    };
    writer.number(functions.size());
    for (const CoroutineCode& code : functions) {
        writer.number(code.compiler == Compiler::clang ? 1 : 0);
        writer.text(code.ramp_symbol);
        for (const AddressRange* part : {&code.resume, &code.destroy, &code.cleanup, &code.ramp})
            write_range(*part);
        for (const auto* parts : {&code.cold, &code.destroy_cold}) {
            writer.number(parts->size());
            for (const AddressRange& part : *parts) write_range(part);
        }
    }
    return writer.take();
}

/// Empty when something does not fit the module.
std::optional<std::vector<CoroutineCode>> functions_from(const Module& module,
                                                         std::span<const std::byte> bytes) {
    constexpr std::size_t least_function = 12 * sizeof(std::uint64_t),
                          range_bytes = 2 * sizeof(std::uint64_t);
    CacheReader reader(bytes);
    bool fits = true;
    const auto range = [&]() -> AddressRange {
        const RemoteAddress begin(reader.number() + module.bias());
        const std::uint64_t size = reader.number();
        if (size == 0) return {};
        fits &= module.range().contains(begin) && size <= module.range().end - begin;
        return {begin, begin + size};
    };
    std::vector<CoroutineCode> functions(reader.count(least_function));
    for (CoroutineCode& code : functions) {
        code.module = &module;
        code.compiler = reader.number() != 0 ? Compiler::clang : Compiler::gcc;
        code.ramp_symbol = reader.text();
        for (AddressRange* part : {&code.resume, &code.destroy, &code.cleanup, &code.ramp}) *part = range();
        for (auto* parts : {&code.cold, &code.destroy_cold}) {
            parts->resize(reader.count(range_bytes));
            for (AddressRange& part : *parts) part = range();
        }
    }
    if (!fits || !reader.complete()) return std::nullopt;
    return functions;
}

/// Of a stripped file, what its symbols say is found anew: there may be more the next time.
std::vector<CoroutineCode> functions_of(const Module& module) {
    ModuleCache* const cache = module.cache();
    const auto kept = cache ? cache->find(ModuleCache::Kind::coroutines, 0) : std::nullopt;
    if (auto functions = kept ? functions_from(module, *kept) : std::nullopt) return std::move(*functions);
    auto functions = find_functions(module);
    if (cache && module.has_symbol_table())
        cache->put(ModuleCache::Kind::coroutines, 0, bytes_of(module, functions));
    return functions;
}

}  // namespace

CoroutineCatalog::CoroutineCatalog(const ModuleSet& modules) {
    for (const auto& module : modules.modules()) {
        std::vector<CoroutineCode> found = functions_of(*module);
        AddressRange destroys{RemoteAddress(~0ULL), RemoteAddress(0)};
        for (CoroutineCode& code : found) {
            for (const AddressRange& part : {code.destroy, code.cleanup}) {
                if (part.size() == 0) continue;
                destroys.begin = std::min(destroys.begin, part.begin);
                destroys.end = std::max(destroys.end, part.end);
            }
            functions_.push_back(std::move(code));
        }
        if (destroys.begin < destroys.end) destroy_ranges_.push_back(destroys);
    }

    for (std::uint32_t i = 0; i < functions_.size(); ++i) {
        const CoroutineCode& code = functions_[i];
        using Kind = CoroutinePart::Kind;
        const auto add = [&](const AddressRange& range, Kind kind, RemoteAddress entry) {
            if (range.size() != 0) code_.emplace_back(range, CoroutinePart{i, kind, entry});
        };
        add(code.resume, Kind::resume, code.resume.begin);
        resume_entries_.emplace(code.resume.begin.value(), i);
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

std::optional<FrameIdentity> CoroutineCatalog::identify(RemoteAddress resume, RemoteAddress destroy) const {
    const auto [first, last] = destroy_entries_.equal_range(destroy.value());
    std::optional<FrameIdentity> found;
    for (auto entry = first; entry != last; ++entry) {
        const auto& [function, elided] = entry->second;
        if (!resume.is_null() && functions_[function].resume.begin != resume) continue;
        if (!found || function < found->function) found = {function, resume.is_null(), elided};
    }
    return found;
}

std::vector<std::uint32_t> CoroutineCatalog::with_the_same_code(std::uint32_t function, bool done) const {
    std::vector<std::uint32_t> others;
    const auto add_all = [&](const auto& entries, const AddressRange& code, auto function_of) {
        if (code.size() == 0) return;
        const auto [first, last] = entries.equal_range(code.begin.value());
        for (auto entry = first; entry != last; ++entry) others.push_back(function_of(entry->second));
    };
    if (done) {
        for (const AddressRange& code : {functions_[function].destroy, functions_[function].cleanup})
            add_all(destroy_entries_, code, [](const Entry& entry) { return entry.function; });
    } else {
        add_all(resume_entries_, functions_[function].resume, std::identity{});
        const CoroutineCode& code = functions_[function];
        std::erase_if(others, [&](std::uint32_t other) {
            return functions_[other].destroy != code.destroy &&
                   (code.cleanup.size() == 0 || functions_[other].cleanup != code.cleanup);
        });
    }
    std::ranges::sort(others);
    const auto [first, last] = std::ranges::unique(others);
    others.erase(first, last);
    std::erase(others, function);
    return others;
}

std::optional<CoroutinePart> CoroutineCatalog::part_at(RemoteAddress pc) const {
    auto after = std::ranges::upper_bound(code_, pc, {}, [](const auto& entry) { return entry.first.begin; });
    if (after == code_.begin()) return std::nullopt;
    --after;
    if (!after->first.contains(pc)) return std::nullopt;
    while (after != code_.begin() && std::prev(after)->first == after->first) --after;
    return after->second;
}

}  // namespace asyncdump::cpp20

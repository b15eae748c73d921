#include "modules/symbolizer.h"

#include <dwarf.h>

#include <algorithm>
#include <map>
#include <unordered_map>

#include "modules/cache_bytes.h"
#include "modules/coroutine_symbol.h"
#include "modules/dwarf_functions.h"
#include "modules/line_table.h"

namespace asyncdump {

namespace {

/// Of one module, for later runs: to open the debug information of a library, which is often compressed,
/// takes longer than all else that is asked of it.
struct KeptPositions {
    static constexpr std::size_t most = 20'000;
    std::map<std::uint64_t, std::vector<CodePosition>> positions;  ///< by address without bias
    bool is_new = false;
};

std::vector<std::byte> bytes_of(const KeptPositions& kept) {
    CacheWriter writer;
    writer.number(kept.positions.size());
    for (const auto& [address, chain] : kept.positions) {
        writer.number(address);
        writer.number(chain.size());
        for (const CodePosition& position : chain) {
            writer.text(position.function);
            writer.text(position.linkage_name);
            writer.text(position.file);
            writer.number(position.line);
            writer.number(position.column);
            writer.number(position.inlined ? 1 : 0);
        }
    }
    return writer.take();
}

KeptPositions kept_from(std::span<const std::byte> bytes) {
    constexpr std::size_t least_position = 6 * sizeof(std::uint64_t), least_chain = 2 * sizeof(std::uint64_t);
    CacheReader reader(bytes);
    KeptPositions kept;
    for (std::uint64_t left = reader.count(least_chain); left > 0; --left) {
        auto& chain = kept.positions[reader.number()];
        chain.resize(reader.count(least_position));
        for (CodePosition& position : chain) {
            position.function = reader.text();
            position.linkage_name = reader.text();
            position.file = reader.text();
            position.line = static_cast<unsigned>(reader.number());
            position.column = static_cast<unsigned>(reader.number());
            position.inlined = reader.number() != 0;
        }
    }
    const bool is_empty =
        std::ranges::any_of(kept.positions, [](const auto& entry) { return entry.second.empty(); });
    return reader.complete() && !is_empty ? kept : KeptPositions();
}

}  // namespace

struct Symbolizer::State {
    const ModuleSet& modules;
    NameStyle style;
    std::unordered_map<RemoteAddress, std::vector<CodePosition>>
        positions;  ///< by the address that is looked at
    std::unordered_map<const Module*, KeptPositions> kept;
    std::unordered_map<const void*, CodePosition> functions;  ///< names alone, by DIE

    KeptPositions& kept_of(const Module& module);
    std::vector<CodePosition> resolve(RemoteAddress address);
    std::vector<CodePosition> resolve_by_dwarf(const Module& module, RemoteAddress address);
    void name_function(const Module& module, Dwarf_Die function, CodePosition& position);
    void name_by_symbol(const Module& module, RemoteAddress address, CodePosition& position) const;
};

namespace {

unsigned unsigned_attribute(Dwarf_Die die, unsigned name) {
    Dwarf_Attribute attribute;
    Dwarf_Word value = 0;
    if (!dwarf_attr(&die, name, &attribute) || dwarf_formudata(&attribute, &value) != 0) return 0;
    return value <= UINT32_MAX ? static_cast<unsigned>(value) : 0;
}

/// Of a subprogram with code; the unlikely part, where there is one, comes after it.
std::optional<Dwarf_Addr> first_address_of(Dwarf_Die function) {
    Dwarf_Addr base = 0, begin = 0, end = 0;
    if (dwarf_tag(&function) != DW_TAG_subprogram || dwarf_ranges(&function, 0, &base, &begin, &end) <= 0)
        return std::nullopt;
    return begin;
}

void locate_in_line_table(const LineTable& lines, Dwarf_Addr address, CodePosition& position) {
    const LineTable::Row* const row = lines.row_at(address);
    if (row == nullptr || row->line == 0) return;
    position.line = row->line;
    position.column = row->column;
    position.file = lines.file_of(*row);
}

/// Where the inlined function was called: in the function around it.
void locate_call(const LineTable* files, Dwarf_Die inlined, CodePosition& position) {
    position.line = unsigned_attribute(inlined, DW_AT_call_line);
    position.column = unsigned_attribute(inlined, DW_AT_call_column);
    if (files != nullptr) position.file = files->file(unsigned_attribute(inlined, DW_AT_call_file));
}

}  // namespace

std::string function_name(const ModuleSet& modules, RemoteAddress address, const NameStyle& style) {
    const Module* module = modules.find(address);
    const Symbol* symbol = module != nullptr ? module->symbol_at(address) : nullptr;
    return symbol != nullptr ? demangle(symbol->name, style) : "";
}

void Symbolizer::State::name_by_symbol(const Module& module, RemoteAddress address,
                                       CodePosition& position) const {
    const Symbol* symbol = module.symbol_at(address);
    if (!symbol) return;
    position.linkage_name = symbol->name;
    position.function = demangle(symbol->name, style);
}

void Symbolizer::State::name_function(const Module& module, Dwarf_Die function, CodePosition& position) {
    auto [known, is_new] = functions.try_emplace(function.addr);
    CodePosition& named = known->second;
    if (is_new) {
        named.linkage_name = linkage_name_of(function);
        const Symbol* symbol = nullptr;
        if (const auto entry = first_address_of(function))
            symbol = module.symbol_at(module.from_dwarf(*entry));
        // DWARF gives the three functions of a coroutine the ramp's name or none: only the symbol tells them
        // apart.
        const bool symbol_knows_more =
            symbol && (named.linkage_name.empty() || parse_coroutine_symbol(symbol->name));
        if (symbol_knows_more) named.linkage_name = symbol->name;
        named.function = named.linkage_name.empty() ? readable_name(described_name_of(function), style)
                                                    : demangle(named.linkage_name, style);
    }
    position.function = named.function;
    position.linkage_name = named.linkage_name;
}

std::vector<CodePosition> Symbolizer::State::resolve_by_dwarf(const Module& module, RemoteAddress address) {
    std::vector<CodePosition> result;
    const auto unit = module.unit_at(address);
    const auto unit_with_lines = module.unit_with_lines_at(address);
    if (!unit || !unit_with_lines) return result;
    const auto pc = module.to_dwarf(address);

    CodePosition& innermost = result.emplace_back();
    if (const LineTable* const lines = LineTable::of(*unit_with_lines))
        locate_in_line_table(*lines, pc, innermost);
    const auto subprogram = module.subprogram_at(address);
    if (!subprogram) {
        name_by_symbol(module, address, innermost);
        return result;
    }
    const LineTable* const files = LineTable::of(*unit);
    const auto chain = inlined_chain_at(*subprogram, pc);
    for (auto function = chain.rbegin(); function != chain.rend(); ++function) {
        const bool inlined = function + 1 != chain.rend();
        name_function(module, *function, result.back());
        result.back().inlined = inlined;
        if (inlined) locate_call(files, *function, result.emplace_back());
    }
    return result;
}

KeptPositions& Symbolizer::State::kept_of(const Module& module) {
    const auto [entry, is_new] = kept.try_emplace(&module);
    if (is_new && module.cache()) {
        if (const auto bytes = module.cache()->find(ModuleCache::Kind::code_positions, style.full ? 1 : 0))
            entry->second = kept_from(*bytes);
    }
    return entry->second;
}

std::vector<CodePosition> Symbolizer::State::resolve(RemoteAddress address) {
    const Module* module = modules.find(address);
    if (!module) return {CodePosition{}};
    KeptPositions& known = kept_of(*module);
    const std::uint64_t file_address = address.value() - module->bias();
    const auto found = known.positions.find(file_address);
    auto result = found != known.positions.end() ? found->second : resolve_by_dwarf(*module, address);
    if (module->cache() && found == known.positions.end() && !result.empty() &&
        known.positions.size() < KeptPositions::most && module->debug_info_is_complete()) {
        known.positions.emplace(file_address, result);
        known.is_new = true;
    }
    if (result.empty()) name_by_symbol(*module, address, result.emplace_back());
    for (CodePosition& position : result) position.module = module->name();
    return result;
}

Symbolizer::Symbolizer(const ModuleSet& modules, NameStyle style)
    : state_(std::make_unique<State>(State{modules, style, {}, {}, {}})) {}
Symbolizer::~Symbolizer() {
    for (const auto& [module, kept] : state_->kept)
        if (kept.is_new)
            module->cache()->put(ModuleCache::Kind::code_positions, state_->style.full ? 1 : 0,
                                 bytes_of(kept));
}

const std::vector<CodePosition>& Symbolizer::at(RemoteAddress pc, bool is_return_address) {
    const RemoteAddress address = is_return_address && !pc.is_null() ? pc - 1 : pc;
    auto [known, is_new] = state_->positions.try_emplace(address);
    if (is_new) known->second = state_->resolve(address);
    return known->second;
}

}  // namespace asyncdump

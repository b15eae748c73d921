#include "modules/symbolizer.h"

#include <dwarf.h>

#include <unordered_map>

#include "modules/coroutine_symbol.h"
#include "modules/dwarf_functions.h"

namespace asyncdump {

struct Symbolizer::State {
    const ModuleSet& modules;
    NameStyle style;
    std::unordered_map<RemoteAddress, std::vector<CodePosition>>
        positions;                                            ///< by the address that is looked at
    std::unordered_map<const void*, CodePosition> functions;  ///< names alone, by DIE

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

void locate_in_line_table(Dwarf_Die unit, Dwarf_Addr address, CodePosition& position) {
    Dwarf_Line* row = dwarf_getsrc_die(&unit, address);
    int line = 0, column = 0;
    // Row with line 0: code that belongs to no line.
    if (!row || dwarf_lineno(row, &line) != 0 || line <= 0) return;
    dwarf_linecol(row, &column);
    position.line = static_cast<unsigned>(line);
    position.column = column > 0 ? static_cast<unsigned>(column) : 0;
    position.file = absolute_source_path(dwarf_linesrc(row, nullptr, nullptr), unit);
}

/// Where the inlined function was called: in the function around it.
void locate_call(Dwarf_Die unit, Dwarf_Die inlined, CodePosition& position) {
    position.line = unsigned_attribute(inlined, DW_AT_call_line);
    position.column = unsigned_attribute(inlined, DW_AT_call_column);
    Dwarf_Files* files = nullptr;
    std::size_t count = 0;
    const auto index = unsigned_attribute(inlined, DW_AT_call_file);
    if (dwarf_getsrcfiles(&unit, &files, &count) != 0 || index >= count) return;
    position.file = absolute_source_path(dwarf_filesrc(files, index, nullptr, nullptr), unit);
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
    locate_in_line_table(*unit_with_lines, pc, innermost);
    const auto subprogram = module.subprogram_at(address);
    if (!subprogram) {
        name_by_symbol(module, address, innermost);
        return result;
    }
    const auto chain = inlined_chain_at(*subprogram, pc);
    for (auto function = chain.rbegin(); function != chain.rend(); ++function) {
        const bool inlined = function + 1 != chain.rend();
        name_function(module, *function, result.back());
        result.back().inlined = inlined;
        if (inlined) locate_call(*unit, *function, result.emplace_back());
    }
    return result;
}

std::vector<CodePosition> Symbolizer::State::resolve(RemoteAddress address) {
    const Module* module = modules.find(address);
    if (!module) return {CodePosition{}};
    auto result = resolve_by_dwarf(*module, address);
    if (result.empty()) name_by_symbol(*module, address, result.emplace_back());
    for (CodePosition& position : result) position.module = module->name();
    return result;
}

Symbolizer::Symbolizer(const ModuleSet& modules, NameStyle style)
    : state_(std::make_unique<State>(State{modules, style, {}, {}})) {}
Symbolizer::~Symbolizer() = default;

const std::vector<CodePosition>& Symbolizer::at(RemoteAddress pc, bool is_return_address) {
    const RemoteAddress address = is_return_address && !pc.is_null() ? pc - 1 : pc;
    auto [known, is_new] = state_->positions.try_emplace(address);
    if (is_new) known->second = state_->resolve(address);
    return known->second;
}

}  // namespace asyncdump

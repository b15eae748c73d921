#include "values/stack_variables.h"

#include <dwarf.h>

#include "modules/dwarf_functions.h"
#include "values/located_value.h"

namespace asyncdump {
namespace {

constexpr std::size_t most_variables_of_a_call = 40;

}  // namespace

LocationContext location_context(const UnwoundFrame& frame, const Module& module, Dwarf_Die function,
                                 const Memory& memory) {
    const RemoteAddress pc = frame.is_return_address ? frame.pc - 1 : frame.pc;
    LocationContext context{memory, module.to_dwarf(pc), module.dwarf_bias(), {},
                            {},     std::nullopt,        std::nullopt};
    context.register_value = [&registers = frame.registers](unsigned number) -> std::optional<std::uint64_t> {
        if (number >= Registers::count || !registers.is_known(number)) return std::nullopt;
        return registers.get(number);
    };
    if (!frame.canonical_frame_address.is_null())
        context.canonical_frame_address = frame.canonical_frame_address.value();
    Dwarf_Attribute frame_base;
    if (dwarf_attr_integrate(&function, DW_AT_frame_base, &frame_base) != nullptr)
        context.frame_base = frame_base;
    return context;
}

const FunctionVariables& StackVariables::variables_of(Dwarf_Die function) {
    auto& entry = functions_[function.addr];
    if (entry == nullptr) entry = std::make_unique<FunctionVariables>(read_function_variables(function));
    return *entry;
}

std::vector<std::vector<Variable>> StackVariables::of(const UnwoundFrame& frame,
                                                      const std::vector<unsigned>& lines) {
    std::vector<std::vector<Variable>> result(lines.size());
    const RemoteAddress pc = frame.is_return_address ? frame.pc - 1 : frame.pc;
    const Module* module = modules_.find(pc);
    if (module == nullptr) return result;
    const auto subprogram = module->subprogram_at(pc);
    if (!subprogram) return result;

    const LocationContext context = location_context(frame, *module, *subprogram, memory_);
    const std::vector<Dwarf_Die> chain = inlined_chain_at(*subprogram, context.pc);
    if (chain.size() != lines.size()) return result;
    for (std::size_t i = 0; i < chain.size(); ++i) {
        const std::size_t position = chain.size() - 1 - i;
        const FunctionVariables& variables = variables_of(chain[i]);
        for (const VariableEntry& entry : variables.variables) {
            if (entry.name.empty()) continue;
            // What GCC makes of a parameter that it keeps elsewhere (a coroutine's) is an artificial variable
            // of the function itself.
            const bool is_moved_parameter = entry.is_artificial && !entry.is_parameter && entry.block == 0 &&
                                            !entry.name.starts_with('_');
            if (entry.is_artificial && entry.name != "this" && !is_moved_parameter) continue;
            const bool is_parameter = entry.is_parameter || is_moved_parameter;
            if (result[position].size() >= most_variables_of_a_call) break;
            if (!variables.covers(entry.block, context.pc)) continue;
            const unsigned line = lines[position];
            if (!is_parameter && line != 0 && entry.line >= line) continue;
            const ValueType& type = types_.of(entry.type);
            result[position].push_back({entry.name, type.name(),
                                        print_located(memory_, type, locate(entry.die, context), names_),
                                        is_parameter});
        }
    }
    return result;
}

}  // namespace asyncdump

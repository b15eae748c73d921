#include "runtimes/cpp20/frame_pointer_variables.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>

#include "modules/dwarf_functions.h"
#include "modules/dwarf_types.h"
#include "values/function_variables.h"
#include "values/location.h"
#include "values/stack_variables.h"

namespace asyncdump::cpp20 {
namespace {

/// The address of an object that lies in memory as a whole.
std::optional<RemoteAddress> address_of(const std::vector<LocationPiece>& pieces) {
    if (pieces.size() != 1 || pieces[0].kind != LocationPiece::Kind::memory) return std::nullopt;
    return pieces[0].address;
}

std::optional<RemoteAddress> pointer_in(const std::vector<LocationPiece>& pieces, const Memory& memory) {
    if (const auto address = address_of(pieces)) return memory.read_pointer(*address);
    if (pieces.size() != 1 || pieces[0].kind != LocationPiece::Kind::value || pieces[0].bytes.size() < 8)
        return std::nullopt;
    std::uint64_t word = 0;
    std::memcpy(&word, pieces[0].bytes.data(), sizeof word);
    return RemoteAddress(word);
}

/// A user's variable may have the same name.
bool points_to_frame(Dwarf_Die type) {
    const auto target = pointee(type);
    return target && std::string_view(die_name(strip_typedefs(*target))).ends_with(".Frame");
}

}  // namespace

FramePointerVariables::FramePointerVariables(const CoroutineCatalog& catalog, LayoutCache& layouts)
    : layouts_(layouts) {
    for (std::uint32_t i = 0; i < catalog.functions().size(); ++i) {
        const CoroutineCode& code = catalog.functions()[i];
        by_name_[code.module][code.ramp_symbol].push_back(i);
    }
    for (const auto& [module, functions] : by_name_) modules_.push_back(module);
    std::ranges::sort(modules_, {}, [](const Module* module) { return module->range().begin; });
}

const std::vector<FramePointerVariables::Variable>& FramePointerVariables::variables_at(const Module& module,
                                                                                        RemoteAddress pc) {
    const auto [entry, is_new] = variables_.try_emplace(pc.value());
    std::vector<Variable>& found = entry->second;
    if (!is_new) return found;
    const auto subprogram = module.subprogram_at(pc);
    if (!subprogram) return found;
    const auto& names = by_name_.at(&module);
    const auto chain = inlined_chain_at(*subprogram, module.to_dwarf(pc));
    for (std::uint32_t inlined = 0; inlined < chain.size(); ++inlined) {
        const auto functions = names.find(linkage_name_of(chain[inlined]));
        if (functions == names.end()) continue;
        if (inlined != 0)
            found.push_back({*subprogram, {}, Variable::Kind::none, inlined, &functions->second});
        const FunctionVariables variables = read_function_variables(chain[inlined]);
        for (const VariableEntry& variable : variables.variables) {
            Variable place{*subprogram, variable.die, Variable::Kind::pointer, inlined, &functions->second};
            if (variable.name == "__coro_frame")
                place.kind = Variable::Kind::frame;
            else if (variable.name == "__promise")
                place.kind = Variable::Kind::promise;
            else if (variable.name != "frame_ptr" || !points_to_frame(variable.type))
                continue;
            found.push_back(place);
        }
    }
    return found;
}

std::vector<FramePointerVariables::Found> FramePointerVariables::frames_of(const UnwoundFrame& activation,
                                                                           const Memory& memory) {
    std::vector<Found> found;
    const RemoteAddress pc = activation.is_return_address ? activation.pc - 1 : activation.pc;
    const auto after = std::ranges::upper_bound(modules_, pc, {},
                                                [](const Module* module) { return module->range().begin; });
    if (after == modules_.begin() || !(*(after - 1))->range().contains(pc)) return found;
    const Module& module = **(after - 1);
    for (const Variable& variable : variables_at(module, pc)) {
        if (variable.kind == Variable::Kind::none) {
            for (const std::uint32_t function : *variable.functions)
                found.push_back({function, variable.inlined, RemoteAddress()});
            continue;
        }
        const auto pieces =
            locate(variable.die, location_context(activation, module, variable.function, memory));
        const bool is_pointer = variable.kind == Variable::Kind::pointer;
        const auto place = is_pointer ? pointer_in(pieces, memory) : address_of(pieces);
        if (!place) continue;
        for (const std::uint32_t function : *variable.functions) {
            RemoteAddress frame = *place;
            if (variable.kind == Variable::Kind::promise) {
                const FrameLayout& layout = layouts_.of(function);
                if (layout.promise_begin == layout.promise_end) continue;
                frame = frame - layout.promise_begin;
            }
            found.push_back({function, variable.inlined, frame});
        }
    }
    return found;
}

}  // namespace asyncdump::cpp20

#include "runtimes/cpp20/shared_objects.h"

#include <array>
#include <string>

#include "modules/dwarf_types.h"
#include "modules/symbolizer.h"

namespace asyncdump::cpp20 {
namespace {

struct ControlBlock {
    std::uint32_t bytes;
    std::string_view name;
};
/// Of libstdc++ and libc++.
constexpr std::array control_blocks = {ControlBlock{16, "_Sp_counted_ptr_inplace<"},
                                       ControlBlock{24, "__shared_ptr_emplace<"}};

/// "a<b<c, d>, e>::f()" -> "b<c, d>", by what stands before its "<".
std::string_view first_argument(std::string_view name, std::string_view before) {
    const std::size_t begin = name.find(before);
    if (begin == name.npos) return "";
    name.remove_prefix(begin + before.size());
    int depth = 0;
    for (std::size_t i = 0; i < name.size(); ++i) {
        if (depth == 0 && (name[i] == ',' || name[i] == '>')) return name.substr(0, i);
        if (name[i] == '<' || name[i] == '(') ++depth;
        if (name[i] == '>' || name[i] == ')') --depth;
    }
    return "";
}

}  // namespace

std::uint32_t SharedObjects::bytes_at(const Memory& memory, const MemoryMap& map, RemoteAddress object,
                                      const FrameLayout& layout) {
    for (const ControlBlock& block : control_blocks) {
        const auto functions = memory.read_pointer(object - block.bytes);
        const Mapping* const mapping = functions ? map.find(*functions) : nullptr;
        if (mapping == nullptr || !map.is_relocated(*mapping) || functions->value() % 8 != 0) continue;
        if (const auto known = known_.find({*functions, &layout}); known != known_.end()) {
            if (known->second != 0) return known->second;
            continue;
        }
        // Behind two destructors: what ends the object's life.
        constexpr std::uint64_t third = 2 * sizeof(std::uint64_t);
        const auto function = memory.read_pointer(*functions + third);
        if (!function || modules_.find(*function) == nullptr) continue;
        const std::string name = function_name(modules_, *function, {});
        const auto type = classes_.definition(layout, first_argument(name, block.name));
        const std::uint32_t bytes = type ? type_size(*type).value_or(0) : 0;
        known_.emplace(std::pair(*functions, &layout), bytes);
        if (bytes != 0) return bytes;
    }
    return 0;
}

}  // namespace asyncdump::cpp20

#include "runtimes/cpp20/guard_places.h"

#include <dwarf.h>

#include <algorithm>
#include <initializer_list>
#include <string_view>

#include "modules/dwarf_types.h"

namespace asyncdump::cpp20 {
namespace {

constexpr int deepest_object = 6;
constexpr int deepest_member = 8;
constexpr std::size_t most_places = 16;
constexpr std::uint32_t most_elements = 16;

struct Member {
    std::uint32_t offset;
    Dwarf_Die type;
};

bool is_any(Dwarf_Die /*type*/) {
    return true;
}

/// By name at any depth: what containers call their members is the same in all versions, nesting is not.
std::optional<Member> find_member(Dwarf_Die type, std::initializer_list<std::string_view> names,
                                  TypeTable& types, bool (*is_wanted)(Dwarf_Die) = is_any, int depth = 0) {
    std::optional<Member> found;
    for_each_member(types.definition_of(type), [&](const DwarfMember& member) {
        const Dwarf_Die member_type = strip_typedefs(member.type);
        const bool is_named = std::ranges::find(names, std::string_view(member.name)) != names.end();
        if (is_named && is_wanted(member_type)) {
            found = {member.offset, member_type};
        } else if (depth < deepest_member && !is_pointer(member_type)) {
            found = find_member(member_type, names, types, is_wanted, depth + 1);
            if (found) found->offset += member.offset;
        }
        return !found;
    });
    return found;
}

class Collector {
  public:
    explicit Collector(TypeTable& types) : types_(types) {}

    void collect(Dwarf_Die given, std::uint32_t offset, std::optional<std::uint32_t> engaged, int depth) {
        Dwarf_Die type = strip_typedefs(given);
        if (depth > deepest_object || places.size() >= most_places) return;
        const int tag = dwarf_tag(&type);
        if (tag == DW_TAG_array_type) return collect_elements(type, offset, engaged, depth);
        if (tag != DW_TAG_structure_type && tag != DW_TAG_class_type) return;
        type = types_.definition_of(type);
        if (auto shape = guard_shape(type, types_)) {
            places.push_back({GuardPlace::Way::inside, offset, 0, 0, engaged, *std::move(shape)});
            return;
        }
        const std::string& family = types_.of(type).family();
        if (family == "std::optional") return collect_optional(type, offset, engaged, depth);
        if (family == "std::unique_ptr") return add_owned(type, offset, engaged);
        if (family == "std::vector") return add_elements(type, offset, engaged);
        const bool is_plain = family == "std::pair" || family == "std::tuple" || family == "std::array";
        if (family.starts_with("std::") && !is_plain) return;
        // A tuple is made of classes that are the library's own.
        collect_members(type, offset, engaged, depth);
    }

    std::vector<GuardPlace> places;

  private:
    void collect_members(Dwarf_Die type, std::uint32_t offset, std::optional<std::uint32_t> engaged,
                         int depth) {
        for_each_member(type, [&](const DwarfMember& member) {
            const Dwarf_Die member_type = strip_typedefs(member.type);
            if (is_part_of_tuple(member_type))
                collect_members(types_.definition_of(member_type), offset + member.offset, engaged, depth);
            else
                collect(member_type, offset + member.offset, engaged, depth + 1);
            return places.size() < most_places;
        });
    }

    static bool is_part_of_tuple(Dwarf_Die type) {
        const std::string name = die_name(type);
        return name.starts_with("_Tuple_impl<") || name.starts_with("_Head_base<") ||
               name.starts_with("__tuple_impl<") || name.starts_with("__tuple_leaf<");
    }

    void collect_elements(Dwarf_Die array, std::uint32_t offset, std::optional<std::uint32_t> engaged,
                          int depth) {
        const auto element = type_of(array);
        const auto size = element ? type_size(*element) : std::nullopt;
        if (!size || *size == 0) return;
        const std::uint32_t count = std::min(types_.of(array).element_count(), most_elements);
        for (std::uint32_t i = 0; i < count; ++i) {
            collect(*element, offset + i * *size, engaged, depth + 1);
            if (places.empty()) return;
        }
    }

    void collect_optional(Dwarf_Die type, std::uint32_t offset, std::optional<std::uint32_t> engaged,
                          int depth) {
        const auto flag = find_member(type, {"_M_engaged", "__engaged_"}, types_);
        const auto value = find_member(type, {"_M_value", "__val_"}, types_);
        if (flag && value && !engaged)
            collect(value->type, offset + value->offset, offset + flag->offset, depth + 1);
    }

    void add_owned(Dwarf_Die type, std::uint32_t offset, std::optional<std::uint32_t> engaged) {
        const auto pointer = find_member(type, {"_M_head_impl", "__ptr_", "__value_"}, types_, is_pointer);
        const auto guard = pointer ? pointee(pointer->type) : std::nullopt;
        auto shape = guard ? guard_shape(*guard, types_) : std::nullopt;
        if (shape)
            places.push_back(
                {GuardPlace::Way::owned, offset + pointer->offset, 0, 0, engaged, *std::move(shape)});
    }

    void add_elements(Dwarf_Die type, std::uint32_t offset, std::optional<std::uint32_t> engaged) {
        const auto start = find_member(type, {"_M_start", "__begin_"}, types_);
        const auto finish = find_member(type, {"_M_finish", "__end_"}, types_);
        const auto guard = start ? pointee(start->type) : std::nullopt;
        if (!guard || !finish) return;
        const auto size = type_size(types_.definition_of(*guard));
        auto shape = guard_shape(*guard, types_);
        if (shape && size.value_or(0) != 0)
            places.push_back({GuardPlace::Way::elements, offset + start->offset, offset + finish->offset,
                              *size, engaged, *std::move(shape)});
    }

    TypeTable& types_;
};

}  // namespace

std::vector<GuardPlace> guard_places(Dwarf_Die type, TypeTable& types) {
    Collector collector(types);
    collector.collect(type, 0, std::nullopt, 0);
    return std::move(collector.places);
}

std::vector<RemoteAddress> guards_at(const Memory& memory, RemoteAddress object, const GuardPlace& place) {
    if (place.engaged && memory.read_value<std::uint8_t>(object + *place.engaged) != 1) return {};
    if (place.way == GuardPlace::Way::inside) return {object + place.offset};
    const auto first = memory.read_value<std::uint64_t>(object + place.offset);
    if (!first || *first == 0) return {};
    if (place.way == GuardPlace::Way::owned) return {RemoteAddress(*first)};
    const auto end = memory.read_value<std::uint64_t>(object + place.end_offset);
    if (!end || *end < *first || (*end - *first) % place.size != 0) return {};
    const std::uint64_t count = std::min<std::uint64_t>((*end - *first) / place.size, most_elements);
    std::vector<RemoteAddress> guards;
    for (std::uint64_t i = 0; i < count; ++i) guards.emplace_back(*first + i * place.size);
    return guards;
}

}  // namespace asyncdump::cpp20

#include "runtimes/cpp20/awaited_objects.h"

#include <dwarf.h>

#include <algorithm>
#include <array>
#include <map>
#include <string>

#include "base/lower_case.h"
#include "modules/dwarf_types.h"
#include "runtimes/cpp20/lock_types.h"
#include "runtimes/cpp20/wait_kinds.h"

namespace asyncdump::cpp20 {
namespace {

constexpr std::uint64_t largest_object = 64;
constexpr int deepest_member = 6;

/// The words from `begin` on, in a frame, that can belong to one object: as far as the member in which it
/// lies, where members are described.
AddressRange object_in_frame(const FrameSet& set, std::uint32_t frame, RemoteAddress begin) {
    const Frame& owner = set.frames[frame];
    RemoteAddress end = std::min(begin + largest_object, owner.range().end);
    for (const FrameField& member : set.views[frame].layout->members) {
        const AddressRange place{owner.address + member.offset,
                                 owner.address + (std::uint64_t{member.offset} + member.size)};
        if (place.contains(begin)) end = std::min(end, place.end);
    }
    return {begin, end};
}

/// The object in a frame to which `begin` leads holds the frame's own handle, or the address of its promise.
bool holds_own_handle(const FrameSet& set, std::uint32_t frame, RemoteAddress begin) {
    const Frame& owner = set.frames[frame];
    const FrameView& view = set.views[frame];
    const AddressRange object = object_in_frame(set, frame, begin);
    for (RemoteAddress at = begin; object.contains(at); at = at + 8) {
        const std::uint64_t offset = at - owner.address;
        if (view.self_handle == offset || view.is_in_promise(offset)) continue;
        const auto word = set.memory.read_pointer(at);
        if (!word) continue;
        if (*word == owner.address) return true;
        if (view.knows_promise() && *word == owner.address + view.promise_begin) return true;
    }
    return false;
}

/// Numbers and classes of numbers. What is not understood may have some.
bool has_no_pointers(Dwarf_Die type, int depth) {
    if (depth > deepest_member) return false;
    type = strip_typedefs(type);
    switch (dwarf_tag(&type)) {
        case DW_TAG_base_type:
        case DW_TAG_enumeration_type:
            return true;
        case DW_TAG_class_type:
        case DW_TAG_structure_type:
        case DW_TAG_union_type:
            break;
        default:
            return false;
    }
    if (dwarf_hasattr(&type, DW_AT_declaration) != 0) return false;
    bool only_numbers = true;
    for_each_member(type, [&](const DwarfMember& member) {
        return only_numbers = has_no_pointers(member.type, depth + 1);
    });
    return only_numbers;
}

/// Offsets of the coroutine_handle<> among the members of a class, and of its bases and members. One with a
/// promise's type is rather that of the awaited coroutine.
void collect_handles(Dwarf_Die type, std::uint32_t offset, int depth, std::vector<std::uint32_t>& handles) {
    if (depth > deepest_member) return;
    for_each_member(type, [&](const DwarfMember& member) {
        const Dwarf_Die member_type = strip_typedefs(member.type);
        const std::string name = die_name(member_type);
        if (name == "coroutine_handle<void>" || name == "coroutine_handle<>")
            handles.push_back(offset + member.offset);
        else if (!name.starts_with("coroutine_handle<"))
            collect_handles(member_type, offset + member.offset, depth + 1, handles);
        return true;
    });
}

/// The object in the frame of `owner` leads into the frame, to its awaiter: it keeps a list of those who wait
/// for it.
bool lists_awaiter_of(const FrameSet& set, std::uint32_t owner, std::uint32_t frame, RemoteAddress begin) {
    const AddressRange object = object_in_frame(set, owner, begin);
    for (RemoteAddress at = begin; object.contains(at); at = at + 8) {
        const auto word = set.memory.read_pointer(at);
        if (!word || set.index.find(word->value()) != frame) continue;
        const auto target = classify_target(set.frames[frame], set.views[frame], *word);
        if (target == Reference::Target::interior || target == Reference::Target::live_awaiter) return true;
    }
    return false;
}

}  // namespace

bool names_a_signal(std::string_view awaiter_type) {
    const std::string type = lower_case(awaiter_type);
    static constexpr std::array words = {"mutex",     "lock",    "semaphore", "event",   "channel",
                                         "queue",     "mailbox", "pipe",      "ringbuf", "ring_buf",
                                         "condition", "signal",  "notif"};
    return std::ranges::any_of(words, [&](const char* word) { return type.find(word) != std::string::npos; });
}

const AwaiterClasses::Known& AwaiterClasses::of(const FrameLayout& layout, std::string_view type) {
    static const Known unknown;
    if (type.empty() || !layout.promise_type) return unknown;
    Dwarf_Die promise = *layout.promise_type, unit;
    if (dwarf_diecu(&promise, &unit, nullptr, nullptr) == nullptr) return unknown;
    const auto [entry, is_new] = known_.try_emplace({unit.addr, std::string(type)});
    Known& known = entry->second;
    const auto found = is_new ? find_class(unit, type) : std::nullopt;
    if (!found) return known;
    known.type = *found;
    known.is_empty = true;
    for_each_member(*found, [&](const DwarfMember& member) {
        known.is_empty = member.is_base && type_size(member.type) == 1U;
        return *known.is_empty;
    });
    known.has_no_pointers = has_no_pointers(*found, 0);
    return known;
}

std::optional<bool> AwaiterClasses::is_empty(const FrameLayout& layout, std::string_view type) {
    return of(layout, type).is_empty;
}

bool AwaiterClasses::waits_for_time_or_data(const FrameLayout& layout, std::string_view type) {
    const WaitKind kind = wait_kind_by_name(type);
    if (kind != WaitKind::timer && kind != WaitKind::io) return false;
    const Known& known = of(layout, type);
    return known.has_no_pointers && !known.is_empty.value_or(true);
}

std::optional<AwaiterClasses::KeepingHandle> AwaiterClasses::keeping_handle(const FrameLayout& layout,
                                                                            std::string_view type) {
    const Known& known = of(layout, type);
    const auto bytes = known.type ? type_size(*known.type) : std::nullopt;
    if (!bytes) return std::nullopt;
    std::vector<std::uint32_t> handles;
    collect_handles(*known.type, 0, 0, handles);
    if (handles.size() != 1) return std::nullopt;
    return KeepingHandle{*known.type, *bytes, handles.front()};
}

bool waits_for_a_signal(const FrameView& view) {
    if (view.point == nullptr) return false;
    if (!view.awaiter->type.empty()) return view.awaiter->names_a_signal;
    bool has_awaiters = false;
    for (const FrameField& member : view.layout->members) {
        if (member.role != FrameField::Role::awaiter) continue;
        has_awaiters = true;
        if (!names_a_signal(qualified_type_name(member.type))) return false;
    }
    return has_awaiters;
}

bool awaiter_may_lead_to(const FrameSet& set, std::uint32_t frame, std::span<const AddressRange> objects) {
    const FrameView& view = set.views[frame];
    if (view.point == nullptr || view.awaiter->type == "std::suspend_always") return true;
    if (!view.awaiter->is_certain) return !view.awaiter->leads_nowhere;
    std::vector<std::uint64_t> scratch;
    const auto words = set.memory.read_words(set.frames[frame].range(), scratch);
    for (std::size_t i = view.awaiter->live.begin / 8;
         i < words.size() && i * 8 + 8 <= view.awaiter->live.end; ++i) {
        const RemoteAddress word(words[i]);
        if (set.frames[frame].range().contains(word)) return true;
        if (std::ranges::any_of(objects, [&](const auto& object) { return object.contains(word); }))
            return true;
    }
    return false;
}

std::vector<Reference> completions_in_frames(const FrameSet& set, std::span<const std::uint32_t> starts,
                                             std::span<const Reference> direct,
                                             const std::vector<bool>& has_child) {
    struct Known {
        std::vector<Reference> by;
        bool is_completion = false;
    };
    std::map<RemoteAddress, Known> objects;
    for (const std::uint32_t start : starts) {
        auto reference = std::ranges::lower_bound(direct, start, {}, &Reference::from);
        for (; reference != direct.end() && reference->from == start; ++reference) {
            const std::uint32_t owner = reference->to;
            // An awaiter may lead to the next one of those that wait for the same; who awaits a coroutine is
            // in no such list.
            const bool is_awaiter = reference->target == Reference::Target::live_awaiter &&
                                    reference->origin == Reference::Origin::elsewhere && has_child[start];
            if ((reference->target != Reference::Target::interior && !is_awaiter) || has_child[owner] ||
                set.frames[owner].done)
                continue;
            const auto object = set.memory.read_pointer(set.frames[start].address + reference->offset);
            if (!object || object->value() % 8 != 0) continue;
            const auto [entry, is_new] = objects.try_emplace(*object);
            if (is_new) {
                const std::array range{AddressRange{*object, *object + 1}};
                entry->second.is_completion = !waits_for_a_signal(set.views[owner]) &&
                                              holds_own_handle(set, owner, *object) &&
                                              awaiter_may_lead_to(set, owner, range);
            }
            if (!set.views[owner].awaiter->is_certain && lists_awaiter_of(set, owner, start, *object))
                entry->second.is_completion = false;
            if (!entry->second.is_completion) continue;
            auto& by = entry->second.by;
            if (by.empty() || by.back().from != start) by.push_back(*reference);
        }
    }
    std::vector<Reference> paths;
    for (const auto& [object, known] : objects) {
        if (!known.is_completion) continue;
        for (Reference path : known.by) {
            if (known.by.size() == 1 && !set.views[path.to].awaiter->is_certain) continue;
            path.hops = 1;
            path.target = Reference::Target::frame;
            paths.push_back(path);
        }
    }
    return paths;
}

}  // namespace asyncdump::cpp20

#include "runtimes/cpp20/lock_types.h"

#include <dwarf.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>

#include "base/lower_case.h"
#include "modules/dwarf_types.h"
#include "modules/dwarf_walk.h"
#include "modules/names.h"
#include "modules/unit_outlines.h"

namespace asyncdump::cpp20 {
namespace {

constexpr int deepest_member = 8;
constexpr std::size_t most_pointers = 8;
/// A guard without a telling name: a pointer and perhaps a flag or a second pointer.
constexpr std::uint32_t largest_plain_guard = 24;

/// "ns::Outer<A>::Inner<B>" -> "inner" and "outer", without arguments and in lower case.
struct LastParts {
    std::string last, before;
};

LastParts last_parts(std::string_view name) {
    std::array<std::string, 2> parts;
    std::size_t part = 0;
    int depth = 0;
    for (std::size_t i = name.size(); i-- > 0 && part < parts.size();) {
        const char c = name[i];
        if (c == '>' || c == ')') ++depth;
        if (depth == 0) {
            if (c == ':' && i > 0 && name[i - 1] == ':') {
                ++part;
                --i;
                continue;
            }
            parts[part].insert(parts[part].begin(),
                               static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
        }
        if (c == '<' || c == '(') --depth;
    }
    return {std::move(parts[0]), std::move(parts[1])};
}

template <std::size_t N>
bool contains_any(std::string_view text, const std::array<std::string_view, N>& words) {
    return std::ranges::any_of(words, [&](auto word) { return text.find(word) != text.npos; });
}

/// "lock" as a word of its own: not in "block", "clock", "unlock", but in "asynclock".
bool contains_lock(std::string_view text) {
    for (auto at = text.find("lock"); at != text.npos; at = text.find("lock", at + 1)) {
        const std::string_view before = text.substr(0, at);
        const bool in_clock = before.ends_with('c') && !before.ends_with("async");
        const std::string_view behind = text.substr(at + 4);
        const bool is_without =
            behind.starts_with("free") || behind.starts_with("less") || behind.starts_with("_free");
        if (!before.ends_with('b') && !in_clock && !before.ends_with("un") && !is_without) return true;
    }
    return false;
}

bool names_a_lock(std::string_view part) {
    static constexpr std::array<std::string_view, 2> words = {"mutex", "semaphore"};
    return contains_any(part, words) || contains_lock(part);
}

bool names_something_else(std::string_view part) {
    static constexpr std::array<std::string_view, 14> words = {
        "guard", "scoped", "unique_lock", "shared_lock", "await",  "waiter",  "operation",
        "node",  "entry",  "permit",      "holder",      "result", "handler", "traits"};
    // async_mutex_lock: the lock of a mutex is a guard.
    const bool lock_of_mutex = part.find("mutex") != part.npos && contains_lock(part);
    return contains_any(part, words) || lock_of_mutex;
}

bool has_own_destructor(Dwarf_Die type) {
    Dwarf_Die child;
    if (dwarf_child(&type, &child) != 0) return false;
    do {
        if (dwarf_tag(&child) != DW_TAG_subprogram || !die_name(child).starts_with("~")) continue;
        Dwarf_Attribute attribute;
        if (dwarf_attr(&child, DW_AT_artificial, &attribute) == nullptr) return true;
    } while (go_to_sibling(child));
    return false;
}

void collect_pointers(Dwarf_Die type, std::uint32_t offset, int depth, TypeTable& types,
                      std::vector<LockPointer>& found) {
    if (depth > deepest_member) return;
    for_each_member(type, [&](const DwarfMember& member) {
        if (found.size() >= most_pointers) return false;
        const Dwarf_Die member_type = strip_typedefs(member.type);
        if (is_pointer(member_type)) {
            const auto target = pointee(member_type);
            if (!target) return true;
            Dwarf_Die lock = strip_typedefs(*target);
            const std::string simple = die_name(lock);
            if (simple.empty()) return true;
            const std::string name = readable_name(qualified_type_name(lock));
            if (is_lock_name(name)) {
                lock = types.definition_of(lock);
                found.push_back({offset + member.offset, name, type_size(lock).value_or(0), lock});
            }
        } else {
            collect_pointers(types.definition_of(member_type), offset + member.offset, depth + 1, types,
                             found);
        }
        return true;
    });
}

void find_flag(Dwarf_Die type, GuardShape& shape) {
    static constexpr std::array<std::string_view, 3> released = {"unlocked", "released", "moved"};
    static constexpr std::array<std::string_view, 7> held = {"own",     "locked",   "held",  "hold",
                                                             "engaged", "acquired", "active"};
    for_each_member(type, [&](const DwarfMember& member) {
        if (type_size(member.type) != 1U) return true;
        const std::string name = lower_case(member.name);
        const bool says_released = contains_any(std::string_view(name), released);
        if (!says_released && !contains_any(std::string_view(name), held)) return true;
        shape.owns_flag = member.offset;
        shape.flag_says_released = says_released;
        return false;
    });
}

bool have_same_members(const Dwarf_Die& one, const Dwarf_Die& other) {
    const auto members_of = [](const Dwarf_Die& type) {
        std::vector<std::pair<std::uint32_t, const void*>> members;
        for_each_member(type, [&](const DwarfMember& member) {
            members.emplace_back(member.offset, strip_typedefs(member.type).addr);
            return true;
        });
        return members;
    };
    return members_of(one) == members_of(other);
}

/// What owns a lock, or many, holds none.
bool is_of_standard_library(std::string_view name) {
    return name.starts_with("std::") && name.find("lock") == name.npos;
}

/// Does something while a lock is used.
bool only_watches(std::string_view name) {
    static constexpr std::array<std::string_view, 6> words = {"timer", "profil", "trac",
                                                              "stat",  "log",    "monitor"};
    return contains_any(name, words);
}

}  // namespace

bool is_lock_name(std::string_view readable) {
    const LastParts parts = last_parts(readable);
    if (names_something_else(parts.last)) return false;
    if (names_a_lock(parts.last)) return true;
    // What a lock keeps elsewhere: Mutex::State
    static constexpr std::array<std::string_view, 5> inner = {"state", "impl", "inner", "core", "control"};
    return contains_any(parts.last, inner) && names_a_lock(parts.before) &&
           !names_something_else(parts.before);
}

bool blocks_threads(std::string_view readable) {
    const LastParts parts = last_parts(readable);
    if (readable.starts_with("std::")) return parts.last.find("mutex") != std::string::npos;
    return readable.starts_with("pthread_") || readable == "boost::mutex" || readable == "absl::Mutex" ||
           readable.starts_with("boost::recursive_mutex") || readable.starts_with("boost::shared_mutex") ||
           readable == "QMutex" || readable == "QRecursiveMutex";
}

bool has_several_permits(std::string_view readable) {
    static constexpr std::array<std::string_view, 4> words = {"semaphore", "shared", "rw", "read"};
    return contains_any(last_parts(readable).last, words);
}

std::vector<LockPointer> lock_pointers(Dwarf_Die type, TypeTable& types) {
    std::vector<LockPointer> found;
    collect_pointers(types.definition_of(type), 0, 0, types, found);
    return found;
}

std::optional<GuardShape> guard_shape(Dwarf_Die type, TypeTable& types) {
    const Dwarf_Die complete = strip_typedefs(type);
    const int tag = dwarf_tag(const_cast<Dwarf_Die*>(&complete));
    if (tag != DW_TAG_structure_type && tag != DW_TAG_class_type) return std::nullopt;
    GuardShape shape;
    shape.type = readable_name(qualified_type_name(complete));
    const std::string name = last_parts(shape.type).last;
    static constexpr std::array<std::string_view, 4> awaiting = {"await", "waiter", "operation", "node"};
    if (contains_any(name, awaiting)) return std::nullopt;
    static constexpr std::array<std::string_view, 9> words = {
        "guard", "permit", "scoped", "holder", "lease", "token", "ticket", "critical", "acquired"};
    const bool named = contains_any(name, words) || contains_lock(name);
    if (is_of_standard_library(shape.type)) return std::nullopt;
    if (!named && (!has_own_destructor(complete) || type_size(complete).value_or(~0U) > largest_plain_guard))
        return std::nullopt;
    shape.pointers = lock_pointers(complete, types);
    if (shape.pointers.empty()) return std::nullopt;
    shape.is_named = named && !only_watches(name);
    find_flag(complete, shape);
    return shape;
}

std::optional<Dwarf_Die> find_class(Dwarf_Die unit, std::string_view readable) {
    int depth = 0;
    std::size_t begin = 0, end = readable.size();
    for (std::size_t i = 0; i < readable.size(); ++i) {
        if (readable[i] == '<') {
            if (depth++ == 0) end = i;
        } else if (readable[i] == '>') {
            --depth;
        } else if (depth == 0 && readable[i] == ':') {
            begin = i + 1;
            end = readable.size();
        }
    }
    if (end <= begin) return std::nullopt;
    std::optional<Dwarf_Die> by_last_name;
    bool is_unique = false;
    for (const Dwarf_Die& die : UnitOutlines::classes_named(unit, readable.substr(begin, end - begin))) {
        const std::string described = readable_name(qualified_type_name(die));
        if (described == readable) return die;
        // Of classes inside functions, the only one of this name, or one of those that are alike: the
        // awaiters of lock() and lock_shared().
        if (!is_same_class(described, readable)) continue;
        is_unique = !by_last_name || (is_unique && have_same_members(*by_last_name, die));
        by_last_name = die;
    }
    return is_unique ? by_last_name : std::nullopt;
}

}  // namespace asyncdump::cpp20

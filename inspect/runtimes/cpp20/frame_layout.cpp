#include "runtimes/cpp20/frame_layout.h"

#include <dwarf.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <memory>

#include "modules/dwarf_functions.h"
#include "modules/dwarf_types.h"
#include "modules/names.h"
#include "runtimes/cpp20/frame_size.h"

namespace asyncdump::cpp20 {
namespace {

constexpr int deepest_promise = 8;
constexpr int deepest_block = 16;

Dwarf_Die abstract_origin(Dwarf_Die die) {
    Dwarf_Attribute attribute;
    Dwarf_Die origin;
    while (dwarf_attr(&die, DW_AT_abstract_origin, &attribute) != nullptr &&
           dwarf_formref_die(&attribute, &origin) != nullptr && origin.addr != die.addr) {
        die = origin;
    }
    return die;
}

std::optional<SourceLocation> declaration_of(Dwarf_Die function) {
    std::string file = declaration_file(function);
    int line = 0;
    if (file.empty() || dwarf_decl_line(&function, &line) != 0 || line <= 0) return std::nullopt;
    SourceLocation location{std::move(file), static_cast<std::uint32_t>(line), 0, true, 0};
    int column = 0;
    if (dwarf_decl_column(&function, &column) == 0 && column > 0) {
        location.column = static_cast<std::uint32_t>(column);
    }
    return location;
}

/// GCC describes a frame's type inside the ramp, also where that was inlined everywhere; of a lambda the
/// class has a place, not its operator().
std::optional<SourceLocation> declaration_around(Dwarf_Die frame_type) {
    Dwarf_Die* scopes = nullptr;
    const int count = dwarf_getscopes_die(&frame_type, &scopes);
    const std::unique_ptr<Dwarf_Die, decltype(&std::free)> owner(scopes, &std::free);
    for (int i = 1; i < std::min(count, 3); ++i) {
        const int tag = dwarf_tag(&scopes[i]);
        if (tag != DW_TAG_subprogram && tag != DW_TAG_structure_type) continue;
        if (auto location = declaration_of(scopes[i])) return location;
    }
    return std::nullopt;
}

/// A variable or parameter of the function itself (not of what was inlined into it), by name.
std::optional<Dwarf_Die> find_variable(Dwarf_Die scope, std::string_view name, int depth = 0) {
    Dwarf_Die child;
    if (depth > deepest_block || dwarf_child(&scope, &child) != 0) return std::nullopt;
    do {
        const int tag = dwarf_tag(&child);
        if ((tag == DW_TAG_variable || tag == DW_TAG_formal_parameter) && die_name(child) == name)
            return child;
        if (tag == DW_TAG_lexical_block) {
            if (const auto found = find_variable(child, name, depth + 1)) return found;
        }
    } while (dwarf_siblingof(&child, &child) == 0);
    return std::nullopt;
}

std::optional<Dwarf_Die> find_variable_or_abstract(Dwarf_Die function, std::string_view name) {
    if (const auto found = find_variable(function, name)) return found;
    return find_variable(abstract_origin(function), name);
}

bool contains_any(std::string_view text, std::initializer_list<std::string_view> words) {
    return std::ranges::any_of(words, [&](auto word) { return text.find(word) != std::string_view::npos; });
}

/// `std::function<void()> on_done`, which resumes who waits.
bool is_completion_callback(std::string_view type_name, std::string_view member) {
    const bool is_callable =
        type_name.starts_with("function<") || type_name.starts_with("move_only_function<");
    return is_callable && contains_any(member, {"done", "complet", "continu", "finish", "then"});
}

/// Whether an object of the type may have bytes that were never written.
bool may_have_no_value(Dwarf_Die type, std::string_view type_name) {
    const int tag = dwarf_tag(&type);
    if (tag == DW_TAG_array_type) {
        const auto element = type_of(type);
        const Dwarf_Die byte = element ? strip_typedefs(*element) : type;
        return element && type_size(byte) == 1;
    }
    return tag == DW_TAG_union_type || type_name.starts_with("variant<") ||
           type_name.starts_with("optional<") || type_name.starts_with("expected<");
}

/// Finds the words of a promise that lead to the awaiting coroutine. A coroutine_handle says it by its type,
/// a pointer only by its name, and names can lie: an edge that rests on one needs a confirmation from the
/// other side.
void classify_words(Dwarf_Die type, std::uint32_t offset, int depth, const UserKnowledge& user,
                    std::vector<PromiseWord>& words) {
    if (depth > deepest_promise) return;
    const std::string class_name = user.continuations.empty() ? "" : readable_name(qualified_type_name(type));
    for_each_member(type, [&](const DwarfMember& member) {
        const std::uint32_t at = offset + member.offset;
        if (at / 8 >= words.size()) return true;
        const Dwarf_Die member_type = strip_typedefs(member.type);
        const std::string type_name = die_name(member_type);
        PromiseWord& word = words[at / 8];
        const bool user_says_so =
            !user.continuations.empty() && user.is_continuation(class_name + "::" + member.name);
        if (type_name.starts_with("coroutine_handle<") || user_says_so) {
            word = PromiseWord::continuation;
        } else if (is_completion_callback(type_name, member.name)) {
            // What a small callable captured stands in its first words.
            for (std::size_t i = at / 8; i < std::min<std::size_t>(at / 8 + 2, words.size()); ++i)
                words[i] = PromiseWord::continuation;
        } else if (is_pointer(member_type)) {
            // A void* of such a name may be a handle's address: what comes next.
            const bool has_type = type_of(member_type).has_value();
            if (has_type && contains_any(member.name, {"next", "prev", "sibling", "link"})) {
                word = PromiseWord::list_link;
            } else if (contains_any(member.name,
                                    {"continuation", "caller", "parent", "await", "waiter", "consumer"})) {
                word = PromiseWord::continuation;
            }
        } else {
            classify_words(member_type, at, depth + 1, user, words);
            if (!may_have_no_value(member_type, type_name)) return true;
            const std::size_t end =
                std::min<std::size_t>(at + type_size(member_type).value_or(0), words.size() * 8);
            for (std::size_t i = at / 8; i * 8 < end; ++i) {
                if (words[i] == PromiseWord::other) words[i] = PromiseWord::result;
            }
        }
        return true;
    });
}

bool is_array(Dwarf_Die type) {
    Dwarf_Die stripped = strip_typedefs(type);
    return dwarf_tag(&stripped) == DW_TAG_array_type || die_name(stripped).starts_with("array<");
}

void find_pointers(FrameLayout& layout, DeclaredPointersOfTypes& pointers) {
    const auto mark = [](std::span<const std::uint32_t> offsets, std::uint32_t begin,
                         std::vector<bool>& words) {
        for (const std::uint32_t offset : offsets) {
            const std::size_t word = (begin + offset) / 8;
            if (word < words.size()) words[word] = true;
        }
    };
    layout.plain_data_words.resize((layout.size + 7) / 8);
    layout.array_words.resize((std::max(layout.size, layout.promise_end) + 7) / 8);
    layout.pointee_bytes.resize(layout.array_words.size());
    const auto mark_objects = [&](const DeclaredPointers& found, std::uint32_t begin) {
        mark(found.to_arrays, begin, layout.array_words);
        for (const DeclaredPointers::ToObject& pointer : found.to_objects) {
            const std::size_t word = (begin + pointer.offset) / 8;
            if (word < layout.pointee_bytes.size()) layout.pointee_bytes[word] = pointer.bytes;
        }
    };
    for (FrameField& field : layout.members) {
        if (field.role == FrameField::Role::bookkeeping) continue;
        const DeclaredPointers& found = pointers.of(field.type);
        mark_objects(found, field.offset);
        if (field.is_awaiter()) continue;
        mark(found.to_plain_data, field.offset, layout.plain_data_words);
        field.is_array = is_array(field.type);
    }
    if (!layout.promise_type) return;
    const DeclaredPointers& found = pointers.of(*layout.promise_type);
    mark(found.to_plain_data, layout.promise_begin, layout.plain_data_words);
    mark_objects(found, layout.promise_begin);
}

void set_promise(FrameLayout& layout, std::uint32_t offset, Dwarf_Die type, const UserKnowledge& user) {
    const auto size = type_size(type);
    if (!size) return;
    layout.promise_begin = offset;
    layout.promise_end = offset + std::max<std::uint32_t>(*size, 1);
    layout.promise_type = type;
    layout.promise_words.assign((*size + 7) / 8, PromiseWord::other);
    classify_words(type, 0, 0, user, layout.promise_words);
    // Where no word is known to be the continuation, the union may be what keeps it.
    if (std::ranges::find(layout.promise_words, PromiseWord::continuation) == layout.promise_words.end())
        std::ranges::replace(layout.promise_words, PromiseWord::result, PromiseWord::other);
}

/// GCC writes a local `s` of scope 1.2 as "s_1_2".
std::string without_scope_numbers(std::string_view name) {
    for (int i = 0; i < 2; ++i) {
        const auto digits = name.find_last_not_of("0123456789");
        if (digits == std::string_view::npos || digits + 1 == name.size() || name[digits] != '_') break;
        name = name.substr(0, digits);
    }
    return std::string(name);
}

std::optional<std::uint32_t> number_after(std::string_view name, std::string_view prefix) {
    if (!name.starts_with(prefix)) return std::nullopt;
    std::uint32_t number = 0;
    const char* begin = name.data() + prefix.size();
    const auto [end, error] = std::from_chars(begin, name.data() + name.size(), number);
    if (error != std::errc() || end == begin || end == name.data() + name.size() || *end != '_')
        return std::nullopt;
    return number;
}

void add_gcc_member(FrameLayout& layout, const DwarfMember& member, const UserKnowledge& user) {
    FrameField entry;
    entry.offset = member.offset;
    entry.size = type_size(member.type).value_or(0);
    entry.type = member.type;
    entry.name = member.name;
    if (member.name == "_Coro_promise") {
        set_promise(layout, member.offset, member.type, user);
        return;
    }
    if (member.name == "_Coro_self_handle") layout.self_handle = member.offset;
    if (member.name == "_Coro_resume_index") layout.index = IndexField{member.offset, entry.size};
    if (member.name.starts_with("_Coro_") || member.name.starts_with("Is_") ||
        member.name.starts_with("Fs_")) {
        entry.role = FrameField::Role::bookkeeping;
    } else if (const auto await = number_after(member.name, "Aw")) {
        entry.role = FrameField::Role::awaiter;
        entry.await_number = *await;
    } else if (const auto yield = number_after(member.name, "Yd")) {
        entry.role = FrameField::Role::yield_awaiter;
        entry.await_number = *yield;
    } else {
        entry.name = without_scope_numbers(member.name);
        // A parameter keeps its plain name; a local always carries the numbers of its scope.
        entry.role = entry.name == member.name ? FrameField::Role::parameter : FrameField::Role::local;
    }
    layout.members.push_back(std::move(entry));
}

void add_clang_member(FrameLayout& layout, const DwarfMember& member, Dwarf_Die function,
                      const UserKnowledge& user) {
    if (member.name == "__promise") {
        set_promise(layout, member.offset, member.type, user);
        return;
    }
    FrameField entry;
    entry.offset = member.offset;
    entry.size = type_size(member.type).value_or(0);
    entry.type = member.type;
    entry.name = member.name;
    if (member.name.empty() || member.name.starts_with("__")) {
        entry.role = FrameField::Role::bookkeeping;
    } else if (const auto variable = find_variable_or_abstract(function, member.name)) {
        Dwarf_Die die = *variable;
        const bool is_parameter = dwarf_tag(&die) == DW_TAG_formal_parameter;
        entry.role = is_parameter ? FrameField::Role::parameter : FrameField::Role::local;
    }
    layout.members.push_back(std::move(entry));
}

std::optional<Dwarf_Die> gcc_frame_type(Dwarf_Die actor) {
    for (const std::string_view name : {"frame_ptr", "frame_pointer"}) {
        const auto parameter = find_variable_or_abstract(actor, name);
        if (!parameter) continue;
        const auto pointer = type_of(*parameter);
        if (!pointer) continue;
        if (const auto frame = pointee(*pointer)) return strip_typedefs(*frame);
    }
    return std::nullopt;
}

void read_gcc(FrameLayout& layout, const CoroutineCode& code, Dwarf_Die actor, const UserKnowledge& user) {
    std::optional<SourceLocation> resume_pointer_declared_at;
    if (const auto frame = gcc_frame_type(actor)) {
        layout.size = type_size(*frame).value_or(0);
        std::uint32_t resume_pointer = 0;
        for_each_member(*frame, [&](const DwarfMember& member) {
            if (member.name == "_Coro_resume_fn") {
                resume_pointer = member.offset;
                resume_pointer_declared_at = declaration_of(member.die);
            }
            add_gcc_member(layout, member, user);
            return true;
        });
        // GCC 12 begins the frame of a function that has no variable of its outermost block, but an if or
        // while with a co_await in its condition, with that condition, before the resume pointer. A handle
        // that is made of the promise leads to the resume pointer none the less, and the function, resumed by
        // it, takes that for its frame: it uses each member at its offset from there (which is wrong, but is
        // what it does). Only the promise has been built by the ramp, in front of where the function looks
        // for it: behind the two pointers.
        if (resume_pointer != 0 && layout.promise_type)
            set_promise(layout, std::max(16U, type_alignment(*layout.promise_type)), *layout.promise_type,
                        user);
    }
    // The actor has no declaration of its own: the ramp's is what the user wrote.
    const auto ramp = code.ramp.size() != 0 ? code.module->subprogram_at(code.ramp.begin) : std::nullopt;
    if (ramp) layout.declared_at = declaration_of(*ramp);
    if (const auto frame = gcc_frame_type(actor); frame && !layout.declared_at)
        layout.declared_at = declaration_around(*frame);
    // A ramp that was inlined everywhere is not described. GCC gives what it adds to a frame the place of the
    // function's name.
    if (!layout.declared_at) layout.declared_at = std::move(resume_pointer_declared_at);
    // A unit of one type (-fdebug-types-section) does not tell the compiler's directory.
    Dwarf_Die unit;
    if (layout.declared_at && dwarf_diecu(&actor, &unit, nullptr, nullptr) != nullptr)
        layout.declared_at->file = absolute_source_path(layout.declared_at->file.c_str(), unit);
}

void read_clang(FrameLayout& layout, Dwarf_Die resume, const UserKnowledge& user) {
    layout.declared_at = declaration_of(resume);
    if (const auto variable = find_variable_or_abstract(resume, "__coro_frame")) {
        if (const auto type = type_of(*variable)) {
            const Dwarf_Die frame = strip_typedefs(*type);
            layout.size = type_size(frame).value_or(0);
            for_each_member(frame, [&](const DwarfMember& member) {
                add_clang_member(layout, member, resume, user);
                return true;
            });
        }
    }
    if (layout.promise_type) return;
    if (const auto variable = find_variable_or_abstract(resume, "__promise")) {
        if (const auto type = type_of(*variable))
            set_promise(layout, std::max(16U, type_alignment(*type)), *type, user);
    }
}

/// The function that the code calls may be that of a base class.
bool is_or_derives_from(Dwarf_Die type, std::string_view readable, int depth) {
    constexpr int deepest_base = 4;
    if (is_same_class(readable_name(qualified_type_name(type)), readable)) return true;
    bool derives = false;
    if (depth == deepest_base) return false;
    for_each_member(strip_typedefs(type), [&](const DwarfMember& member) {
        derives = member.is_base && is_or_derives_from(member.type, readable, depth + 1);
        return !derives && member.is_base;
    });
    return derives;
}

}  // namespace

std::vector<const FrameField*> FrameLayout::awaiters_of_class(std::string_view awaiter_type) const {
    std::vector<const FrameField*> awaiters;
    for (const FrameField& member : members) {
        if (member.is_awaiter() && (awaiter_type.empty() || is_or_derives_from(member.type, awaiter_type, 0)))
            awaiters.push_back(&member);
    }
    return awaiters;
}

FrameLayout read_frame_layout(const CoroutineCode& code, const UserKnowledge& user,
                              DeclaredPointersOfTypes& pointers) {
    FrameLayout layout;
    if (const auto function = code.module->subprogram_at(code.resume.begin)) {
        layout.has_debug_info = true;
        if (code.compiler == Compiler::gcc) {
            read_gcc(layout, code, *function, user);
        } else {
            read_clang(layout, *function, user);
        }
    }
    layout.size_is_described = layout.size != 0;
    if (layout.size == 0) layout.size = frame_size_from_code(code).value_or(0);
    find_pointers(layout, pointers);
    return layout;
}

}  // namespace asyncdump::cpp20

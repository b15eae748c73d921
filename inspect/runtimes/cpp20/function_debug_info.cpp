#include "runtimes/cpp20/function_debug_info.h"

#include <dwarf.h>

#include <algorithm>
#include <cstring>

#include "modules/dwarf_functions.h"
#include "modules/dwarf_types.h"
#include "modules/dwarf_walk.h"

namespace asyncdump::cpp20 {

namespace {

constexpr int max_block_depth = 64;
constexpr std::size_t max_entries = 100'000;  // of each kind, in one function
constexpr std::size_t max_ranges = 10'000;    // of one DIE
constexpr std::size_t max_frame_members = 100'000;

constexpr int max_base_depth = 8;
constexpr std::size_t max_bases = 64;

constexpr std::string_view wrapper_mark = "__await_suspend_wrapper__";

struct NamedRole {
    std::string_view name;
    std::string_view mangled;
    AwaitRole role;
};
constexpr NamedRole named_roles[] = {
    {"await_ready", "11await_ready", AwaitRole::await_ready},
    {"await_suspend", "13await_suspend", AwaitRole::await_suspend},
    {"await_resume", "12await_resume", AwaitRole::await_resume},
    {"await_transform", "15await_transform", AwaitRole::await_transform},
    {"operator co_await", "aw", AwaitRole::operator_co_await},
    {"yield_value", "11yield_value", AwaitRole::yield_value},
    {"initial_suspend", "15initial_suspend", AwaitRole::initial_suspend},
    {"final_suspend", "13final_suspend", AwaitRole::final_suspend},
    {"return_void", "11return_void", AwaitRole::other_promise_function},
    {"return_value", "12return_value", AwaitRole::other_promise_function},
    {"unhandled_exception", "19unhandled_exception", AwaitRole::other_promise_function},
    {"get_return_object", "17get_return_object", AwaitRole::other_promise_function},
};

std::string linkage_name(Dwarf_Die die) {
    Dwarf_Attribute attribute;
    for (const unsigned name : {DW_AT_linkage_name, DW_AT_MIPS_linkage_name}) {
        if (const char* text = dwarf_formstring(dwarf_attr_integrate(&die, name, &attribute))) return text;
    }
    const char* text = dwarf_formstring(dwarf_attr_integrate(&die, DW_AT_name, &attribute));
    return text != nullptr ? text : "";
}

std::optional<std::uint64_t> number(Dwarf_Die& die, unsigned name) {
    Dwarf_Attribute attribute;
    Dwarf_Word value = 0;
    if (dwarf_attr_integrate(&die, name, &attribute) == nullptr || dwarf_formudata(&attribute, &value) != 0) {
        return std::nullopt;
    }
    return value;
}

std::uint32_t line_number(Dwarf_Die& die, unsigned name) {
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(number(die, name).value_or(0), 0xffff'ffff));
}

}  // namespace

bool is_suspend_wrapper(std::string_view function) {
    return function.find(wrapper_mark) != std::string_view::npos;
}

SuspendPoint::Kind suspend_wrapper_kind(std::string_view function) {
    const std::size_t at = function.find(wrapper_mark);
    if (at == std::string_view::npos) return SuspendPoint::Kind::unknown;
    const std::string_view kind = function.substr(at + wrapper_mark.size());
    if (kind.starts_with("await")) return SuspendPoint::Kind::await;
    if (kind.starts_with("yield")) return SuspendPoint::Kind::yield;
    if (kind.starts_with("init")) return SuspendPoint::Kind::initial;
    if (kind.starts_with("final")) return SuspendPoint::Kind::final;
    return SuspendPoint::Kind::unknown;
}

AwaitRole await_role(std::string_view name) {
    for (const NamedRole& entry : named_roles) {
        if (name.starts_with(entry.name)) {
            const std::string_view rest = name.substr(entry.name.size());
            if (rest.empty() || rest.front() == '<') return entry.role;
        }
        if (!name.starts_with("_Z") || entry.mangled == "aw") continue;
        if (const std::size_t at = name.find(entry.mangled); at != std::string_view::npos && at > 0) {
            const std::string_view rest = name.substr(at + entry.mangled.size());
            const bool ends = !rest.empty() && (rest.front() == 'E' || rest.front() == 'I');
            const bool starts = name[at - 1] < '0' || name[at - 1] > '9';
            if (ends && starts) return entry.role;
        }
    }
    return AwaitRole::none;
}

struct FunctionDebugInfo::Reader {
    const Module& module;
    FunctionDebugInfo& info;
    Dwarf_Die frame_type{};
    bool has_frame_type = false;

    std::vector<AddressRange> ranges_of(Dwarf_Die& die) const {
        std::vector<AddressRange> ranges;
        Dwarf_Addr base = 0, low = 0, high = 0;
        std::ptrdiff_t offset = 0;
        while (ranges.size() < max_ranges && (offset = dwarf_ranges(&die, offset, &base, &low, &high)) > 0) {
            if (low < high) ranges.push_back({module.from_dwarf(low), module.from_dwarf(high)});
        }
        return ranges;
    }

    SourcePosition call_position(Dwarf_Die& die) const {
        SourcePosition position{line_number(die, DW_AT_call_line), line_number(die, DW_AT_call_column), 0};
        if (const auto file = number(die, DW_AT_call_file))
            position.file = info.file_index(info.lines_->file(*file));
        return position;
    }

    SourcePosition declaration_position(Dwarf_Die& die) const {
        return {line_number(die, DW_AT_decl_line), line_number(die, DW_AT_decl_column),
                info.file_index(declaration_file(die))};
    }

    void walk(Dwarf_Die parent, int depth) {
        Dwarf_Die child;
        if (depth > max_block_depth || dwarf_child(&parent, &child) != 0) return;
        do {
            switch (dwarf_tag(&child)) {
                case DW_TAG_lexical_block:
                    add_awaiters(child);
                    walk(child, depth + 1);
                    break;
                case DW_TAG_inlined_subroutine:
                    add_inlined_call(child);
                    break;
                case DW_TAG_call_site:
                case DW_TAG_GNU_call_site:
                    add_call_site(child);
                    break;
                case DW_TAG_label:
                    add_label(child);
                    break;
                case DW_TAG_variable:
                case DW_TAG_formal_parameter:
                    add_variable(child);
                    break;
                default:
                    break;
            }
        } while (dwarf_siblingof(&child, &child) == 0);
    }

    void add_inlined_call(Dwarf_Die die) {
        if (info.inlined_calls_.size() + info.other_calls_.size() >= max_entries) return;
        InlinedCall call;
        call.function = linkage_name(die);
        call.die = die;
        call.role = await_role(die_name(die));
        call.is_suspend_wrapper = is_suspend_wrapper(call.function);
        if (call.is_suspend_wrapper) {
            call.role = AwaitRole::await_suspend;
            call.wrapper_kind = suspend_wrapper_kind(call.function);
            call.function.clear();
            if (const auto within = suspend_within(die, 0)) {
                call.function = linkage_name(*within);
                call.die = *within;
            }
        }
        call.called_at = call_position(die);
        call.ranges = ranges_of(die);
        if (call.ranges.empty()) return;
        (call.role == AwaitRole::none ? info.other_calls_ : info.inlined_calls_).push_back(std::move(call));
    }

    // The awaiter's own await_suspend within a wrapper: inlined there, or called.
    std::optional<Dwarf_Die> suspend_within(Dwarf_Die wrapper, int depth) {
        Dwarf_Die child;
        if (depth > max_block_depth || dwarf_child(&wrapper, &child) != 0) return std::nullopt;
        do {
            const int tag = dwarf_tag(&child);
            if (tag == DW_TAG_inlined_subroutine && await_role(die_name(child)) == AwaitRole::await_suspend) {
                return child;
            }
            if (tag == DW_TAG_lexical_block) {
                if (const auto found = suspend_within(child, depth + 1)) return found;
            }
        } while (dwarf_siblingof(&child, &child) == 0);
        return std::nullopt;
    }

    void add_call_site(Dwarf_Die die) {
        Dwarf_Attribute attribute;
        Dwarf_Die callee;
        Dwarf_Addr address = 0;
        const bool has_callee =
            dwarf_formref_die(dwarf_attr(&die, DW_AT_call_origin, &attribute), &callee) != nullptr ||
            dwarf_formref_die(dwarf_attr(&die, DW_AT_abstract_origin, &attribute), &callee) != nullptr;
        const bool has_address =
            dwarf_formaddr(dwarf_attr(&die, DW_AT_call_return_pc, &attribute), &address) == 0 ||
            dwarf_formaddr(dwarf_attr(&die, DW_AT_low_pc, &attribute), &address) == 0;
        if (!has_callee || !has_address || info.call_sites_.size() >= max_entries) return;
        const std::string name = linkage_name(callee);
        if (await_role(die_name(callee)) == AwaitRole::none && !is_suspend_wrapper(name)) return;
        info.call_sites_.push_back({module.from_dwarf(address), name});
    }

    // Clang 21 and later: `__coro_resume_3` with the index it belongs to.
    void add_label(Dwarf_Die die) {
        constexpr unsigned coro_suspend_idx = 0x3e19;  // DW_AT_LLVM_coro_suspend_idx
        const auto index = number(die, coro_suspend_idx);
        if (!index || !die_name(die).starts_with("__coro_resume_") || info.labels_.size() >= max_entries)
            return;
        info.labels_.push_back({*index, declaration_position(die)});
    }

    void add_awaiters(Dwarf_Die block) {
        Dwarf_Die child;
        if (dwarf_child(&block, &child) != 0) return;
        do {
            if (dwarf_tag(&child) != DW_TAG_variable || info.awaiter_blocks_.size() >= max_entries) continue;
            const std::string name = die_name(child);
            const bool numbered =
                name.size() > 2 && name.find_first_not_of("0123456789", 2) == std::string::npos;
            const bool is_awaiter = name == "Is" || name == "Fs" ||
                                    (numbered && (name.starts_with("Aw") || name.starts_with("Yd")));
            if (!is_awaiter) continue;
            const auto type = type_of(child);
            info.awaiter_blocks_.push_back(
                {name, type.value_or(Dwarf_Die{}), type.has_value(), ranges_of(block)});
        } while (dwarf_siblingof(&child, &child) == 0);
    }

    void add_variable(Dwarf_Die die) {
        const std::string name = die_name(die);
        if (name == "frame_ptr" || name == "__coro_frame") {
            const auto type = type_of(die);
            if (!type) return;
            frame_type = strip_typedefs(pointee(*type).value_or(*type));
            has_frame_type = true;
            return;
        }
        if (name == "__promise") {
            if (const auto type = type_of(die)) read_initial_suspend(strip_typedefs(*type), 0);
        }
        if (number(die, DW_AT_artificial) || name.starts_with("__") || name.starts_with("_Coro_")) return;
        add_user_variable(die);
    }

    // `breg R + offset` (and a constant added to it): in a resume function R is the frame where it is neither
    // rsp nor rbp.
    void add_user_variable(Dwarf_Die die) {
        Dwarf_Attribute attribute;
        if (dwarf_attr_integrate(&die, DW_AT_location, &attribute) == nullptr) return;
        LocationList locations(attribute);
        while (const auto location = locations.next()) {
            const auto expression = location->operations;
            if (expression.empty() || expression[0].atom < DW_OP_breg0 || expression[0].atom > DW_OP_breg15)
                continue;
            constexpr unsigned dwarf_rbp = 6, dwarf_rsp = 7;
            const unsigned base_register = expression[0].atom - DW_OP_breg0;
            if (base_register == dwarf_rbp || base_register == dwarf_rsp) continue;
            std::uint64_t at = expression[0].number;
            if (expression.size() > 1 && expression[1].atom == DW_OP_plus_uconst) at += expression[1].number;
            if (at >= 16 && at < 0xffff'ffff)
                info.user_variable_offsets_.push_back(static_cast<std::uint32_t>(at));
        }
    }

    void read_initial_suspend(Dwarf_Die promise, int depth) {
        Dwarf_Die child;
        if (depth > max_base_depth || dwarf_child(&promise, &child) != 0) return;
        std::vector<Dwarf_Die> bases;
        do {
            if (dwarf_tag(&child) == DW_TAG_inheritance) {
                if (const auto base = type_of(child); base && bases.size() < max_bases)
                    bases.push_back(*base);
            }
            if (dwarf_tag(&child) != DW_TAG_subprogram || die_name(child) != "initial_suspend") continue;
            // The standard library's types, told by their header: to find a type's namespace would cost a
            // walk through the unit.
            auto returned = type_of(child);
            if (!returned) return;
            returned = strip_typedefs(*returned);
            if (declaration_file(*returned).find("/c++/") == std::string::npos) return;
            const std::string name = die_name(*returned);
            if (name == "suspend_never") info.suspends_initially_ = false;
            if (name == "suspend_always") info.suspends_initially_ = true;
            return;
        } while (dwarf_siblingof(&child, &child) == 0);
        for (const Dwarf_Die& base : bases) {
            read_initial_suspend(strip_typedefs(base), depth + 1);
            if (info.suspends_initially_) return;
        }
    }

    void read_frame_type() {
        if (!has_frame_type) return;
        Dwarf_Die type = frame_type;
        info.closing_brace_ = declaration_position(type);
        std::size_t members = 0;
        for_each_member(type, [&](const DwarfMember& member) {
            const bool is_index = member.name == "_Coro_resume_index" || member.name == "__coro_index";
            const std::uint32_t size = is_index ? type_size(member.type).value_or(0) : 0;
            if (member.offset >= 16 && (size == 1 || size == 2 || size == 4 || size == 8)) {
                info.index_field_ = IndexField{member.offset, size};
            }
            return !is_index && ++members < max_frame_members;
        });
    }
};

std::optional<FunctionDebugInfo> FunctionDebugInfo::read(const Module& module, RemoteAddress entry) {
    auto subprogram = module.subprogram_at(entry);
    if (!subprogram) return std::nullopt;
    FunctionDebugInfo info;
    info.module_ = &module;
    info.files_.emplace_back();
    Dwarf_Die unit;
    if (dwarf_diecu(&*subprogram, &unit, nullptr, nullptr) == nullptr) return std::nullopt;
    info.lines_ = LineTable::of(unit);
    if (info.lines_ == nullptr) return std::nullopt;
    Reader reader{module, info};
    reader.walk(*subprogram, 0);
    info.name_ = die_name(*subprogram);
    info.declaration_ = reader.declaration_position(*subprogram);
    reader.read_frame_type();
    std::ranges::sort(info.call_sites_, {}, &CallSite::return_address);
    return info;
}

SourcePosition FunctionDebugInfo::line_at(RemoteAddress address) const {
    const LineTable::Row* const row = lines_->row_at(module_->to_dwarf(address));
    if (row == nullptr || row->line == 0) return {};
    const auto [file, is_new] = files_of_rows_.try_emplace(row->file);
    if (is_new) file->second = file_index(lines_->file_of(*row));
    return {row->line, row->column, file->second};
}

SourcePosition FunctionDebugInfo::statement_at(RemoteAddress address) const {
    for (const auto* calls : {&inlined_calls_, &other_calls_}) {
        for (const InlinedCall& call : *calls) {
            if (call.called_at && call.covers(address)) return call.called_at;
        }
    }
    return line_at(address);
}

bool FunctionDebugInfo::is_inlined(RemoteAddress address) const {
    const auto covers = [&](const InlinedCall& call) { return call.covers(address); };
    return std::ranges::any_of(inlined_calls_, covers) || std::ranges::any_of(other_calls_, covers);
}

std::uint32_t FunctionDebugInfo::file_index(std::string absolute) const {
    if (absolute.empty()) return 0;
    for (std::uint32_t i = 1; i < files_.size(); ++i) {
        if (files_[i] == absolute) return i;
    }
    files_.push_back(std::move(absolute));
    return static_cast<std::uint32_t>(files_.size() - 1);
}

bool FunctionDebugInfo::user_variable_at(std::uint32_t offset, std::uint32_t width) const {
    return std::ranges::any_of(user_variable_offsets_,
                               [&](std::uint32_t at) { return at >= offset && at < offset + width; });
}

}  // namespace asyncdump::cpp20

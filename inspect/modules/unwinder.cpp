#include "modules/unwinder.h"

#include <fmt/format.h>
#include <libunwind.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "modules/unwind_table.h"

// Exported by libunwind for users that find their tables themselves, but not declared in its headers.
extern "C" int UNW_OBJ(dwarf_search_unwind_table)(unw_addr_space_t, unw_word_t ip, unw_dyn_info_t*,
                                                  unw_proc_info_t*, int need_unwind_info, void*);

namespace asyncdump {
namespace {

constexpr std::size_t page_size = 4096;
constexpr std::size_t cached_rules = 4096;
constexpr std::uint64_t maximal_frame_bytes =
    64U << 20;                             // by frame pointers: what lies further apart is no frame
constexpr int maximal_signal_frames = 64;  // they may go to another stack in any direction

/// What a function must restore before it returns (System V psABI 3.2.1). libunwind leaves the others as they
/// were further inside, which says nothing of the outer frame.
constexpr std::array<Registers::Number, 8> preserved = {Registers::rbx, Registers::rbp, Registers::rsp,
                                                        Registers::r12, Registers::r13, Registers::r14,
                                                        Registers::r15, Registers::rip};

struct AddressSpaceCloser {
    void operator()(unw_addr_space_t space) const { unw_destroy_addr_space(space); }
};

std::string describe(const ModuleSet& modules, RemoteAddress pc) {
    const Module* module = modules.find(pc);
    return module ? fmt::format("{:#x} ({})", pc.value(), module->name())
                  : fmt::format("{:#x}, which lies in no loaded file", pc.value());
}

}  // namespace

struct Unwinder::State {
    State(const ModuleSet& all_modules, const Memory& target_memory);

    UnwoundStack unwind(const Registers& start, std::size_t max_frames);

  private:
    enum class Step { stepped, outermost, failed };

    Step step_by_tables(unw_cursor_t& cursor, std::string& reason);
    std::optional<Registers> step_by_frame_pointer(const Registers& inner) const;
    bool restart_at(unw_cursor_t& cursor, const Registers& outer);
    static Registers recovered_registers(unw_cursor_t& cursor, bool all_are_restored);
    std::size_t read(std::uint64_t address, std::span<std::byte> destination);
    bool is_code(RemoteAddress address) const;

    // libunwind's accessors; `self` is the State.
    static int find_procedure(unw_addr_space_t space, unw_word_t ip, unw_proc_info_t* procedure,
                              int need_unwind_info, void* self);
    static int access_memory(unw_addr_space_t, unw_word_t address, unw_word_t* value, int is_write,
                             void* self);
    static int access_register(unw_addr_space_t, unw_regnum_t number, unw_word_t* value, int is_write,
                               void* self);

    const ModuleSet& modules;
    const Memory& memory;
    UnwindTables tables;
    unw_accessors_t accessors{};
    std::unique_ptr<std::remove_pointer_t<unw_addr_space_t>, AddressSpaceCloser> space;
    Registers registers;  ///< where the walk began, or went on after a step that libunwind could not do
    bool lookup_failed = false;
    bool looks_up = false;  ///< in find_procedure
    RemoteAddress unreadable;
    RemoteAddress
        page_address;  ///< the page of a module's file that was read last: tables are read word by word
    std::size_t page_bytes = 0;
    std::array<std::byte, page_size> page{};
};

Unwinder::State::State(const ModuleSet& all_modules, const Memory& target_memory)
    : modules(all_modules), memory(target_memory), tables(all_modules, target_memory) {
    accessors.find_proc_info = find_procedure;
    accessors.put_unwind_info = [](unw_addr_space_t, unw_proc_info_t*, void*) {};  // libunwind's own pool
    accessors.get_dyn_info_list_addr = [](unw_addr_space_t, unw_word_t*, void*) { return -UNW_ENOINFO; };
    accessors.access_mem = access_memory;
    accessors.access_reg = access_register;
    accessors.access_fpreg = [](unw_addr_space_t, unw_regnum_t, unw_fpreg_t*, int, void*) {
        return -UNW_EBADREG;
    };
    accessors.resume = [](unw_addr_space_t, unw_cursor_t*, void*) { return -UNW_EINVAL; };
    accessors.get_proc_name = [](unw_addr_space_t, unw_word_t, char*, std::size_t, unw_word_t*, void*) {
        return -UNW_ENOINFO;
    };
    space.reset(unw_create_addr_space(&accessors, 0));
    if (!space) return;
    unw_set_caching_policy(space.get(), UNW_CACHE_GLOBAL);
    unw_set_cache_size(space.get(), cached_rules, 0);
}

std::size_t Unwinder::State::read(std::uint64_t address, std::span<std::byte> destination) {
    if (const auto made = tables.read(address, destination)) return made;
    const RemoteAddress begin(address & ~(page_size - 1));
    const auto offset = static_cast<std::size_t>(address & (page_size - 1));
    if (begin != page_address || page_bytes == 0) {
        const Module* module = modules.find(RemoteAddress(address));
        page_address = begin;
        page_bytes = module ? module->read_file_bytes(begin, page) : 0;
        // A segment ends where it ends; libunwind reads whole words, whose rest the kernel fills with zeros.
        if (page_bytes > 0)
            std::fill(page.begin() + static_cast<std::ptrdiff_t>(page_bytes), page.end(), std::byte{0});
    }
    if (page_bytes > 0 && offset < page_bytes && offset + destination.size() <= page.size()) {
        std::memcpy(destination.data(), page.data() + offset, destination.size());
        return destination.size();
    }
    return memory.read(RemoteAddress(address), destination);
}

bool Unwinder::State::is_code(RemoteAddress address) const {
    const Module* module = modules.find(address);
    if (!module) return false;
    const auto& ranges = module->executable_ranges();
    return std::any_of(ranges.begin(), ranges.end(),
                       [&](const AddressRange& range) { return range.contains(address); });
}

int Unwinder::State::find_procedure(unw_addr_space_t space, unw_word_t ip, unw_proc_info_t* procedure,
                                    int need_unwind_info, void* self) {
    auto& state = *static_cast<State*>(self);
    state.lookup_failed = true;
    const Module* module = state.modules.find(RemoteAddress(ip));
    if (!module) return -UNW_ENOINFO;
    const auto search = [&](const std::optional<UnwindTable>& table) {
        if (!table) return -UNW_ENOINFO;
        unw_dyn_info_t info{};
        info.start_ip = module->range().begin.value();
        info.end_ip = module->range().end.value();
        info.format = UNW_INFO_FORMAT_REMOTE_TABLE;
        info.u.rti.segbase = table->base;
        info.u.rti.table_data = table->entries;
        info.u.rti.table_len = table->entry_count * 2 * sizeof(std::int32_t) / sizeof(unw_word_t);
        return UNW_OBJ(dwarf_search_unwind_table)(space, ip, &info, procedure, need_unwind_info, self);
    };
    state.looks_up = true;
    int status = search(state.tables.of_eh_frame(*module));
    if (status != 0) status = search(state.tables.of_debug_frame(*module));
    state.looks_up = false;
    state.lookup_failed = status != 0;
    return status;
}

int Unwinder::State::access_memory(unw_addr_space_t, unw_word_t address, unw_word_t* value, int is_write,
                                   void* self) {
    auto& state = *static_cast<State*>(self);
    if (is_write) return -UNW_EINVAL;
    if (state.read(address, std::as_writable_bytes(std::span(value, 1))) == sizeof *value) return 0;
    // The address of a personality routine is told through a word of the module's writable data, which may
    // not have been copied. Nobody asks for the routine.
    if (state.looks_up && state.modules.find(RemoteAddress(address)) != nullptr) {
        *value = 0;
        return 0;
    }
    state.unreadable = RemoteAddress(address);
    return -UNW_EINVAL;
}

int Unwinder::State::access_register(unw_addr_space_t, unw_regnum_t number, unw_word_t* value, int is_write,
                                     void* self) {
    auto& state = *static_cast<State*>(self);
    // libunwind numbers them as DWARF does.
    if (is_write || number < 0 || number > UNW_X86_64_RIP) return -UNW_EBADREG;
    *value = state.registers.get(static_cast<unsigned>(number));
    return 0;
}

Registers Unwinder::State::recovered_registers(unw_cursor_t& cursor, bool all_are_restored) {
    Registers result;
    const auto recover = [&](unsigned number) {
        unw_word_t value = 0;
        if (unw_get_reg(&cursor, static_cast<unw_regnum_t>(number), &value) == 0) result.set(number, value);
    };
    if (all_are_restored)
        for (unsigned number = 0; number < Registers::count; ++number) recover(number);
    else
        for (const auto number : preserved) recover(number);
    return result;
}

Unwinder::State::Step Unwinder::State::step_by_tables(unw_cursor_t& cursor, std::string& reason) {
    lookup_failed = false;
    unreadable = {};
    const int status = unw_step(&cursor);
    // Without an entry libunwind goes on by guesses that it does not tell from knowledge.
    if (lookup_failed) return Step::failed;
    if (status > 0) return Step::stepped;
    if (status == 0) return Step::outermost;
    reason = unreadable.is_null()
                 ? fmt::format("the unwinding information is not usable ({})", unw_strerror(status))
                 : fmt::format("the stack is not readable at {:#x}", unreadable.value());
    return Step::failed;
}

/// The frame around one whose code has no unwinding information, if the code keeps frame pointers. That
/// cannot be known: where it does not, %rbp still holds a caller's frame pointer and frames are left out.
/// Only a return address into code is accepted.
std::optional<Registers> Unwinder::State::step_by_frame_pointer(const Registers& inner) const {
    if (!inner.is_known(Registers::rbp)) return std::nullopt;
    const RemoteAddress frame(inner.get(Registers::rbp));
    const RemoteAddress stack = inner.stack_pointer();
    if (frame < stack || frame - stack > maximal_frame_bytes || frame.value() % 8 != 0) return std::nullopt;
    const auto saved_frame = memory.read_pointer(frame);
    const auto return_address = memory.read_pointer(frame + 8);
    if (!saved_frame || !return_address || !is_code(*return_address)) return std::nullopt;
    Registers outer;
    outer.set(Registers::rip, return_address->value());
    outer.set(Registers::rsp, (frame + 16).value());
    outer.set(Registers::rbp, saved_frame->value());
    return outer;
}

/// Lets libunwind go on from registers that it did not recover itself.
bool Unwinder::State::restart_at(unw_cursor_t& cursor, const Registers& outer) {
    registers = outer;
    // It would take the address for that of an instruction about to run, and look behind a call that never
    // returns.
    registers.set(Registers::rip, outer.get(Registers::rip) - 1);
    return unw_init_remote(&cursor, space.get(), this) == 0;
}

UnwoundStack Unwinder::State::unwind(const Registers& start, std::size_t max_frames) {
    UnwoundStack stack;
    registers = start;
    unw_cursor_t cursor;
    if (!space || unw_init_remote(&cursor, space.get(), this) != 0) {
        stack.truncated = "libunwind could not be set up";
        return stack;
    }
    UnwoundFrame frame{start.pc(), false, false, start, {}};
    int signal_frames = 0;
    for (;;) {
        if (stack.frames.size() >= max_frames) {
            stack.truncated = fmt::format("more than {} frames", max_frames);
            return stack;
        }
        const bool is_signal_frame = unw_is_signal_frame(&cursor) > 0;
        if (is_signal_frame) {
            frame.is_signal_trampoline = true;
            frame.is_return_address = false;  // no call led there
        }
        std::string reason;
        const Step step = step_by_tables(cursor, reason);
        std::optional<Registers> outer;
        if (step == Step::stepped) outer = recovered_registers(cursor, is_signal_frame);
        if (step == Step::failed && reason.empty()) {
            outer = step_by_frame_pointer(frame.registers);
            if (outer && !restart_at(cursor, *outer)) outer.reset();
            if (!outer) reason = "no unwinding information at " + describe(modules, frame.pc);
        }
        if (outer) frame.canonical_frame_address = outer->stack_pointer();
        const RemoteAddress stack_pointer = frame.registers.stack_pointer();
        stack.frames.push_back(frame);
        if (!outer) {
            stack.truncated = reason;
            return stack;
        }
        // The outermost function of a thread has nowhere to return to.
        if (outer->pc().is_null()) return stack;
        const bool moves_up = outer->stack_pointer() > stack_pointer;
        if (is_signal_frame ? ++signal_frames > maximal_signal_frames : !moves_up) {
            stack.truncated =
                fmt::format("the stack pointer does not move up beyond {:#x}", stack_pointer.value());
            return stack;
        }
        frame = UnwoundFrame{outer->pc(), !is_signal_frame, false, *outer, {}};
    }
}

Unwinder::Unwinder(const ModuleSet& modules, const Memory& memory)
    : state_(std::make_unique<State>(modules, memory)) {}
Unwinder::~Unwinder() = default;

UnwoundStack Unwinder::unwind(const Registers& registers, std::size_t max_frames) {
    return state_->unwind(registers, max_frames);
}

}  // namespace asyncdump

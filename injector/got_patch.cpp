#include "injector/got_patch.h"

#include <elf.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>

#include "injector/safe_point.h"

namespace asyncdump {
namespace {

constexpr std::uint64_t most_dynamic_entries = 4096;
constexpr std::uint64_t most_relocations = 1 << 22;
constexpr std::size_t longest_name = 64;

/// What the dynamic section of a loaded module says.
struct DynamicSection {
    RemoteAddress symbols, strings;
    AddressRange procedure_slots, data_slots;
};

std::optional<DynamicSection> read_dynamic(const Module& module, const Memory& memory) {
    const auto section = module.section(".dynamic");
    if (!section) return std::nullopt;
    std::vector<Elf64_Dyn> entries(
        std::min<std::uint64_t>(section->size() / sizeof(Elf64_Dyn), most_dynamic_entries));
    if (!memory.read_all(section->begin, std::as_writable_bytes(std::span(entries)))) return std::nullopt;
    std::unordered_map<std::int64_t, std::uint64_t> values;
    for (const Elf64_Dyn& entry : entries) {
        if (entry.d_tag == DT_NULL) break;
        values.try_emplace(entry.d_tag, entry.d_un.d_val);
    }
    if (!values.contains(DT_SYMTAB) || !values.contains(DT_STRTAB)) return std::nullopt;
    if (values.contains(DT_PLTREL) && values[DT_PLTREL] != DT_RELA) return std::nullopt;
    // glibc's loader has added the bias to these addresses, but not where the section cannot be written
    // (vdso).
    const auto address = [&](std::uint64_t value) {
        const bool relocated = module.range().contains(RemoteAddress(value));
        return RemoteAddress(relocated ? value : value + module.bias());
    };
    const auto table = [&](std::int64_t begin, std::int64_t size) {
        if (!values.contains(begin)) return AddressRange{};
        return AddressRange{address(values[begin]), address(values[begin]) + values[size]};
    };
    return DynamicSection{address(values[DT_SYMTAB]), address(values[DT_STRTAB]),
                          table(DT_JMPREL, DT_PLTRELSZ), table(DT_RELA, DT_RELASZ)};
}

constexpr const char* registry_name = "asyncdump_registry";

std::string symbol_name(const Memory& memory, RemoteAddress symbols, RemoteAddress strings,
                        std::uint64_t index) {
    const auto symbol = memory.read_value<Elf64_Sym>(symbols + index * sizeof(Elf64_Sym));
    if (!symbol) return "";
    std::array<char, longest_name> text{};
    const std::size_t got = memory.read(strings + symbol->st_name, std::as_writable_bytes(std::span(text)));
    const std::size_t length = strnlen(text.data(), got);
    return length == text.size() ? "" : std::string(text.data(), length);
}

bool write_word(const FileDescriptor& memory, RemoteAddress address, std::uint64_t word) {
    return ::pwrite(memory.get(), &word, sizeof word, static_cast<off_t>(address.value())) == sizeof word;
}

}  // namespace

SlotFinder::SlotFinder(const ModuleSet& modules, const Memory& memory, const std::vector<Hook>& hooks)
    : modules_(modules), memory_(memory) {
    for (const Hook& hook : hooks) {
        hooks_.emplace(hook.name, &hook);
        own_.insert(hook.address);
    }
    for (const auto& module : modules_.modules()) {
        for (const auto& [name, hook] : hooks_) {
            if (const auto symbol = module->find_exported_symbol(name))
                definitions_[name].insert(symbol->address.value());
        }
    }
}

std::vector<Slot> SlotFinder::find() {
    for (const auto& module : modules_.modules()) {
        if (module->find_exported_symbol(registry_name) || is_loader(*module)) continue;
        if (const auto dynamic = read_dynamic(*module, memory_)) {
            add_slots(*module, dynamic->procedure_slots, dynamic->symbols, dynamic->strings);
            add_slots(*module, dynamic->data_slots, dynamic->symbols, dynamic->strings);
        }
    }
    std::ranges::stable_sort(slots_, {}, &Slot::phase);
    return slots_;
}

std::vector<Slot> SlotFinder::look_again(const std::vector<Slot>& slots) {
    std::vector<Slot> now;
    for (Slot slot : slots) {
        const auto present = memory_.read_value<std::uint64_t>(slot.address);
        if (!present || !is_ordinary(places_.at(slot.address), *present)) continue;
        slot.before = *present;
        now.push_back(slot);
    }
    return now;
}

void SlotFinder::add_slots(const Module& module, const AddressRange& table, RemoteAddress symbols,
                           RemoteAddress strings) {
    std::vector<Elf64_Rela> relocations(std::min(table.size() / sizeof(Elf64_Rela), most_relocations));
    if (!memory_.read_all(table.begin, std::as_writable_bytes(std::span(relocations)))) return;
    for (const Elf64_Rela& relocation : relocations) {
        const auto type = ELF64_R_TYPE(relocation.r_info);
        if (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT) continue;
        const auto found =
            hooks_.find(symbol_name(memory_, symbols, strings, ELF64_R_SYM(relocation.r_info)));
        if (found == hooks_.end()) continue;
        const Hook& hook = *found->second;
        const RemoteAddress slot(module.bias() + relocation.r_offset);
        const auto present = memory_.read_value<std::uint64_t>(slot);
        if (!present || !is_ordinary({&module, &hook}, *present)) continue;
        places_.emplace(slot, Place{&module, &hook});
        slots_.push_back({slot, *present, hook.address, hook.phase});
    }
}

/// The slot leads to a definition of that name, or has not been bound yet and leads into its own module's
/// procedure linkage table; or it is a weak reference to our registry, which was not there.
bool SlotFinder::is_ordinary(const Place& place, std::uint64_t value) {
    if (own_.contains(value)) return false;
    if (place.hook->name == registry_name) return value == 0;
    if (definitions_[place.hook->name].contains(value)) return true;
    return std::ranges::any_of(place.module->executable_ranges(), [&](const AddressRange& range) {
        return range.contains(RemoteAddress(value));
    });
}

Result<void> patch(const std::vector<Slot>& slots, const FileDescriptor& memory) {
    for (std::size_t i = 0; i < slots.size(); ++i) {
        if (write_word(memory, slots[i].address, slots[i].after)) continue;
        const int error = errno;
        while (i-- > 0) write_word(memory, slots[i].address, slots[i].before);
        return failure(
            ErrorCode::system,
            fmt::format("cannot write to the target's global offset tables: {}", std::strerror(error)),
            error);
    }
    return {};
}

}  // namespace asyncdump

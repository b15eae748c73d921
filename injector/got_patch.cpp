#include "injector/got_patch.h"

#include <elf.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "injector/safe_point.h"

namespace asyncdump {
namespace {

constexpr std::uint64_t most_dynamic_entries = 4096;
constexpr std::uint64_t most_relocations = 1 << 22;
constexpr std::size_t longest_name = 64;

/// What the dynamic section of a loaded module says. The loader has added the bias to addresses, but not in
/// every module: those below the module's own range are without it.
struct DynamicSection {
    RemoteAddress symbols, strings;
    struct Table {
        RemoteAddress address;
        std::uint64_t size = 0;
    };
    Table procedure_slots, data_slots;
};

std::optional<DynamicSection> read_dynamic(const Module& module, const Memory& memory) {
    const auto section = module.section(".dynamic");
    if (!section) return std::nullopt;
    std::vector<Elf64_Dyn> entries(std::min(section->size() / sizeof(Elf64_Dyn), most_dynamic_entries));
    if (!memory.read_all(section->begin, std::as_writable_bytes(std::span(entries)))) return std::nullopt;
    DynamicSection dynamic;
    const auto address = [&](std::uint64_t value) {
        return module.range().contains(RemoteAddress(value)) ? RemoteAddress(value)
                                                             : RemoteAddress(value + module.bias());
    };
    bool has_addends = true;
    for (const Elf64_Dyn& entry : entries) {
        if (entry.d_tag == DT_NULL) break;
        const std::uint64_t value = entry.d_un.d_val;
        if (entry.d_tag == DT_SYMTAB) dynamic.symbols = address(value);
        if (entry.d_tag == DT_STRTAB) dynamic.strings = address(value);
        if (entry.d_tag == DT_JMPREL) dynamic.procedure_slots.address = address(value);
        if (entry.d_tag == DT_PLTRELSZ) dynamic.procedure_slots.size = value;
        if (entry.d_tag == DT_RELA) dynamic.data_slots.address = address(value);
        if (entry.d_tag == DT_RELASZ) dynamic.data_slots.size = value;
        if (entry.d_tag == DT_PLTREL) has_addends = value == DT_RELA;
    }
    if (dynamic.symbols.is_null() || dynamic.strings.is_null() || !has_addends) return std::nullopt;
    return dynamic;
}

class SlotFinder {
  public:
    SlotFinder(const ModuleSet& modules, const Memory& memory, const std::vector<Hook>& hooks)
        : modules_(modules), memory_(memory) {
        for (const Hook& hook : hooks) {
            hooks_.emplace(hook.name, &hook);
            own_.insert(hook.address);
        }
    }

    std::vector<Slot> find() {
        for (const auto& module : modules_.modules()) {
            for (const auto& [name, hook] : hooks_) {
                if (const auto symbol = module->find_exported_symbol(name))
                    definitions_[name].insert(symbol->address.value());
            }
        }
        for (const auto& module : modules_.modules()) {
            const bool is_agent = module->find_exported_symbol(ASYNCDUMP_REGISTRY_NAME).has_value();
            if (is_agent || is_loader(*module)) continue;
            if (const auto dynamic = read_dynamic(*module, memory_)) {
                add_slots(*module, *dynamic, dynamic->procedure_slots);
                add_slots(*module, *dynamic, dynamic->data_slots);
            }
        }
        std::ranges::stable_sort(slots_, {}, &Slot::phase);
        return std::move(slots_);
    }

  private:
    static constexpr const char* ASYNCDUMP_REGISTRY_NAME = "asyncdump_registry";

    void add_slots(const Module& module, const DynamicSection& dynamic, const DynamicSection::Table& table) {
        std::vector<Elf64_Rela> relocations(std::min(table.size / sizeof(Elf64_Rela), most_relocations));
        if (!memory_.read_all(table.address, std::as_writable_bytes(std::span(relocations)))) return;
        for (const Elf64_Rela& relocation : relocations) {
            const auto type = ELF64_R_TYPE(relocation.r_info);
            if (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT) continue;
            const auto found = hooks_.find(name_of(dynamic, ELF64_R_SYM(relocation.r_info)));
            if (found == hooks_.end()) continue;
            const RemoteAddress slot(module.bias() + relocation.r_offset);
            const auto present = memory_.read_value<std::uint64_t>(slot);
            if (!present || !is_ordinary(module, found->first, *present)) continue;
            slots_.push_back({slot, *present, found->second->address, found->second->phase});
        }
    }

    std::string name_of(const DynamicSection& dynamic, std::uint64_t index) {
        const auto symbol = memory_.read_value<Elf64_Sym>(dynamic.symbols + index * sizeof(Elf64_Sym));
        if (!symbol) return "";
        std::array<char, longest_name> text{};
        const std::size_t got =
            memory_.read(dynamic.strings + symbol->st_name, std::as_writable_bytes(std::span(text)));
        const std::size_t length = strnlen(text.data(), got);
        return length == text.size() ? "" : std::string(text.data(), length);
    }

    /// The slot leads to a definition of that name, or has not been bound yet and leads into its own module's
    /// procedure linkage table; or it is a weak reference to our registry, which was not there.
    bool is_ordinary(const Module& module, const std::string& name, std::uint64_t value) {
        if (own_.contains(value)) return false;
        if (name == ASYNCDUMP_REGISTRY_NAME) return value == 0;
        if (definitions_[name].contains(value)) return true;
        return std::ranges::any_of(module.executable_ranges(), [&](const AddressRange& range) {
            return range.contains(RemoteAddress(value));
        });
    }

    const ModuleSet& modules_;
    const Memory& memory_;
    std::unordered_map<std::string, const Hook*> hooks_;
    std::unordered_map<std::string, std::unordered_set<std::uint64_t>> definitions_;
    std::unordered_set<std::uint64_t> own_;
    std::vector<Slot> slots_;
};

bool write_word(const FileDescriptor& memory, RemoteAddress address, std::uint64_t word) {
    return ::pwrite(memory.get(), &word, sizeof word, static_cast<off_t>(address.value())) == sizeof word;
}

}  // namespace

std::vector<Slot> find_slots(const ModuleSet& modules, const Memory& memory, const std::vector<Hook>& hooks) {
    return SlotFinder(modules, memory, hooks).find();
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

#include "modules/elf_module.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace asyncdump {
namespace {

constexpr std::uint64_t page_size = 4096;

const char* where_debug_files_come_from() {
    const char* servers = std::getenv("DEBUGINFOD_URLS");
    return servers && *servers
               ? "build it with -g or install its -dbgsym package (the servers in DEBUGINFOD_URLS have none)"
               : "build it with -g, or install its -dbgsym package, or set DEBUGINFOD_URLS";
}

bool is_function(const GElf_Sym& symbol) {
    const auto type = GELF_ST_TYPE(symbol.st_info);
    return type == STT_FUNC || type == STT_GNU_IFUNC;
}

/// "memcpy@@GLIBC_2.14": some tables have the version in the name.
std::string_view without_version(const char* name) {
    const std::string_view text = name;
    return text.substr(0, text.find('@'));
}

bool is_global_binding(const GElf_Sym& symbol) {
    return GELF_ST_BIND(symbol.st_info) != STB_LOCAL;
}

}  // namespace

ElfModule::ElfModule(ElfFile file, std::string path, std::uint64_t bias, const DebugSearch& search,
                     ProblemList& problems)
    : search_(search), problems_(problems), file_(std::move(file)) {
    path_ = std::move(path);
    name_ = path_.substr(path_.rfind('/') + 1);
    bias_ = bias;
    build_id_ = file_.build_id();
    std::uint64_t begin = UINT64_MAX, end = 0;
    for (const GElf_Phdr& segment : file_.loaded_segments()) {
        begin = std::min(begin, segment.p_vaddr & ~(page_size - 1));
        end = std::max(end, (segment.p_vaddr + segment.p_memsz + page_size - 1) & ~(page_size - 1));
    }
    range_ = {RemoteAddress(begin + bias), RemoteAddress(end + bias)};
}

void ElfModule::add_executable_ranges_of_file() {
    for (const GElf_Phdr& segment : file_.loaded_segments())
        if (segment.p_flags & PF_X)
            add_executable_range({RemoteAddress(segment.p_vaddr + bias_),
                                  RemoteAddress(segment.p_vaddr + segment.p_memsz + bias_)});
}

void ElfModule::use_cache(const std::shared_ptr<const CacheFolder>& folder) {
    if (folder && !build_id_.empty() && !is_vdso())
        cache_ = std::make_unique<ModuleCache>(folder, build_id_, file_.fingerprint());
}

DebugFiles& ElfModule::debug_files() const {
    if (!debug_files_) debug_files_ = std::make_unique<DebugFiles>(file_.take_descriptor(), path_, search_);
    return *debug_files_;
}

template <class Visit>
void ElfModule::for_each_symbol_of_section(Elf_Scn* section, const Visit& visit) const {
    GElf_Shdr header;
    if (!section || !gelf_getshdr(section, &header)) return;
    const Elf_Data* table = elf_getdata(section, nullptr);
    Elf_Scn* names_section = elf_getscn(file_.elf(), header.sh_link);
    const Elf_Data* names = names_section ? elf_getdata(names_section, nullptr) : nullptr;
    if (!table || !table->d_buf || !names || !names->d_buf || names->d_size == 0) return;
    const char* const text = static_cast<const char*>(names->d_buf);
    if (text[names->d_size - 1] != '\0') return;  // a name could run out of the table
    const auto* symbols = static_cast<const Elf64_Sym*>(table->d_buf);
    const auto count = table->d_size / sizeof(Elf64_Sym);
    for (std::size_t i = 1; i < count; ++i)
        if (symbols[i].st_shndx != SHN_UNDEF && symbols[i].st_name < names->d_size)
            visit(symbols[i], symbols[i].st_value, text + symbols[i].st_name);
}

/// Visits defined symbols of every type: (symbol, address in the file's program headers, name).
template <class Visit>
void ElfModule::for_each_symbol(const Visit& visit) const {
    // The file's own tables need no library and no search; libdwfl is for files that were stripped.
    if (Elf_Scn* section = file_.section_of_type(SHT_SYMTAB)) {
        has_symbol_table_ = true;
        for_each_symbol_of_section(section, visit);
    } else if (is_vdso()) {
        for_each_symbol_of_section(file_.section_of_type(SHT_DYNSYM), visit);
    } else {
        debug_files().for_each_symbol(visit, &has_symbol_table_);
    }
}

void ElfModule::load_symbols() const {
    if (symbols_loaded_) return;
    symbols_loaded_ = true;
    for_each_symbol([&](const GElf_Sym& symbol, std::uint64_t address, const char* name) {
        if (!is_function(symbol) || *name == '\0') return;
        symbols_.push_back({RemoteAddress(address + bias_), symbol.st_size, without_version(name),
                            is_global_binding(symbol)});
    });
    std::sort(symbols_.begin(), symbols_.end(), [](const Symbol& a, const Symbol& b) {
        return a.address != b.address ? a.address < b.address : a.name < b.name;
    });
    // .dynsym and .gnu_debugdata may both list a symbol.
    symbols_.erase(std::unique(symbols_.begin(), symbols_.end(),
                               [](const Symbol& a, const Symbol& b) {
                                   return a.address == b.address && a.name == b.name;
                               }),
                   symbols_.end());
    highest_end_so_far_.reserve(symbols_.size());
    std::uint64_t highest = 0;
    for (std::size_t i = 0; i < symbols_.size(); ++i) {
        const auto begin = symbols_[i].address.value();
        highest = std::max(highest, begin + std::max<std::uint64_t>(symbols_[i].size, 1));
        highest_end_so_far_.push_back(highest);
    }
    if (!has_symbol_table_ && !is_vdso())
        problems_.add(
            {"missing_symbols",
             fmt::format("{} is stripped and no symbols were found for it: install its -dbgsym package, set "
                         "DEBUGINFOD_URLS, or do not strip it",
                         name_),
             name_, false});
}

std::span<const Symbol> ElfModule::symbols() const {
    load_symbols();
    return symbols_;
}

bool ElfModule::has_symbol_table() const {
    load_symbols();
    return has_symbol_table_;
}

const Symbol* ElfModule::symbol_at(RemoteAddress address) const {
    load_symbols();
    const auto after =
        std::upper_bound(symbols_.begin(), symbols_.end(), address,
                         [](RemoteAddress a, const Symbol& symbol) { return a < symbol.address; });
    const Symbol* best = nullptr;
    for (auto i = static_cast<std::size_t>(after - symbols_.begin()); i-- > 0;) {
        const Symbol& symbol = symbols_[i];
        if (best && symbol.address != best->address) break;
        // Of several names of one address: a global one, of these the first by name, so that the answer is
        // always the same.
        const bool covers = symbol.size == 0 ? i + 1 == static_cast<std::size_t>(after - symbols_.begin())
                                             : address - symbol.address < symbol.size;
        if (covers && (!best || symbol.is_global >= best->is_global)) best = &symbol;
        if (!best && highest_end_so_far_[i] <= address.value()) break;
    }
    return best;
}

std::optional<Symbol> ElfModule::find_symbol(std::string_view name) const {
    const auto [known, is_new] = found_symbols_.try_emplace(std::string(name));
    if (is_new) known->second = find_symbol_where(name, false);
    return known->second;
}

std::optional<Symbol> ElfModule::find_exported_symbol(std::string_view name) const {
    return find_symbol_where(name, true);
}

std::optional<Symbol> ElfModule::find_symbol_where(std::string_view name, bool exported_only) const {
    std::optional<Symbol> found;
    const auto visit = [&](const GElf_Sym& symbol, std::uint64_t address, const char* symbol_name) {
        const auto type = GELF_ST_TYPE(symbol.st_info);
        // The names of large programs are long: nothing is looked at behind the first difference.
        if (std::strncmp(symbol_name, name.data(), name.size()) != 0) return;
        const char behind = symbol_name[name.size()];
        if ((behind != '\0' && behind != '@') || (!is_function(symbol) && type != STT_OBJECT)) return;
        if (found && (found->is_global || !is_global_binding(symbol))) return;
        found = Symbol{RemoteAddress(address + bias_), symbol.st_size, without_version(symbol_name),
                       is_global_binding(symbol)};
    };
    for_each_symbol_of_section(file_.section_of_type(SHT_DYNSYM), visit);
    if (!found && !exported_only) for_each_symbol(visit);
    return found;
}

void ElfModule::load_vtables() const {
    if (vtables_loaded_) return;
    vtables_loaded_ = true;
    const auto visit = [&](const GElf_Sym& symbol, std::uint64_t address, const char* name) {
        if (GELF_ST_TYPE(symbol.st_info) != STT_OBJECT || !std::string_view(name).starts_with("_ZTV")) return;
        vtables_.push_back({RemoteAddress(address + bias_), symbol.st_size, name, is_global_binding(symbol)});
    };
    for_each_symbol_of_section(file_.section_of_type(SHT_DYNSYM), visit);
    for_each_symbol(visit);
    std::ranges::sort(vtables_, {}, &Symbol::address);
}

const Symbol* ElfModule::vtable_at(RemoteAddress address) const {
    load_vtables();
    const auto after = std::ranges::upper_bound(vtables_, address, {}, &Symbol::address);
    if (after == vtables_.begin()) return nullptr;
    const Symbol& symbol = *(after - 1);
    return address - symbol.address < symbol.size ? &symbol : nullptr;
}

void ElfModule::load_dwarf() const {
    if (dwarf_loaded_) return;
    dwarf_loaded_ = true;
    if (is_vdso()) return;
    std::uint64_t bias = 0;
    dwarf_ = debug_files().dwarf(&bias);
    dwarf_bias_ = bias_ + bias;
    if (!dwarf_) {
        problems_.add({"missing_debug_info",
                       fmt::format("no debug information for {}: {}", name_, where_debug_files_come_from()),
                       name_, false});
        return;
    }
    std::vector<DwarfIndex::CodeRange> code;
    for (const GElf_Phdr& segment : file_.loaded_segments())
        if (segment.p_flags & PF_X)
            code.push_back({segment.p_vaddr - bias, segment.p_vaddr + segment.p_memsz - bias});
    dwarf_index_ = std::make_unique<DwarfIndex>(dwarf_, std::move(code), cache());
}

Dwarf* ElfModule::dwarf() const {
    load_dwarf();
    return dwarf_;
}

std::uint64_t ElfModule::dwarf_bias() const {
    load_dwarf();
    return dwarf_ ? dwarf_bias_ : bias_;
}

std::optional<Dwarf_Die> ElfModule::unit_at(RemoteAddress address) const {
    if (!dwarf()) return std::nullopt;
    auto unit = dwarf_index_->unit_at(to_dwarf(address));
    if (dwarf_index_->misses_split_unit())
        problems_.add(
            {"missing_split_debug_info",
             fmt::format(
                 "a .dwo file of {} was not found, or cannot be read (g++ with -fdebug-types-section): "
                 "keep it where it was built, or build without -gsplit-dwarf",
                 name_),
             name_, false});
    return unit;
}

std::optional<Dwarf_Die> ElfModule::subprogram_at(RemoteAddress address) const {
    if (!unit_at(address)) return std::nullopt;
    return dwarf_index_->subprogram_at(to_dwarf(address));
}

std::optional<Dwarf_Die> ElfModule::unit_with_lines_at(RemoteAddress address) const {
    if (!dwarf()) return std::nullopt;
    return dwarf_index_->root_at(to_dwarf(address));
}

bool ElfModule::debug_info_is_complete() const {
    return dwarf() != nullptr && !dwarf_index_->misses_split_unit();
}

std::size_t ElfModule::read_file_bytes(RemoteAddress address, std::span<std::byte> destination) const {
    const auto bytes = file_.read_only_bytes(address.value() - bias_);
    const auto count = std::min(bytes.size(), destination.size());
    if (count > 0) std::memcpy(destination.data(), bytes.data(), count);
    return count;
}

std::optional<AddressRange> ElfModule::section(std::string_view name) const {
    const auto found = file_.section(name);
    if (!found) return std::nullopt;
    const RemoteAddress begin(found->address + bias_);
    return AddressRange{begin, begin + found->size};
}

}  // namespace asyncdump

#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "modules/debug_files.h"
#include "modules/dwarf_index.h"
#include "modules/elf_file.h"
#include "modules/module.h"
#include "modules/problem_list.h"

namespace asyncdump {

/// A Module made of a file on disk (or of the vdso's image), read step by step as it is asked.
class ElfModule final : public Module {
  public:
    /// `problems` and `search` must outlive the module.
    ElfModule(ElfFile file, std::string path, std::uint64_t bias, const DebugSearch& search,
              ProblemList& problems);

    /// A mapping of the target that holds code of this module.
    void add_executable_range(AddressRange range) { executable_ranges_.push_back(range); }
    /// Does nothing without a folder or without a build id.
    void use_cache(const std::shared_ptr<const CacheFolder>& folder);
    /// What the bias would be if this mapping of the file belonged to the module: equal to bias() when it
    /// does.
    std::optional<std::uint64_t> bias_of_mapping(const Mapping& mapping) const {
        return file_.bias_of_executable_mapping(mapping.range.begin.value(), mapping.file_offset);
    }
    /// Without a process: what the program headers say.
    void add_executable_ranges_of_file();

    std::span<const Symbol> symbols() const override;
    const Symbol* symbol_at(RemoteAddress address) const override;
    std::optional<Symbol> find_symbol(std::string_view name) const override;
    const Symbol* vtable_at(RemoteAddress address) const override;
    std::optional<Symbol> find_exported_symbol(std::string_view name) const override;
    Dwarf* dwarf() const override;
    std::uint64_t dwarf_bias() const override;
    bool has_symbol_table() const override;
    std::optional<Dwarf_Die> unit_at(RemoteAddress address) const override;
    std::optional<Dwarf_Die> subprogram_at(RemoteAddress address) const override;
    std::optional<Dwarf_Die> unit_with_lines_at(RemoteAddress address) const override;
    bool debug_info_is_complete() const override;
    std::size_t read_file_bytes(RemoteAddress address, std::span<std::byte> destination) const override;
    std::optional<AddressRange> section(std::string_view name) const override;
    const std::vector<AddressRange>& executable_ranges() const override { return executable_ranges_; }

  private:
    template <class Visit>
    void for_each_symbol(const Visit& visit) const;
    template <class Visit>
    void for_each_symbol_of_section(Elf_Scn* section, const Visit& visit) const;
    std::optional<Symbol> find_symbol_where(std::string_view name, bool exported_only) const;
    void load_symbols() const;
    void load_vtables() const;
    void load_dwarf() const;
    DebugFiles& debug_files() const;
    bool is_vdso() const { return path_ == "[vdso]"; }

    const DebugSearch& search_;
    ProblemList& problems_;
    std::vector<AddressRange> executable_ranges_;

    mutable ElfFile file_;
    mutable std::unique_ptr<DebugFiles> debug_files_;
    mutable bool symbols_loaded_ = false;
    mutable bool vtables_loaded_ = false;
    mutable std::vector<Symbol> vtables_;  ///< sorted by address
    mutable bool has_symbol_table_ = false;
    mutable std::vector<Symbol> symbols_;
    mutable std::unordered_map<std::string, std::optional<Symbol>> found_symbols_;  ///< by what was asked for
    mutable std::vector<std::uint64_t> highest_end_so_far_;  ///< of each symbol and all before it
    mutable bool dwarf_loaded_ = false;
    mutable Dwarf* dwarf_ = nullptr;
    mutable std::uint64_t dwarf_bias_ = 0;
    mutable std::unique_ptr<DwarfIndex> dwarf_index_;
};

}  // namespace asyncdump

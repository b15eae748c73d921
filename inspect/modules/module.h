// inspect/modules: ELF and DWARF of everything a process has loaded: symbols, functions, lines, types,
// unwinding. Reads files and the Memory interface; never touches a process by ptrace and knows nothing of
// coroutines. Everything is lazy: a module that no question is asked of costs nothing but its mapping.
#pragma once

#include <elfutils/libdw.h>
#include <gelf.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/remote_address.h"
#include "modules/module_cache.h"
#include "process/memory_map.h"

namespace asyncdump {

/// A symbol of .symtab, .dynsym, the separate debug file or .gnu_debugdata.
struct Symbol {
    RemoteAddress address;  ///< in the target (the module's load bias is applied)
    std::uint64_t size = 0;
    std::string_view name;  ///< linkage name; lives as long as the module
    bool is_global = false;
};

/// One ELF file in the target's address space. Not thread-safe: libdw is not.
class Module {
  public:
    virtual ~Module() = default;

    const std::string& path() const { return path_; }          ///< as the target names it
    const std::string& name() const { return name_; }          ///< last component of the path
    const std::string& build_id() const { return build_id_; }  ///< lower-case hex, empty when there is none
    std::uint64_t bias() const { return bias_; }   ///< target address = ELF virtual address + bias
    AddressRange range() const { return range_; }  ///< from the first to the last mapped byte

    /// Function symbols (STT_FUNC, STT_GNU_IFUNC; defined, of any binding), sorted by address then name.
    virtual std::span<const Symbol> symbols() const = 0;
    /// The function symbol that covers `address`, by size; one without size covers up to the next symbol.
    virtual const Symbol* symbol_at(RemoteAddress address) const = 0;
    /// An object or function symbol by its linkage name; for a handful of look-ups.
    virtual std::optional<Symbol> find_symbol(std::string_view name) const = 0;
    /// The same among the symbols that the module exports (.dynsym): cheap also where there is none.
    virtual std::optional<Symbol> find_exported_symbol(std::string_view name) const {
        return find_symbol(name);
    }
    /// The virtual table (`_ZTV...` of the Itanium C++ ABI) that covers `address`: an object's first word
    /// leads into it. nullptr when there is none.
    virtual const Symbol* vtable_at(RemoteAddress address) const = 0;

    /// DWARF, from the file itself or from a separate debug file (build id, debug link, debuginfod); nullptr
    /// when there is none. Addresses in it are ELF virtual addresses of the debug file: subtract dwarf_bias()
    /// from target addresses.
    virtual Dwarf* dwarf() const = 0;
    virtual std::uint64_t dwarf_bias() const = 0;
    virtual bool has_symbol_table() const = 0;  ///< more than .dynsym

    /// The compile unit that covers an address of the target, and the innermost concrete (not inlined)
    /// subprogram in it. Works without .debug_aranges (clang writes none). Empty when DWARF does not know the
    /// address.
    virtual std::optional<Dwarf_Die> unit_at(RemoteAddress address) const = 0;
    virtual std::optional<Dwarf_Die> subprogram_at(RemoteAddress address) const = 0;
    /// The unit whose line table covers the address: the same as unit_at except for split DWARF (.dwo), where
    /// lines stay with the linked file's skeleton unit.
    virtual std::optional<Dwarf_Die> unit_with_lines_at(RemoteAddress address) const = 0;

    /// Code and read-only data from the file, not from the target. Returns leading bytes read.
    virtual std::size_t read_file_bytes(RemoteAddress address, std::span<std::byte> destination) const = 0;

    /// Address and size of an ELF section in the target, for instance ".eh_frame_hdr"; empty when absent or
    /// not allocated.
    virtual std::optional<AddressRange> section(std::string_view name) const = 0;

    /// Executable ranges of the target that belong to this module.
    virtual const std::vector<AddressRange>& executable_ranges() const = 0;

    /// Whether there is debug information and all of it was found that was asked for: what it says may be
    /// kept for later then.
    virtual bool debug_info_is_complete() const { return false; }

    /// What earlier runs found out about this file; nullptr when nothing is to be kept.
    ModuleCache* cache() const { return cache_.get(); }

    RemoteAddress from_dwarf(Dwarf_Addr address) const { return RemoteAddress(address + dwarf_bias()); }
    Dwarf_Addr to_dwarf(RemoteAddress address) const { return address.value() - dwarf_bias(); }

  protected:
    std::string path_, name_, build_id_;
    std::uint64_t bias_ = 0;
    AddressRange range_;
    std::unique_ptr<ModuleCache> cache_;
};

/// All ELF files mapped by a process.
class ModuleSet {
  public:
    struct Options {
        /// Folders with further debug files, searched as /usr/lib/debug is (by build id and by debug link).
        std::vector<std::string> debug_directories;
        /// Where to keep what was found out about modules with a build id; nullptr: nowhere.
        std::shared_ptr<const CacheFolder> cache;
    };

    /// From the mappings of a live process; files are opened as the target sees them.
    static ModuleSet of_process(pid_t pid, const MemoryMap& map, const Options& options);
    /// One file at its own addresses plus `bias`, without a process: for tests and offline work.
    static Result<ModuleSet> of_file(const std::string& path, std::uint64_t bias, const Options& options);

    ModuleSet(ModuleSet&&) noexcept;
    ModuleSet& operator=(ModuleSet&&) noexcept;
    ~ModuleSet();

    const Module* find(RemoteAddress address) const;           ///< nullptr when no module covers it
    std::span<const std::unique_ptr<Module>> modules() const;  ///< sorted by address

    /// Keeps what was found out, where a cache was given. Only once nothing waits for it: this writes files.
    void save_caches() const;

    /// Files that could not be opened or parsed so far, and modules that were asked for symbols or debug
    /// information and had none (which file lacks what, which package or flag would give it). One entry a
    /// module and kind.
    std::vector<Problem> problems() const;

  private:
    struct State;
    explicit ModuleSet(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace asyncdump

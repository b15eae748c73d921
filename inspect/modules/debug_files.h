#pragma once

#include <elfutils/libdwfl.h>
#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/file_descriptor.h"

namespace asyncdump {

/// Where debug files are searched beside /usr/lib/debug.
struct DebugSearch {
    std::vector<std::string> directories;
    pid_t target = 0;  ///< whose file system the paths belong to; 0: ours
};

struct DwflCloser {
    void operator()(Dwfl* dwfl) const { dwfl_end(dwfl); }
};

/// One ELF file together with its separate debug file (by build id, debug link, or debuginfod when
/// DEBUGINFOD_URLS is set) and its .gnu_debugdata, as libdwfl finds them. Nothing is searched before it is
/// asked for.
class DebugFiles {
  public:
    /// `path` is the target's name of the file; it is opened by nobody here.
    DebugFiles(FileDescriptor descriptor, const std::string& path, const DebugSearch& search);
    DebugFiles(const DebugFiles&) = delete;
    DebugFiles& operator=(const DebugFiles&) = delete;

    /// nullptr when there is none. `*bias` is to be added to its addresses to get those of the file's program
    /// headers.
    Dwarf* dwarf(std::uint64_t* bias);

    /// Symbols of the best table there is; addresses are those of the file's program headers.
    void for_each_symbol(
        const std::function<void(const GElf_Sym&, std::uint64_t address, const char* name)>& visit,
        bool* has_symbol_table);

  private:
    static int find_debug_file(Dwfl_Module* module, void** user_data, const char* module_name,
                               Dwarf_Addr base, const char* file_name, const char* debug_link,
                               GElf_Word checksum, char** found_name);
    FileDescriptor find_by_name(Dwfl_Module* module, const char* debug_link, GElf_Word checksum,
                                std::string& found_path) const;

    std::string path_;
    DebugSearch search_;
    std::string directories_;  ///< libdwfl's search path
    char* directories_pointer_ = nullptr;
    Dwfl_Callbacks callbacks_{};
    std::unique_ptr<Dwfl, DwflCloser> dwfl_;
    Dwfl_Module* module_ = nullptr;
};

}  // namespace asyncdump

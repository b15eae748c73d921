#include "modules/debug_files.h"

#include <elfutils/libdwelf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <optional>

#include "modules/elf_file.h"
#include "process/process_info.h"

namespace asyncdump {
namespace {

bool has_symbol_table_section(Elf* elf) {
    for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf, section));) {
        GElf_Shdr header;
        if (gelf_getshdr(section, &header) && header.sh_type == SHT_SYMTAB) return true;
    }
    return false;
}

constexpr const char* system_debug_directory = "/usr/lib/debug";

/// Whoever owns a program's folder could put a pipe there under the name of a debug file: to open one waits
/// for its writer.
FileDescriptor open_regular_file(const std::string& path) {
    struct stat status {};
    if (stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
    return FileDescriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
}

/// As the target sees the path, or as we do.
FileDescriptor open_debug_file(pid_t target, const std::string& path) {
    if (target != 0) {
        if (auto file = open_in_target(target, path)) return std::move(*file);
    }
    return open_regular_file(path);
}

/// The checksum of .gnu_debuglink: CRC-32 as of ISO 3309 (polynomial 0x04c11db7, bits reversed).
std::uint32_t debug_link_checksum(const char* bytes, std::size_t size) {
    static const auto table = [] {
        std::array<std::uint32_t, 256> result{};
        for (std::uint32_t i = 0; i < result.size(); ++i) {
            std::uint32_t value = i;
            for (int bit = 0; bit < 8; ++bit) value = value & 1 ? 0xedb88320U ^ (value >> 1) : value >> 1;
            result[i] = value;
        }
        return result;
    }();
    std::uint32_t checksum = 0xffffffffU;
    for (std::size_t i = 0; i < size; ++i)
        checksum = table[(checksum ^ static_cast<unsigned char>(bytes[i])) & 0xff] ^ (checksum >> 8);
    return checksum ^ 0xffffffffU;
}

/// Whether a file is the debug file of the module: by build id or, where the module has none, by checksum.
bool belongs_to(Dwfl_Module* module, const FileDescriptor& candidate, GElf_Word checksum) {
    const std::unique_ptr<Elf, ElfCloser> elf(elf_begin(candidate.get(), ELF_C_READ_MMAP, nullptr));
    if (!elf) return false;
    const unsigned char* wanted = nullptr;
    GElf_Addr note = 0;
    const int wanted_size = dwfl_module_build_id(module, &wanted, &note);
    if (wanted_size > 0) {
        const void* found = nullptr;
        const auto found_size = dwelf_elf_gnu_build_id(elf.get(), &found);
        return found_size == wanted_size &&
               std::memcmp(found, wanted, static_cast<std::size_t>(wanted_size)) == 0;
    }
    std::size_t size = 0;
    const char* bytes = elf_rawfile(elf.get(), &size);
    return checksum != 0 && bytes && debug_link_checksum(bytes, size) == checksum;
}

/// "/.build-id/ab/cdef....debug"; empty when the module has no build id.
std::optional<std::string> build_id_path(Dwfl_Module* module) {
    const unsigned char* bits = nullptr;
    GElf_Addr note = 0;
    const int size = dwfl_module_build_id(module, &bits, &note);
    if (size < 3 || size > 64) return std::nullopt;
    std::string path = "/.build-id/";
    constexpr char digits[] = "0123456789abcdef";
    for (int i = 0; i < size; ++i) {
        path += digits[bits[i] >> 4];
        path += digits[bits[i] & 0xf];
        if (i == 0) path += '/';
    }
    return path + ".debug";
}

}  // namespace

DebugFiles::DebugFiles(FileDescriptor descriptor, const std::string& path, const DebugSearch& search)
    : path_(path), search_(search) {
    // An empty element is the folder of the file itself.
    directories_ = std::string(":") + system_debug_directory;
    for (const std::string& directory : search.directories) directories_ += ":" + directory;
    directories_pointer_ = directories_.data();
    callbacks_.find_elf = [](Dwfl_Module*, void**, const char*, Dwarf_Addr, char**, Elf**) { return -1; };
    callbacks_.find_debuginfo = find_debug_file;
    callbacks_.section_address = dwfl_offline_section_address;
    callbacks_.debuginfo_path = &directories_pointer_;

    dwfl_.reset(dwfl_begin(&callbacks_));
    // libdwfl closes the descriptor when it is done with it, but only after a success.
    const int own = descriptor ? fcntl(descriptor.get(), F_DUPFD_CLOEXEC, 3) : -1;
    if (!dwfl_ || own < 0) return;
    dwfl_report_begin(dwfl_.get());
    module_ = dwfl_report_elf(dwfl_.get(), path_.c_str(), path_.c_str(), own, 0, true);
    if (!module_) close(own);
    dwfl_report_end(dwfl_.get(), nullptr, nullptr);
    if (!module_) return;
    void** user_data = nullptr;
    dwfl_module_info(module_, &user_data, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr);
    *user_data = this;
}

/// Beside the file and in the folders of debug files, under the name of the debug link or the build id.
/// libdwfl would open whatever it finds there, and knows one file system only.
FileDescriptor DebugFiles::find_by_name(Dwfl_Module* module, const char* debug_link, GElf_Word checksum,
                                        std::string& found_path) const {
    const auto slash = path_.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path_.substr(0, slash);
    const std::string name = debug_link ? debug_link : path_.substr(slash + 1) + ".debug";
    std::vector<std::string> candidates = {folder + "/" + name, folder + "/.debug/" + name};
    const auto add_below = [&](const std::string& directory) {
        if (const auto by_id = build_id_path(module)) candidates.push_back(directory + *by_id);
        candidates.push_back(directory + folder + "/" + name);
        candidates.push_back(directory + "/" + name);
    };
    add_below(system_debug_directory);
    for (const std::string& directory : search_.directories) add_below(directory);
    for (const std::string& candidate : candidates) {
        FileDescriptor file = open_debug_file(search_.target, candidate);
        if (!file || !belongs_to(module, file, checksum)) continue;
        found_path = candidate;
        return file;
    }
    return {};
}

int DebugFiles::find_debug_file(Dwfl_Module* module, void** user_data, const char* module_name,
                                Dwarf_Addr base, const char* file_name, const char* debug_link,
                                GElf_Word checksum, char** found_name) {
    const auto& self = *static_cast<const DebugFiles*>(*user_data);
    // A path instead of a name: the file that dwz moved common parts to. libdwfl asks for it in the same way,
    // and checks by itself that it is the right one.
    if (debug_link && std::strchr(debug_link, '/')) {
        const std::string path = file_name ? file_name : self.path_;
        const std::string shared =
            *debug_link == '/' ? debug_link : path.substr(0, path.rfind('/') + 1) + debug_link;
        if (open_regular_file(shared))
            return dwfl_standard_find_debuginfo(module, user_data, module_name, base, path.c_str(),
                                                debug_link, checksum, found_name);
    } else {
        std::string found_path;
        const FileDescriptor found = self.find_by_name(module, debug_link, checksum, found_path);
        const int own = found ? fcntl(found.get(), F_DUPFD_CLOEXEC, 3) : -1;
        if (own >= 0) {
            *found_name = strdup(found_path.c_str());
            return own;
        }
    }
    // Without names: by build id, and from debuginfod when the user set DEBUGINFOD_URLS.
    return dwfl_standard_find_debuginfo(module, user_data, module_name, base, nullptr, nullptr, 0,
                                        found_name);
}

Dwarf* DebugFiles::dwarf(std::uint64_t* bias) {
    return module_ ? dwfl_module_getdwarf(module_, bias) : nullptr;
}

void DebugFiles::for_each_symbol(
    const std::function<void(const GElf_Sym&, std::uint64_t address, const char* name)>& visit,
    bool* has_symbol_table) {
    *has_symbol_table = false;
    const int count = module_ ? dwfl_module_getsymtab(module_) : -1;
    Elf* last_table_owner = nullptr;
    for (int i = 1; i < count; ++i) {
        GElf_Sym symbol;
        GElf_Addr address = 0;
        GElf_Word section = 0;
        Elf* owner = nullptr;
        const char* name = dwfl_module_getsym_info(module_, i, &symbol, &address, &section, &owner, nullptr);
        if (owner && owner != last_table_owner) {
            last_table_owner = owner;
            *has_symbol_table = *has_symbol_table || has_symbol_table_section(owner);
        }
        if (name && section != SHN_UNDEF) visit(symbol, address, name);
    }
}

}  // namespace asyncdump

#include "injector/agent_obstacle.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "modules/elf_file.h"

namespace asyncdump {
namespace {

constexpr const char* scan_instead = "; asyncdump PID works without the agent";

bool is_foreign(const Elf64_Ehdr& header) {
    return header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != EM_X86_64;
}

std::string interpreter_of(const ElfFile& file) {
    std::size_t count = 0;
    if (elf_getphdrnum(file.elf(), &count) != 0) return "";
    for (std::size_t i = 0; i < count && i < 1024; ++i) {
        GElf_Phdr header;
        if (gelf_getphdr(file.elf(), static_cast<int>(i), &header) == nullptr) return "";
        if (header.p_type != PT_INTERP || header.p_filesz > 4096) continue;
        const Elf_Data* data = elf_getdata_rawchunk(file.elf(), static_cast<std::int64_t>(header.p_offset),
                                                    header.p_filesz, ELF_T_BYTE);
        if (data == nullptr || data->d_buf == nullptr) return "";
        const char* const text = static_cast<const char*>(data->d_buf);
        return std::string(text, strnlen(text, data->d_size));
    }
    return "";
}

/// Names of needed libraries and of defined dynamic symbols are both told by the same test: what an address
/// sanitizer brings along.
bool has_address_sanitizer(const ElfFile& file) {
    Elf_Scn* section = nullptr;
    while ((section = elf_nextscn(file.elf(), section)) != nullptr) {
        GElf_Shdr header;
        if (gelf_getshdr(section, &header) == nullptr || header.sh_entsize == 0) continue;
        const bool dynamic = header.sh_type == SHT_DYNAMIC;
        if (!dynamic && header.sh_type != SHT_DYNSYM && header.sh_type != SHT_SYMTAB) continue;
        Elf_Data* const data = elf_getdata(section, nullptr);
        if (data == nullptr) continue;
        const int count =
            static_cast<int>(std::min<std::uint64_t>(header.sh_size / header.sh_entsize, 1 << 24));
        for (int i = 0; i < count; ++i) {
            GElf_Dyn entry;
            GElf_Sym symbol;
            const char* name = nullptr;
            if (dynamic && gelf_getdyn(data, i, &entry) != nullptr && entry.d_tag == DT_NEEDED)
                name = elf_strptr(file.elf(), header.sh_link, entry.d_un.d_val);
            if (!dynamic && gelf_getsym(data, i, &symbol) != nullptr)
                name = elf_strptr(file.elf(), header.sh_link, symbol.st_name);
            if (name == nullptr) continue;
            if (dynamic
                    ? std::strstr(name, "libasan") != nullptr || std::strstr(name, "clang_rt.asan") != nullptr
                    : std::strcmp(name, "__asan_init") == 0)
                return true;
        }
    }
    return false;
}

}  // namespace

std::string agent_obstacle(const FileDescriptor& executable, AgentWay way) {
    Elf64_Ehdr header{};
    const ssize_t got = ::pread(executable.get(), &header, sizeof header, 0);
    if (got < static_cast<ssize_t>(EI_NIDENT) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return "";
    if (is_foreign(header)) return "is not a 64-bit x86 program, and asyncdump understands no other";

    struct stat status {};
    const bool preloaded = way == AgentWay::preloaded;
    if (preloaded && ::fstat(executable.get(), &status) == 0 && (status.st_mode & (S_ISUID | S_ISGID)) != 0)
        return std::string(
                   "is setuid or setgid, and the dynamic linker loads no agent into such programs; start it "
                   "without that as the user it is meant for, or do without the agent") +
               scan_instead;
    if (preloaded && ::geteuid() != 0 && ::fgetxattr(executable.get(), "security.capability", nullptr, 0) > 0)
        return std::string(
                   "has file capabilities, and the dynamic linker loads no agent into such programs") +
               scan_instead;

    auto file =
        ElfFile::open(FileDescriptor(::fcntl(executable.get(), F_DUPFD_CLOEXEC, 3)), "the executable");
    if (!file) return "";
    const std::string interpreter = interpreter_of(*file);
    if (interpreter.empty())
        return std::string(
                   "is statically linked, and only a dynamically linked program can load the agent; link it "
                   "dynamically, or do without the agent") +
               scan_instead;
    if (interpreter.find("musl") != std::string::npos)
        return std::string("uses the musl C library, and the agent needs glibc") + scan_instead;
    if (has_address_sanitizer(*file))
        return std::string(
                   "is built with AddressSanitizer, which has to come before every other library; build it "
                   "without, or do without the agent") +
               scan_instead;
    return "";
}

std::string script_interpreter(const FileDescriptor& file) {
    char line[257] = {};
    if (::pread(file.get(), line, sizeof line - 1, 0) < 3 || line[0] != '#' || line[1] != '!') return "";
    std::string rest(line + 2);
    rest = rest.substr(0, rest.find('\n'));
    const auto begin = rest.find_first_not_of(" \t");
    if (begin == rest.npos) return "";
    return rest.substr(begin, rest.find_first_of(" \t", begin) - begin);
}

}  // namespace asyncdump

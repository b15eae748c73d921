#include "modules/elf_file.h"

#include <elfutils/libdwelf.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "modules/module_cache.h"

namespace asyncdump {
namespace {

constexpr std::uint64_t page_size = 4096;  // x86-64 has no other base page

}  // namespace

Result<ElfFile> ElfFile::open(FileDescriptor descriptor, const std::string& path) {
    elf_version(EV_CURRENT);
    struct stat status {};
    if (fstat(descriptor.get(), &status) != 0)
        return failure(ErrorCode::unreadable_file,
                       fmt::format("cannot examine {}: {}", path, std::strerror(errno)), errno);
    if (!S_ISREG(status.st_mode))
        return failure(ErrorCode::malformed, fmt::format("{} is not a regular file", path));

    ElfFile file;
    file.descriptor_ = std::move(descriptor);
    file.elf_.reset(elf_begin(file.descriptor_.get(), ELF_C_READ_MMAP, nullptr));
    if (!file.elf_)
        return failure(ErrorCode::unreadable_file, fmt::format("cannot read {}: {}", path, elf_errmsg(-1)));
    if (auto read = file.read_headers(path); !read) return tl::unexpected(read.error());
    return file;
}

Result<ElfFile> ElfFile::from_bytes(std::vector<std::byte> bytes, const std::string& name) {
    elf_version(EV_CURRENT);
    ElfFile file;
    file.bytes_ = std::move(bytes);
    file.elf_.reset(elf_memory(reinterpret_cast<char*>(file.bytes_.data()), file.bytes_.size()));
    if (!file.elf_)
        return failure(ErrorCode::malformed, fmt::format("cannot read {}: {}", name, elf_errmsg(-1)));
    if (auto read = file.read_headers(name); !read) return tl::unexpected(read.error());
    return file;
}

Result<void> ElfFile::read_headers(const std::string& name) {
    GElf_Ehdr header;
    if (elf_kind(elf()) != ELF_K_ELF || !gelf_getehdr(elf(), &header))
        return failure(ErrorCode::malformed, fmt::format("{} is not an ELF file", name));
    if (gelf_getclass(elf()) != ELFCLASS64 || header.e_machine != EM_X86_64 ||
        header.e_ident[EI_DATA] != ELFDATA2LSB || (header.e_type != ET_DYN && header.e_type != ET_EXEC))
        return failure(ErrorCode::malformed,
                       fmt::format("{} is not an x86-64 executable or shared object", name));
    position_independent_ = header.e_type == ET_DYN;

    std::size_t count = 0;
    if (elf_getphdrnum(elf(), &count) != 0) count = 0;
    for (std::size_t i = 0; i < count; ++i) {
        GElf_Phdr segment;
        if (!gelf_getphdr(elf(), static_cast<int>(i), &segment) || segment.p_type != PT_LOAD) continue;
        if (segment.p_vaddr + segment.p_memsz < segment.p_vaddr ||
            segment.p_offset + segment.p_filesz < segment.p_offset)
            return failure(ErrorCode::malformed, fmt::format("{} has a segment that wraps around", name));
        loaded_segments_.push_back(segment);
    }
    if (loaded_segments_.empty())
        return failure(ErrorCode::malformed, fmt::format("{} has no loadable segment", name));
    return {};
}

std::optional<std::uint64_t> ElfFile::bias_of_executable_mapping(std::uint64_t address,
                                                                 std::uint64_t file_offset) const {
    for (const GElf_Phdr& segment : loaded_segments_) {
        const auto first_page = segment.p_offset & ~(page_size - 1);
        if ((segment.p_flags & PF_X) && first_page <= file_offset &&
            file_offset < segment.p_offset + segment.p_filesz)
            return address - (segment.p_vaddr - segment.p_offset + file_offset);
    }
    return std::nullopt;
}

std::span<const std::byte> ElfFile::read_only_bytes(std::uint64_t address) const {
    std::size_t file_size = 0;
    const char* file = elf_rawfile(elf(), &file_size);
    if (!file) return {};
    for (const GElf_Phdr& segment : loaded_segments_) {
        if ((segment.p_flags & PF_W) || address < segment.p_vaddr ||
            address - segment.p_vaddr >= segment.p_filesz)
            continue;
        const auto begin = segment.p_offset + (address - segment.p_vaddr);
        const auto end = std::min<std::uint64_t>(segment.p_offset + segment.p_filesz, file_size);
        if (begin >= end) return {};
        return std::as_bytes(std::span(file + begin, end - begin));
    }
    return {};
}

std::string ElfFile::build_id() const {
    const void* bits = nullptr;
    const auto size = dwelf_elf_gnu_build_id(elf(), &bits);
    std::string text;
    for (ssize_t i = 0; i < size && i < 64; ++i)
        text += fmt::format("{:02x}", static_cast<const unsigned char*>(bits)[i]);
    return text;
}

std::uint64_t ElfFile::fingerprint() const {
    std::vector<std::uint64_t> words;
    for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf(), section));) {
        GElf_Shdr header;
        if (!gelf_getshdr(section, &header)) continue;
        words.insert(words.end(), {header.sh_type, header.sh_addr, header.sh_offset, header.sh_size});
    }
    for (const GElf_Phdr& segment : loaded_segments_)
        words.insert(words.end(), {segment.p_offset, segment.p_vaddr, segment.p_filesz, segment.p_flags});
    return checksum_of(std::as_bytes(std::span(words)));
}

std::optional<ElfFile::SectionRange> ElfFile::section(std::string_view name) const {
    std::size_t names = 0;
    if (elf_getshdrstrndx(elf(), &names) != 0) return std::nullopt;
    for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf(), section));) {
        GElf_Shdr header;
        if (!gelf_getshdr(section, &header) || !(header.sh_flags & SHF_ALLOC)) continue;
        const char* section_name = elf_strptr(elf(), names, header.sh_name);
        if (section_name && name == section_name) return SectionRange{header.sh_addr, header.sh_size};
    }
    return std::nullopt;
}

Elf_Scn* ElfFile::section_of_type(std::uint32_t type) const {
    for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf(), section));) {
        GElf_Shdr header;
        if (gelf_getshdr(section, &header) && header.sh_type == type && header.sh_size > sizeof(Elf64_Sym))
            return section;
    }
    return nullptr;
}

}  // namespace asyncdump

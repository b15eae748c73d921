#pragma once

#include <gelf.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/file_descriptor.h"

namespace asyncdump {

struct ElfCloser {
    void operator()(Elf* elf) const { elf_end(elf); }
};

/// An x86-64 ELF executable or shared object, mapped into our memory. Addresses are those of its program
/// headers (without bias).
class ElfFile {
  public:
    struct SectionRange {
        std::uint64_t address, size;
    };

    /// ErrorCode::malformed for what is no ELF file for this processor or has no loadable segment.
    static Result<ElfFile> open(FileDescriptor descriptor, const std::string& path);
    static Result<ElfFile> from_bytes(std::vector<std::byte> bytes, const std::string& name);

    Elf* elf() const { return elf_.get(); }
    bool is_position_independent() const { return position_independent_; }
    const std::vector<GElf_Phdr>& loaded_segments() const { return loaded_segments_; }

    /// Our descriptor of the file, which the caller then owns; closed when there is none (an image in
    /// memory).
    FileDescriptor take_descriptor() { return std::move(descriptor_); }

    /// target address - file address of a mapping of this file at `address` with `file_offset`, by the
    /// executable segment that holds the offset; empty when none does.
    std::optional<std::uint64_t> bias_of_executable_mapping(std::uint64_t address,
                                                            std::uint64_t file_offset) const;

    /// The bytes of a segment that is never written, from `address` to the end of its part in the file; empty
    /// when none.
    std::span<const std::byte> read_only_bytes(std::uint64_t address) const;

    std::string build_id() const;
    /// Of the headers, which have place and size of everything in the file: where a linker was told what
    /// build id to write, two files may share it.
    std::uint64_t fingerprint() const;
    std::optional<SectionRange> section(std::string_view name) const;  ///< allocated sections only

    /// The first section of this type that has entries; nullptr when there is none.
    Elf_Scn* section_of_type(std::uint32_t type) const;

  private:
    ElfFile() = default;
    Result<void> read_headers(const std::string& name);

    std::vector<std::byte> bytes_;  ///< what elf_ refers to when there is no file
    FileDescriptor descriptor_;
    std::unique_ptr<Elf, ElfCloser> elf_;
    std::vector<GElf_Phdr> loaded_segments_;
    bool position_independent_ = false;
};

}  // namespace asyncdump

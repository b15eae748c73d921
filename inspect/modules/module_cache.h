#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/file_descriptor.h"

namespace asyncdump {

/// The folder of all modules' caches. It is used only when it belongs to us and nobody else may write to it:
/// whoever could, could make asyncdump print what he likes. What goes wrong here is never an error: then
/// there is no cache.
class CacheFolder {
  public:
    /// Of the files together; the oldest are removed.
    static constexpr std::uint64_t most_bytes = 256 << 20;

    /// Made (with its parent, mode 0700) when it is not there; nullptr when it is not safe.
    static std::shared_ptr<const CacheFolder> open(const std::string& path);

    /// A regular file of ours that nobody else may write to; not open when there is none.
    FileDescriptor open_file(const std::string& name) const;
    /// All or nothing: whoever reads meanwhile has the old file or the new one.
    void replace_file(const std::string& name, std::span<const std::byte> content) const;

  private:
    explicit CacheFolder(FileDescriptor folder) : folder_(std::move(folder)) {}
    void remove_oldest(std::uint64_t room) const;

    FileDescriptor folder_;
};

/// What was found out about one module, under its build id: entries of bytes that whoever added them can
/// read.
///
/// A file that is not of this format, of this very build of asyncdump and of a module with the same headers
/// is as good as none. Entries are read when asked for and carry a checksum each, so that an accident with
/// the disk is not taken for the truth. What reads an entry believes no number in it.
class ModuleCache {
  public:
    enum class Kind : std::uint32_t {
        units = 1,
        unit_outline = 2,
        code_positions = 3,
        coroutines = 4,
        class_names = 5
    };

    /// `fingerprint` tells modules apart that a linker was told to give the same build id.
    ModuleCache(std::shared_ptr<const CacheFolder> folder, const std::string& build_id,
                std::uint64_t fingerprint);

    std::optional<std::vector<std::byte>> find(Kind kind, std::uint64_t id);
    void put(Kind kind, std::uint64_t id, std::vector<std::byte> content);
    /// Writes the file when there is anything new.
    void save();

  private:
    using Key = std::pair<Kind, std::uint64_t>;
    struct Place {
        std::uint64_t offset = 0, length = 0, checksum = 0;
    };
    void read_table();
    std::optional<std::vector<std::byte>> read_entry(const Place& place) const;

    std::shared_ptr<const CacheFolder> folder_;
    std::string name_;
    std::uint64_t fingerprint_;
    bool table_read_ = false;
    FileDescriptor file_;
    std::map<Key, Place> in_file_;
    std::map<Key, std::vector<std::byte>> added_;
};

/// Of bytes, for accidents and for telling files apart; no protection against malice.
std::uint64_t checksum_of(std::span<const std::byte> bytes);

}  // namespace asyncdump

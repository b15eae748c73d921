#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/remote_address.h"

namespace asyncdump {

/// One line of /proc/PID/maps (format: proc(5)).
struct Mapping {
    AddressRange range;
    bool readable = false;
    bool writable = false;
    bool executable = false;
    bool shared = false;
    std::uint64_t file_offset = 0;
    std::uint32_t device_major = 0, device_minor = 0;
    std::uint64_t inode = 0;
    std::string path;  ///< without the kernel's " (deleted)" suffix; "[heap]", "[stack]", "[vdso]" or empty
    bool deleted = false;  ///< the file was unlinked or replaced since it was mapped

    bool is_file() const { return inode != 0; }
};

class MemoryMap {
  public:
    static Result<MemoryMap> read(pid_t pid);
    static MemoryMap parse(std::string_view text);  ///< lines that do not parse are skipped

    const std::vector<Mapping>& mappings() const { return mappings_; }  ///< sorted, not overlapping
    const Mapping* find(RemoteAddress address) const;  ///< nullptr when nothing is mapped there
    /// What lies just below may be neither read nor written, as below a thread's stack.
    bool has_guard_below(const Mapping& mapping) const;
    /// What the loader has relocated and then protected: tables of virtual functions, among others. Such a
    /// mapping lies before its file's data, and its pages are resident, because they were written.
    bool is_relocated(const Mapping& mapping) const;

  private:
    std::vector<Mapping> mappings_;
};

}  // namespace asyncdump

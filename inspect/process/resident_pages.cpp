#include "process/resident_pages.h"

#include <fcntl.h>
#include <linux/types.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "process/page.h"
#include "process/process_info.h"
#include "process/procfs.h"

namespace asyncdump {
namespace {

/// ioctl PAGEMAP_SCAN of Linux 6.7 (Documentation/admin-guide/mm/pagemap.rst), declared here because the
/// headers of the build may be older than the kernel.
struct PageRegion {
    __u64 start, end, categories;
};
struct PageScanArguments {
    __u64 size, flags, start, end, walk_end, regions, region_count, largest_page_count;
    __u64 category_inverted, category_mask, category_any_of_mask, return_mask;
};
constexpr unsigned long pagemap_scan = _IOWR('f', 16, PageScanArguments);
constexpr __u64 is_present = 1 << 3, is_swapped = 1 << 4, is_zero_page = 1 << 5;

class PageTable {
  public:
    explicit PageTable(pid_t pid)
        : pagemap_(::open(procfs::path(living_thread(pid), "pagemap").c_str(), O_RDONLY | O_CLOEXEC)) {}

    bool is_open() const { return pagemap_.is_open(); }

    /// Appends the parts of `range` (of whole pages) that hold data. False when the kernel did not tell.
    bool append_resident(AddressRange range, std::vector<AddressRange>& parts) {
        if (can_scan_ && append_by_scan(range, parts)) return true;
        return append_by_entries(range, parts);
    }

  private:
    /// Walks the page tables and skips what has none: as fast for terabytes of reserved address space as for
    /// nothing.
    bool append_by_scan(AddressRange range, std::vector<AddressRange>& parts) {
        const std::size_t parts_before = parts.size();
        std::array<PageRegion, 512> regions;
        while (range.begin < range.end) {
            PageScanArguments arguments{};
            arguments.size = sizeof arguments;
            arguments.start = range.begin.value();
            arguments.end = range.end.value();
            arguments.regions = reinterpret_cast<std::uintptr_t>(regions.data());
            arguments.region_count = regions.size();
            arguments.category_mask = is_zero_page;  // read once and never written: it holds only zeros
            arguments.category_inverted = is_zero_page;
            arguments.category_any_of_mask = is_present | is_swapped;
            const int count = ::ioctl(pagemap_.get(), pagemap_scan, &arguments);
            if (count < 0 && errno == EINTR) continue;
            if (count < 0 || arguments.walk_end <= range.begin.value()) {
                can_scan_ = false;
                parts.resize(parts_before);
                return false;
            }
            for (int i = 0; i < count; ++i) {
                const PageRegion& region = regions[static_cast<std::size_t>(i)];
                parts.push_back({RemoteAddress(region.start), RemoteAddress(region.end)});
            }
            range.begin = RemoteAddress(arguments.walk_end);
        }
        return true;
    }

    bool append_by_entries(AddressRange range, std::vector<AddressRange>& parts) {
        constexpr std::uint64_t present = 1ULL << 63, swapped = 1ULL << 62;
        entries_.resize(64 * 1024);
        while (range.begin < range.end) {
            const std::uint64_t pages = std::min<std::uint64_t>(range.size() / page_size, entries_.size());
            const ssize_t bytes =
                ::pread(pagemap_.get(), entries_.data(), pages * sizeof(std::uint64_t),
                        static_cast<off_t>(range.begin.value() / page_size * sizeof(std::uint64_t)));
            if (bytes < 0 && errno == EINTR) continue;
            const std::size_t count = bytes < 0 ? 0 : static_cast<std::size_t>(bytes) / sizeof(std::uint64_t);
            if (count == 0) return false;
            for (std::size_t i = 0; i < count; ++i) {
                if ((entries_[i] & (present | swapped)) == 0) continue;
                const RemoteAddress page = range.begin + i * page_size;
                if (!parts.empty() && parts.back().end == page)
                    parts.back().end = page + page_size;
                else
                    parts.push_back({page, page + page_size});
            }
            range.begin = range.begin + count * page_size;
        }
        return true;
    }

    FileDescriptor pagemap_;
    bool can_scan_ = true;
    std::vector<std::uint64_t> entries_;
};

/// Memory that has a file only in name (memfd, System V and POSIX shared memory, MAP_SHARED | MAP_ANONYMOUS,
/// huge pages): reading a page that nobody has written would make the kernel allocate it.
bool is_memory_file(const Mapping& mapping) {
    for (const std::string_view prefix : {"/memfd:", "/SYSV", "/dev/zero", "/dev/shm/", "/anon_hugepage"})
        if (mapping.path.starts_with(prefix)) return true;
    return false;
}

/// The parts of a memory file that hold data, mapped by this process at the moment or swapped out. Its page
/// table does not tell of the latter; where the file cannot be opened (it needs a capability) only the page
/// table speaks.
void append_file_data(pid_t pid, const Mapping& mapping, AddressRange range,
                      std::vector<AddressRange>& parts) {
    const auto file = open_mapped_file(pid, mapping);
    if (!file) return;
    const auto offset_of = [&mapping](RemoteAddress a) {
        return static_cast<off_t>(mapping.file_offset + (a - mapping.range.begin));
    };
    const off_t end = offset_of(range.end);
    off_t position = offset_of(range.begin);
    while (position < end) {
        const off_t data = ::lseek(file->get(), position, SEEK_DATA);
        if (data < 0 || data >= end) return;
        const off_t hole = std::min(::lseek(file->get(), data, SEEK_HOLE), end);
        if (hole <= data) return;
        const auto address_of = [&](off_t offset) {
            return range.begin + static_cast<std::uint64_t>(offset - offset_of(range.begin));
        };
        parts.push_back({page_begin(address_of(data)), page_end(address_of(hole))});
        position = hole;
    }
}

/// Sorted, of whole pages, without overlaps.
std::vector<AddressRange> merged(std::vector<AddressRange> ranges) {
    std::sort(ranges.begin(), ranges.end());
    std::vector<AddressRange> result;
    for (const AddressRange& range : ranges) {
        if (range.begin >= range.end) continue;
        if (!result.empty() && range.begin <= result.back().end)
            result.back().end = std::max(result.back().end, range.end);
        else
            result.push_back(range);
    }
    return result;
}

/// What both hold. Both are sorted and do not overlap in themselves.
std::vector<AddressRange> intersection(const std::vector<AddressRange>& left,
                                       const std::vector<AddressRange>& right) {
    std::vector<AddressRange> result;
    auto l = left.begin();
    auto r = right.begin();
    while (l != left.end() && r != right.end()) {
        const AddressRange both{std::max(l->begin, r->begin), std::min(l->end, r->end)};
        if (both.begin < both.end) result.push_back(both);
        if (l->end < r->end)
            ++l;
        else
            ++r;
    }
    return result;
}

}  // namespace

std::vector<AddressRange> resident_parts(pid_t pid, const std::vector<AddressRange>& ranges) {
    PageTable pages(pid);
    const auto map = MemoryMap::read(pid);
    if (!pages.is_open() || !map) return ranges;

    const auto wanted = merged(ranges);
    std::vector<AddressRange> resident;
    auto mapping = map->mappings().begin();
    const auto last = map->mappings().end();
    for (const AddressRange& range : wanted) {
        while (mapping != last && mapping->range.end <= range.begin) ++mapping;
        for (auto inside = mapping; inside != last && inside->range.begin < range.end; ++inside) {
            const AddressRange part{page_begin(std::max(range.begin, inside->range.begin)),
                                    page_end(std::min(range.end, inside->range.end))};
            const bool in_memory_only = !inside->is_file() || is_memory_file(*inside);
            // A page of a file holds the file's bytes before anybody touches it.
            if (!in_memory_only || !pages.append_resident(part, resident)) resident.push_back(part);
            if (inside->is_file() && is_memory_file(*inside)) append_file_data(pid, *inside, part, resident);
        }
    }
    return intersection(wanted, merged(std::move(resident)));
}

}  // namespace asyncdump

#include "process/copied_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>
#include <utility>

#include "base/sort_runs.h"
#include "process/memory_map.h"
#include "process/page.h"

namespace asyncdump {
namespace {

constexpr std::size_t word = sizeof(std::uint64_t);
constexpr std::uint64_t largest_request = 16 << 20;
constexpr std::uint64_t largest_block = 1ULL << 39;  // more is nonsense in a range, not data

/// Sorted, without empty ones; ranges with less than a page between them become one. The bytes between lie in
/// pages of which other bytes were asked for, so that merging never reads a page that nobody named.
std::vector<AddressRange> merge_neighbours(std::vector<AddressRange> ranges) {
    std::erase_if(ranges, [](const AddressRange& range) { return range.begin >= range.end; });
    sort_runs(ranges);
    std::size_t last = 0;
    for (std::size_t i = 1; i < ranges.size(); ++i) {
        if (ranges[i].begin <= ranges[last].end || ranges[i].begin - ranges[last].end < page_size)
            ranges[last].end = std::max(ranges[last].end, ranges[i].end);
        else
            ranges[++last] = ranges[i];
    }
    if (!ranges.empty()) ranges.resize(last + 1);
    return ranges;
}

/// Finds its way over what is missing inside a range.
class HoleSkipper {
  public:
    explicit HoleSkipper(const LiveMemory& memory) : memory_(memory) {}

    /// Reads what can be read of `destination`, which stands for the bytes at `address` of which the first
    /// cannot be read; gives each part found to `found`.
    template <class Found>
    void read_around(RemoteAddress address, std::span<std::byte> destination, Found found) {
        std::size_t done = 0;
        std::size_t missing_in_a_row = 1;
        while (true) {
            const std::uint64_t step = missing_in_a_row < pages_tried_blindly
                                           ? bytes_to_page_end(address + done)
                                           : to_next_mapping(address + done);
            if (step >= destination.size() - done || missing_total_ == largest_number_missing) return;
            done += step;
            const std::size_t copied = memory_.read(address + done, destination.subspan(done));
            if (copied != 0) {
                found(address + done, destination.subspan(done, copied));
                done += copied;
                if (done == destination.size()) return;
                missing_in_a_row = 0;
            }
            ++missing_in_a_row;
            ++missing_total_;
        }
    }

  private:
    static constexpr std::size_t pages_tried_blindly = 8;
    // Pages can be missing inside a mapping (beyond the end of its file, guard regions, devices), where the
    // map is no help. The number bounds what a hostile or odd range can cost while the target is stopped:
    // about 50 ms.
    static constexpr std::size_t largest_number_missing = 65536;

    /// From a missing page to the next page that may be there.
    std::uint64_t to_next_mapping(RemoteAddress address) {
        if (!map_was_read_) {
            map_was_read_ = true;
            if (auto map = MemoryMap::read(memory_.pid())) map_ = *std::move(map);
        }
        const auto& mappings = map_.mappings();
        const RemoteAddress next_page = address + bytes_to_page_end(address);
        auto mapping = std::upper_bound(mappings.begin(), mappings.end(), next_page,
                                        [](RemoteAddress a, const Mapping& m) { return a < m.range.end; });
        while (mapping != mappings.end() && !mapping->readable) ++mapping;
        if (mapping == mappings.end()) return ~address.value();
        return std::max(next_page, mapping->range.begin) - address;
    }

    const LiveMemory& memory_;
    MemoryMap map_;
    bool map_was_read_ = false;
    std::size_t missing_total_ = 0;
};

}  // namespace

const CopiedMemory::Segment* CopiedMemory::find(RemoteAddress address) const {
    auto after =
        std::upper_bound(segments_.begin(), segments_.end(), address,
                         [](RemoteAddress a, const Segment& segment) { return a < segment.address; });
    if (after == segments_.begin()) return nullptr;
    --after;
    return address < after->end() ? &*after : nullptr;
}

std::span<const std::byte> CopiedMemory::view(RemoteAddress address) const {
    const Segment* segment = find(address);
    if (segment == nullptr) return {};
    return segment->bytes.subspan(static_cast<std::size_t>(address - segment->address));
}

std::size_t CopiedMemory::read(RemoteAddress address, std::span<std::byte> destination) const {
    std::size_t done = 0;
    while (done < destination.size()) {
        const auto bytes = view(address + done);
        if (bytes.empty()) break;
        const std::size_t size = std::min(bytes.size(), destination.size() - done);
        std::memcpy(destination.data() + done, bytes.data(), size);
        done += size;
    }
    return done;
}

bool CopiedMemory::covers(AddressRange range) const {
    while (range.begin < range.end) {
        const Segment* segment = find(range.begin);
        if (segment == nullptr) return false;
        range.begin = segment->end();
    }
    return true;
}

/// Room for `bytes` that stays where it is; nullptr when there is not enough memory. Its content is
/// undefined: setting it to zero would touch each page once more while the target waits.
std::byte* CopiedMemory::allocate(std::uint64_t bytes) {
    constexpr std::uint64_t smallest_block = 1 << 20;
    constexpr std::uint64_t huge_page = 2 << 20;
    if (bytes > largest_block) return nullptr;
    if (free_.size() < bytes) {
        const std::uint64_t size = std::max(bytes, smallest_block);
        std::unique_ptr<std::byte[]> block(new (std::nothrow) std::byte[size]);
        if (!block) return nullptr;
        free_ = {block.get(), static_cast<std::size_t>(size)};
        blocks_.push_back(std::move(block));
        const auto begin =
            (reinterpret_cast<std::uintptr_t>(free_.data()) + page_size - 1) & ~(page_size - 1);
        const auto end = reinterpret_cast<std::uintptr_t>(free_.data() + free_.size()) & ~(page_size - 1);
        if (size >= 2 * huge_page) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
    }
    std::byte* const result = free_.data();
    free_ = free_.subspan(static_cast<std::size_t>(bytes));
    return result;
}

/// The parts of `ranges` (sorted, not overlapping) that no segment holds.
std::vector<AddressRange> CopiedMemory::not_held(const std::vector<AddressRange>& ranges) const {
    std::vector<AddressRange> missing;
    missing.reserve(ranges.size());
    for (AddressRange range : ranges) {
        auto segment = std::upper_bound(segments_.begin(), segments_.end(), range.begin,
                                        [](RemoteAddress a, const Segment& s) { return a < s.end(); });
        for (; segment != segments_.end() && segment->address < range.end; ++segment) {
            if (range.begin < segment->address) missing.push_back({range.begin, segment->address});
            range.begin = segment->end();
        }
        if (range.begin < range.end) missing.push_back(range);
    }
    return missing;
}

/// `added` is sorted and overlaps nothing. Merges from behind, in place: of what is held already, only what
/// lies above the first new segment moves.
void CopiedMemory::insert(std::vector<Segment> added) {
    for (const Segment& segment : added) total_bytes_ += segment.bytes.size();
    if (segments_.empty()) {
        segments_ = std::move(added);
        return;
    }
    std::size_t old_left = segments_.size();
    std::size_t new_left = added.size();
    segments_.resize(old_left + new_left);
    while (new_left != 0) {
        const bool take_old = old_left != 0 && segments_[old_left - 1].address > added[new_left - 1].address;
        const Segment& next = take_old ? segments_[--old_left] : added[--new_left];
        segments_[old_left + new_left] = next;
    }
}

void CopiedMemory::add(RemoteAddress address, std::vector<std::byte> bytes) {
    const RemoteAddress end =
        bytes.size() <= ~address.value() ? address + bytes.size() : RemoteAddress(~0ULL);
    if (address >= end) return;
    std::vector<Segment> segments;
    for (const AddressRange& range : not_held({{address, end}})) {
        const auto offset = static_cast<std::size_t>(range.begin - address);
        segments.push_back(
            {range.begin, std::span(bytes).subspan(offset, static_cast<std::size_t>(range.size()))});
    }
    insert(std::move(segments));
    added_.push_back(std::move(bytes));
}

void CopiedMemory::make_requests(const std::vector<AddressRange>& ranges) {
    std::uint64_t total = 0;
    for (const AddressRange& range : ranges) {
        if (range.size() > largest_block) return;
        total += range.size() + word - 1;
    }
    std::byte* destination = total == 0 ? nullptr : allocate(total);
    if (destination == nullptr) return;
    requests_.reserve(ranges.size());
    for (const AddressRange& range : ranges) {
        // Words that are aligned in the target are so in the copy.
        destination += (range.begin.value() - reinterpret_cast<std::uintptr_t>(destination)) % word;
        // In pieces, so that a deadline can fall between them.
        for (std::uint64_t done = 0; done < range.size();) {
            const std::uint64_t size = std::min(range.size() - done, largest_request);
            requests_.push_back({range.begin + done, {destination, static_cast<std::size_t>(size)}});
            destination += size;
            done += size;
        }
    }
}

/// Reads in small portions and looks at the clock between them. Returns the number of requests that were run.
std::size_t CopiedMemory::read_until_deadline(const LiveMemory& memory) {
    constexpr std::size_t most_requests = 1024;
    constexpr std::size_t most_bytes = 4 << 20;
    std::size_t done = 0;
    while (done < requests_.size() && std::chrono::steady_clock::now() < deadline_) {
        std::size_t count = 0;
        for (std::size_t bytes = 0; count < most_requests && done + count < requests_.size(); ++count) {
            const std::size_t size = requests_[done + count].destination.size();
            if (count > 0 && bytes + size > most_bytes) break;
            bytes += size;
        }
        memory.read_many(std::span(requests_).subspan(done, count));
        done += count;
    }
    return done;
}

/// Returns the number of bytes copied.
std::uint64_t CopiedMemory::run_requests(const LiveMemory& memory) {
    std::span<CopyRequest> in_time = requests_;
    if (deadline_ == std::chrono::steady_clock::time_point::max()) {
        memory.read_many(in_time);
    } else {
        in_time = in_time.first(read_until_deadline(memory));
        for (const CopyRequest& request : std::span(requests_).subspan(in_time.size()))
            bytes_left_out_ += request.destination.size();
    }
    HoleSkipper skipper(memory);
    found_.reserve(in_time.size());
    for (const CopyRequest& request : in_time) {
        if (request.copied != 0)
            found_.push_back({request.address, request.destination.first(request.copied)});
        if (request.copied == request.destination.size()) continue;
        skipper.read_around(request.address + request.copied, request.destination.subspan(request.copied),
                            [this](RemoteAddress address, std::span<const std::byte> bytes) {
                                found_.push_back({address, bytes});
                            });
    }
    requests_.clear();
    const std::uint64_t before = total_bytes_;
    insert(std::exchange(found_, {}));
    return total_bytes_ - before;
}

void CopiedMemory::prepare(std::vector<AddressRange> ranges) {
    make_requests(merge_neighbours(std::move(ranges)));
    // One fault for each huge page where the system grants them, one for each page where it does not.
    for (const CopyRequest& request : requests_) {
        for (std::size_t i = 0; i < request.destination.size(); i += page_size)
            request.destination[i] = std::byte{0};
    }
    found_.resize(requests_.size());
    found_.clear();
}

std::uint64_t CopiedMemory::copy_prepared(const LiveMemory& memory) {
    return run_requests(memory);
}

std::uint64_t CopiedMemory::copy_from(const LiveMemory& memory, std::vector<AddressRange> ranges) {
    ranges = merge_neighbours(std::move(ranges));
    if (!segments_.empty()) ranges = not_held(ranges);
    make_requests(ranges);
    return run_requests(memory);
}

}  // namespace asyncdump

#include "runtimes/cpp20/frame_scan.h"

#include <algorithm>

#include "base/sort_runs.h"
#include "process/read_blocks.h"
#include "process/word_filter.h"

namespace asyncdump::cpp20 {
namespace {

bool is_ordinary_memory(const Mapping& mapping) {
    if (mapping.path.starts_with("[v")) return false;  // [vvar], [vsyscall]
    if (!mapping.is_file()) return true;
    if (mapping.path.starts_with("/dev/")) {
        return mapping.path.starts_with("/dev/zero") || mapping.path.starts_with("/dev/shm/");
    }
    // A shared mapping without a name in the file system: memfd, System V, anonymous shared memory.
    const bool anonymous_file = mapping.path.starts_with("/memfd:") || mapping.path.starts_with("/SYSV");
    return !mapping.shared || anonymous_file;
}

/// Finds the frames in the blocks that it is shown.
class FrameScanner {
  public:
    explicit FrameScanner(const CoroutineCatalog& catalog) : catalog_(&catalog) {}

    void operator()(const MemoryBlock& block) {
        result_.bytes += block.words.size_bytes();
        for (const AddressRange& codes : catalog_->destroy_ranges()) {
            offsets_.clear();
            find_words_in_range(block.words, codes.begin.value(), codes.end.value(), all_bits, offsets_);
            for (const std::uint32_t offset : offsets_) {
                if (offset == 0 && !block.continues) continue;
                const std::uint64_t resume = offset == 0 ? last_word_before_ : block.words[offset - 1];
                if (catalog_->identify(RemoteAddress(resume), RemoteAddress(block.words[offset])))
                    result_.frames.push_back(block.begin + offset * 8ULL - 8);
            }
        }
        last_word_before_ = block.words.back();
    }

    const ScanResult& result() const { return result_; }

  private:
    const CoroutineCatalog* catalog_;
    ScanResult result_;
    std::vector<std::uint32_t> offsets_;
    std::uint64_t last_word_before_ = 0;  ///< the resume pointer of a frame that straddles two blocks
};

}  // namespace

std::vector<AddressRange> scannable_ranges(const MemoryMap& map) {
    std::vector<AddressRange> ranges;
    for (const Mapping& mapping : map.mappings()) {
        if (mapping.readable && mapping.writable && is_ordinary_memory(mapping))
            ranges.push_back(mapping.range);
    }
    return ranges;
}

ScanResult scan_for_frames(const Memory& memory, const std::vector<AddressRange>& ranges,
                           const CoroutineCatalog& catalog, unsigned workers) {
    ScanResult total;
    if (catalog.destroy_ranges().empty()) return total;
    std::vector<FrameScanner> scanners(workers, FrameScanner(catalog));
    constexpr std::uint64_t destroy_pointer = 8;  // of a frame that begins at a portion's last word
    read_blocks(memory, ranges, std::span(scanners), destroy_pointer);
    for (const FrameScanner& scanner : scanners) {
        const ScanResult& found = scanner.result();
        total.bytes += found.bytes;
        total.frames.insert(total.frames.end(), found.frames.begin(), found.frames.end());
    }

    sort_runs(total.frames);
    const auto [first, last] = std::ranges::unique(total.frames);
    total.frames.erase(first, last);
    return total;
}

}  // namespace asyncdump::cpp20

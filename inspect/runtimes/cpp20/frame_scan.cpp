#include "runtimes/cpp20/frame_scan.h"

#include <immintrin.h>

#include <algorithm>

#include "process/read_blocks.h"

namespace asyncdump::cpp20 {
namespace {

void find_words_scalar(std::span<const std::uint64_t> words, std::size_t first, std::uint64_t low,
                       std::uint64_t high, std::vector<std::uint32_t>& offsets) {
    for (std::size_t i = first; i < words.size(); ++i) {
        if (words[i] - low < high - low) offsets.push_back(static_cast<std::uint32_t>(i));
    }
}

/// Signed comparison serves: user-space addresses are positive, and a word with the top bit set is below
/// `low`.
__attribute__((target("avx2"))) void find_words_avx2(std::span<const std::uint64_t> words, std::uint64_t low,
                                                     std::uint64_t high,
                                                     std::vector<std::uint32_t>& offsets) {
    const __m256i below = _mm256_set1_epi64x(static_cast<long long>(low) - 1);
    const __m256i above = _mm256_set1_epi64x(static_cast<long long>(high));
    const auto in_range = [&](std::size_t index) __attribute__((target("avx2"))) {
        const __m256i four = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(words.data() + index));
        return _mm256_and_si256(_mm256_cmpgt_epi64(four, below), _mm256_cmpgt_epi64(above, four));
    };
    std::size_t i = 0;
    for (; i + 16 <= words.size(); i += 16) {
        const __m256i a = in_range(i), b = in_range(i + 4), c = in_range(i + 8), d = in_range(i + 12);
        const __m256i any = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));
        if (_mm256_testz_si256(any, any)) continue;
        for (std::size_t j = i; j < i + 16; ++j) {
            if (words[j] - low < high - low) offsets.push_back(static_cast<std::uint32_t>(j));
        }
    }
    find_words_scalar(words, i, low, high, offsets);
}

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
            find_words_in_range(block.words, codes.begin.value(), codes.end.value(), offsets_);
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

void find_words_in_range(std::span<const std::uint64_t> words, std::uint64_t low, std::uint64_t high,
                         std::vector<std::uint32_t>& offsets) {
    static const bool has_avx2 = __builtin_cpu_supports("avx2");
    if (has_avx2) {
        find_words_avx2(words, low, high, offsets);
    } else {
        find_words_scalar(words, 0, low, high, offsets);
    }
}

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

    std::ranges::sort(total.frames);
    const auto [first, last] = std::ranges::unique(total.frames);
    total.frames.erase(first, last);
    return total;
}

}  // namespace asyncdump::cpp20

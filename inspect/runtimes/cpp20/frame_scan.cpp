#include "runtimes/cpp20/frame_scan.h"

#include <immintrin.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <thread>

namespace asyncdump::cpp20 {
namespace {

/// One read: large enough to amortise the system call, small enough to stay in the second-level cache while
/// it is looked at.
constexpr std::size_t block_bytes = 256 * 1024;
/// What one worker takes at a time.
constexpr std::uint64_t portion_bytes = 4 * 1024 * 1024;

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

/// Finds the frames that begin in [range.begin, range.end).
class PortionScanner {
  public:
    PortionScanner(const Memory& memory, const CoroutineCatalog& catalog)
        : memory_(memory), catalog_(catalog), words_(block_bytes / 8 + 1) {}

    void scan(AddressRange range, ScanResult& result) {
        std::uint64_t previous =
            0;  // the word before the block: the resume pointer of a frame that straddles blocks
        RemoteAddress at = range.begin;
        // One word more than the range: the destroy pointer of a frame that begins at its last word.
        const RemoteAddress end = range.end + 8;
        bool has_previous = false;
        while (at < end) {
            const std::size_t wanted = std::min<std::uint64_t>(block_bytes, end - at);
            const auto bytes = std::as_writable_bytes(std::span(words_)).first(wanted);
            const std::size_t count = memory_.read(at, bytes) / 8;
            result.bytes += count * 8;
            if (count > 0) {
                look(at, std::span<const std::uint64_t>(words_).first(count), has_previous, previous, result);
                previous = words_[count - 1];
            }
            has_previous = count * 8 == wanted && count > 0;
            // A hole: go on at the next page.
            at = has_previous ? at + wanted : RemoteAddress(((at + count * 8).value() | 0xFFF) + 1);
        }
    }

  private:
    void look(RemoteAddress begin, std::span<const std::uint64_t> words, bool has_previous,
              std::uint64_t previous, ScanResult& result) {
        for (const AddressRange& codes : catalog_.destroy_ranges()) {
            offsets_.clear();
            find_words_in_range(words, codes.begin.value(), codes.end.value(), offsets_);
            for (const std::uint32_t offset : offsets_) {
                if (offset == 0 && !has_previous) continue;
                const std::uint64_t resume = offset == 0 ? previous : words[offset - 1];
                if (catalog_.identify(RemoteAddress(resume), RemoteAddress(words[offset]))) {
                    result.frames.push_back(begin + offset * 8ULL - 8);
                }
            }
        }
    }

    const Memory& memory_;
    const CoroutineCatalog& catalog_;
    std::vector<std::uint64_t> words_;
    std::vector<std::uint32_t> offsets_;
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
    std::vector<AddressRange> portions;
    for (const AddressRange& range : ranges) {
        for (RemoteAddress at = range.begin; at < range.end; at = at + portion_bytes) {
            portions.push_back({at, std::min(at + portion_bytes, range.end)});
        }
    }
    ScanResult total;
    if (catalog.destroy_ranges().empty()) return total;

    std::atomic<std::size_t> next{0};
    std::mutex merging;
    const auto work = [&] {
        PortionScanner scanner(memory, catalog);
        ScanResult mine;
        for (std::size_t i = next.fetch_add(1); i < portions.size(); i = next.fetch_add(1)) {
            scanner.scan(portions[i], mine);
        }
        const std::lock_guard lock(merging);
        total.bytes += mine.bytes;
        total.frames.insert(total.frames.end(), mine.frames.begin(), mine.frames.end());
    };
    std::vector<std::jthread> helpers;
    const auto useful = std::min<std::size_t>(workers, portions.size());
    for (std::size_t i = 1; i < useful; ++i) helpers.emplace_back(work);
    work();
    helpers.clear();

    std::ranges::sort(total.frames);
    const auto [first, last] = std::ranges::unique(total.frames);
    total.frames.erase(first, last);
    return total;
}

}  // namespace asyncdump::cpp20

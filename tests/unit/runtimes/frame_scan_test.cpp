#include "runtimes/cpp20/frame_scan.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <set>

#include "sample_files.h"

using namespace asyncdump;
using namespace asyncdump::cpp20;

namespace {

/// One stretch of memory with unreadable pages in it. It counts no reads outside: they end early.
class MadeMemory final : public Memory {
  public:
    MadeMemory(RemoteAddress begin, std::size_t bytes) : begin_(begin), bytes_(bytes) {}

    std::size_t read(RemoteAddress address, std::span<std::byte> destination) const override {
        std::size_t done = 0;
        while (done < destination.size()) {
            const RemoteAddress at = address + done;
            if (at < begin_ || at >= end() || holes_.contains(at.value() / 4096)) break;
            const std::size_t here =
                std::min<std::uint64_t>({destination.size() - done, 4096 - at.value() % 4096, end() - at});
            std::memcpy(destination.data() + done, bytes_.data() + (at - begin_), here);
            done += here;
        }
        return done;
    }

    void put(RemoteAddress at, std::uint64_t word) { std::memcpy(bytes_.data() + (at - begin_), &word, 8); }
    void put_frame(RemoteAddress at, const CoroutineCode& code) {
        put(at, code.resume.begin.value());
        put(at + 8, code.destroy.begin.value());
    }
    void make_hole(RemoteAddress at) { holes_.insert(at.value() / 4096); }
    RemoteAddress end() const { return begin_ + bytes_.size(); }

  private:
    RemoteAddress begin_;
    std::vector<std::byte> bytes_;
    std::set<std::uint64_t> holes_;
};

}  // namespace

TEST_CASE("only writable ordinary memory is scanned", "[frame_scan]") {
    const MemoryMap map = MemoryMap::parse(
        "1000-2000 r--p 00000000 08:01 7 /bin/server\n"
        "2000-3000 rw-p 00000000 08:01 7 /bin/server\n"
        "3000-4000 rw-p 00000000 00:00 0 [heap]\n"
        "4000-5000 rw-s 00000000 08:01 8 /var/lib/database\n"
        "5000-6000 rw-s 00000000 00:05 9 /dev/dri/card0\n"
        "6000-7000 rw-p 00000000 00:05 9 /dev/nvidia0\n"
        "7000-8000 rw-s 00000000 00:05 10 /dev/shm/queue\n"
        "8000-9000 rw-s 00000000 00:05 11 /memfd:pool (deleted)\n"
        "9000-a000 -w-p 00000000 00:00 0 \n"
        "a000-b000 rw-p 00000000 00:00 0 \n"
        "b000-c000 rw-p 00000000 00:00 0 [vvar]\n");
    std::vector<std::uint64_t> begins;
    for (const AddressRange& range : scannable_ranges(map)) begins.push_back(range.begin.value());
    CHECK(begins == std::vector<std::uint64_t>{0x2000, 0x3000, 0x7000, 0x8000, 0xa000});
}

TEST_CASE("frames are found wherever they stand", "[frame_scan]") {
    const auto samples = frame_samples();
    if (samples.empty()) {
        WARN("skipped: no compiler for the sample");
        return;
    }
    const ModuleSet modules = open_sample("frame_members." + samples.front());
    const CoroutineCatalog catalog(modules);
    REQUIRE(catalog.functions().size() >= 2);
    const CoroutineCode& code = catalog.functions()[0];
    const CoroutineCode& other = catalog.functions()[1];

    const RemoteAddress begin(0x7f00'0000'0000);
    const std::uint64_t size = 9 << 20, block = 256 << 10, portion = 4 << 20;
    MadeMemory memory(begin, size + 4096);
    const AddressRange range{begin, begin + size};
    std::vector<RemoteAddress> expected;
    const auto frame_at = [&](std::uint64_t offset) {
        memory.put_frame(begin + offset, code);
        expected.push_back(begin + offset);
    };
    frame_at(0);
    frame_at(40);
    frame_at(56);              // directly behind
    frame_at(block - 8);       // its two words stand in two blocks
    frame_at(2 * block - 16);  // ends a block
    frame_at(3 * block);       // begins one
    frame_at(portion - 8);     // in two portions
    frame_at(2 * portion);
    frame_at(size - 8);  // its second word stands behind the range
    std::ranges::sort(expected);
    // A coroutine that is done.
    memory.put(begin + 0x2008, code.destroy.begin.value());
    expected.push_back(begin + 0x2000);
    std::ranges::sort(expected);
    // Not frames: unaligned, words of two functions, one word alone, a pair that begins behind the range.
    memory.put_frame(begin + 0x3004, code);
    memory.put(begin + 0x4000, code.resume.begin.value());
    memory.put(begin + 0x4008, other.destroy.begin.value());
    memory.put(begin + 0x5000, code.resume.begin.value());
    memory.put(begin + 0x6000, code.resume.begin.value() + 1);
    memory.put(begin + 0x6008, code.destroy.begin.value());

    for (const unsigned workers : {1U, 2U, 5U}) {
        const ScanResult result = scan_for_frames(memory, {range}, catalog, workers);
        CHECK(result.frames == expected);
        CHECK(result.bytes >= size);
    }
    SECTION("in ranges that overlap each is there once") {
        const ScanResult result = scan_for_frames(memory, {range, {begin, begin + block}}, catalog, 2);
        CHECK(result.frames == expected);
    }
    SECTION("behind a hole, and not across one") {
        memory.make_hole(begin + block);
        std::erase(expected, begin + block - 8);
        memory.put_frame(begin + block + 4096, code);
        expected.push_back(begin + block + 4096);
        memory.make_hole(begin + 5 * portion / 4);
        std::ranges::sort(expected);
        const ScanResult result = scan_for_frames(memory, {range}, catalog, 1);
        CHECK(result.frames == expected);
        CHECK(result.bytes < size);
    }
    SECTION("nothing can be read") {
        const ScanResult result =
            scan_for_frames(memory, {{RemoteAddress(0x1000), RemoteAddress(0x80'0000)}}, catalog, 2);
        CHECK(result.frames.empty());
        CHECK(result.bytes == 0);
    }
}

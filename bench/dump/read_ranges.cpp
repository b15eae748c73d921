// The lower limit of a search through a process's memory: the ranges that asyncdump searches, with as many
// threads and in reads of the same size, but only read.
//
//   read_ranges PID     prints the bytes that were read and the microseconds that it took
#include <sys/uio.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "process/memory_map.h"
#include "process/resident_pages.h"
#include "runtimes/cpp20/frame_scan.h"

namespace {

constexpr std::size_t read_bytes = 256 * 1024;

}  // namespace

int main(int argc, char** argv) {
    using namespace asyncdump;
    if (argc != 2) {
        std::fprintf(stderr, "usage: read_ranges PID\n");
        return 64;
    }
    const pid_t pid = std::atoi(argv[1]);
    const auto map = MemoryMap::read(pid);
    if (!map) {
        std::fprintf(stderr, "read_ranges: %s\n", map.error().message.c_str());
        return 2;
    }
    std::vector<AddressRange> reads;
    for (const AddressRange& range : resident_parts(pid, cpp20::scannable_ranges(*map))) {
        for (RemoteAddress at = range.begin; at < range.end; at = at + read_bytes) {
            reads.push_back({at, std::min(at + read_bytes, range.end)});
        }
    }

    std::atomic<std::size_t> next{0};
    std::atomic<std::uint64_t> total{0};
    const auto work = [&] {
        std::vector<std::byte> buffer(read_bytes);
        for (std::size_t i = next.fetch_add(1); i < reads.size(); i = next.fetch_add(1)) {
            const iovec local{buffer.data(), reads[i].size()};
            const iovec remote{reinterpret_cast<void*>(reads[i].begin.value()), reads[i].size()};
            const ssize_t count = ::process_vm_readv(pid, &local, 1, &remote, 1, 0);
            if (count > 0) total += static_cast<std::uint64_t>(count);
        }
    };
    const auto begin = std::chrono::steady_clock::now();
    std::vector<std::jthread> helpers;
    for (unsigned i = 1; i < std::thread::hardware_concurrency(); ++i) helpers.emplace_back(work);
    work();
    helpers.clear();
    const auto took =
        std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin);
    std::printf("%llu %lld\n", static_cast<unsigned long long>(total.load()),
                static_cast<long long>(took.count()));
}

#include "runtimes/cpp20/glibc_heap.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdio>
#include <map>
#include <set>
#include <string>

#include "base/file_descriptor.h"
#include "process/live_memory.h"

using namespace asyncdump;
using namespace asyncdump::cpp20;

namespace {

using State = HeapBlock::State;

struct Truth {
    std::string fate;  ///< "allocated", "freed", "mapped"
    RemoteAddress address;
    std::uint64_t usable = 0;
    unsigned arena = 0;
};

/// A process that has used its heap, says how, and is blocked. Killed at the end.
class HeapProcess {
  public:
    HeapProcess(const std::string& variant, bool has_caches) {
        const std::string path = SAMPLES_FOLDER + ("heap_blocks." + variant);
        int to_child[2], from_child[2];
        REQUIRE(pipe2(to_child, O_CLOEXEC) == 0);
        REQUIRE(pipe2(from_child, O_CLOEXEC) == 0);
        const char* no_caches[] = {"GLIBC_TUNABLES=glibc.malloc.tcache_count=0", nullptr};
        const char* nothing[] = {nullptr};
        pid_ = fork();
        REQUIRE(pid_ >= 0);
        if (pid_ == 0) {
            dup2(to_child[0], STDIN_FILENO);
            dup2(from_child[1], STDOUT_FILENO);
            char* const arguments[] = {const_cast<char*>(path.c_str()), nullptr};
            execve(path.c_str(), arguments, const_cast<char**>(has_caches ? nothing : no_caches));
            _exit(127);
        }
        close(to_child[0]);
        close(from_child[1]);
        keeps_it_blocked_ = FileDescriptor(to_child[1]);
        FILE* output = fdopen(from_child[0], "r");
        char line[128], fate[32];
        bool ready = false;
        while (!ready && std::fgets(line, sizeof line, output)) {
            unsigned long long address = 0, usable = 0;
            unsigned arena = 0;
            ready = std::string_view(line) == "ready\n";
            if (std::sscanf(line, "%31s 0x%llx %llu %u", fate, &address, &usable, &arena) == 4) {
                blocks.push_back({fate, RemoteAddress(address), usable, arena});
            }
        }
        std::fclose(output);
        if (!ready) FAIL("the sample did not get ready");
        std::ranges::sort(blocks, {}, &Truth::address);
        map = MemoryMap::read(pid_).value();
    }
    HeapProcess(const HeapProcess&) = delete;
    HeapProcess& operator=(const HeapProcess&) = delete;
    ~HeapProcess() {
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
    }

    LiveMemory memory() const { return LiveMemory::open(pid_).value(); }

    std::vector<Truth> blocks;  ///< sorted by address
    MemoryMap map;

  private:
    pid_t pid_ = -1;
    FileDescriptor keeps_it_blocked_;
};

/// Memory in which one word is another.
class OverwrittenMemory final : public Memory {
  public:
    OverwrittenMemory(const Memory& below, RemoteAddress at, std::uint64_t word)
        : below_(below), at_(at), word_(word) {}

    std::size_t read(RemoteAddress address, std::span<std::byte> destination) const override {
        const std::size_t got = below_.read(address, destination);
        for (std::size_t i = 0; i < 8; ++i) {
            const std::uint64_t place = at_ + i - address;
            if (place < got) destination[place] = std::byte(word_ >> 8 * i & 0xFF);
        }
        return got;
    }

  private:
    const Memory& below_;
    RemoteAddress at_;
    std::uint64_t word_;
};

std::vector<RemoteAddress> addresses_of(const std::vector<Truth>& blocks) {
    std::vector<RemoteAddress> addresses;
    for (const Truth& block : blocks) addresses.push_back(block.address);
    return addresses;
}

}  // namespace

TEST_CASE("every block of every arena is told as it is", "[glibc_heap]") {
    const std::string variant = GENERATE("dynamic", "static");
    const bool has_caches = GENERATE(false, true);
    INFO(variant << (has_caches ? " with" : " without") << " caches");
    const HeapProcess process(variant, has_caches);
    const LiveMemory memory = process.memory();
    const auto found = find_heap_blocks(memory, process.map, addresses_of(process.blocks));
    REQUIRE(found.size() == process.blocks.size());
    std::map<std::string, int> seen;
    std::set<unsigned> arenas;
    std::set<std::uint64_t> heaps_of_arena_1;
    for (std::size_t i = 0; i < found.size(); ++i) {
        const Truth& truth = process.blocks[i];
        INFO(truth.fate << ' ' << std::hex << truth.address.value() << ' ' << std::dec << truth.usable
                        << " of arena " << truth.arena);
        ++seen[truth.fate];
        arenas.insert(truth.arena);
        if (truth.arena == 1) heaps_of_arena_1.insert(truth.address.value() >> 26);
        if (truth.fate == "mapped") {
            REQUIRE(found[i].state == State::unknown);
        } else if (truth.fate == "allocated") {
            REQUIRE(found[i].state == State::allocated);
            REQUIRE(found[i].usable.begin == truth.address);
            REQUIRE(found[i].usable.size() == truth.usable);
        } else if (has_caches && truth.usable <= 1032) {
            // What a thread's cache holds looks allocated.
            REQUIRE(found[i].state != State::unknown);
        } else {
            REQUIRE(found[i].state == State::free);
            REQUIRE(found[i].usable.contains(truth.address));
        }
    }
    CHECK(seen["mapped"] == 1);
    CHECK(seen["allocated"] > 3000);
    CHECK(seen["freed"] > 1500);
    CHECK(arenas.size() == 4);
    CHECK(heaps_of_arena_1.size() > 1);
}

TEST_CASE("an address inside a block belongs to it", "[glibc_heap]") {
    const HeapProcess process("dynamic", false);
    const LiveMemory memory = process.memory();
    std::vector<RemoteAddress> addresses;
    std::vector<RemoteAddress> blocks;
    for (const Truth& truth : process.blocks) {
        if (truth.fate != "allocated") continue;
        for (const std::uint64_t offset : {std::uint64_t{0}, truth.usable / 2, truth.usable - 1}) {
            addresses.push_back(truth.address + offset);
            blocks.push_back(truth.address);
        }
    }
    const auto found = find_heap_blocks(memory, process.map, addresses);
    for (std::size_t i = 0; i < found.size(); ++i) {
        REQUIRE(found[i].state == State::allocated);
        REQUIRE(found[i].usable.begin == blocks[i]);
        REQUIRE(found[i].usable.contains(addresses[i]));
    }
}

TEST_CASE("what is in no heap is unknown", "[glibc_heap]") {
    const HeapProcess process("dynamic", false);
    const LiveMemory memory = process.memory();
    CHECK(find_heap_blocks(memory, process.map, {}).empty());
    std::vector<RemoteAddress> addresses{RemoteAddress(0), RemoteAddress(8)};
    for (const Mapping& mapping : process.map.mappings()) {
        if (mapping.is_file() || mapping.path == "[stack]") addresses.push_back(mapping.range.begin + 64);
    }
    addresses.push_back(RemoteAddress(~std::uint64_t{7}));
    REQUIRE(addresses.size() > 10);
    for (const HeapBlock& block : find_heap_blocks(memory, process.map, addresses)) {
        CHECK(block.state == State::unknown);
    }
}

TEST_CASE("a heap with a broken chunk is unknown as a whole, and the others are not", "[glibc_heap]") {
    const HeapProcess process("dynamic", false);
    const LiveMemory memory = process.memory();
    const auto addresses = addresses_of(process.blocks);
    const auto heap_of = [&](const Truth& truth) {
        return process.map.find(truth.address)->path == "[heap]" ? 0 : truth.address.value() >> 26;
    };
    for (const unsigned arena : {0U, 1U, 2U}) {
        std::vector<Truth> candidates;
        for (const Truth& truth : process.blocks) {
            if (truth.arena == arena && truth.fate == "allocated") candidates.push_back(truth);
        }
        for (std::size_t i = 0; i < 12; ++i) {
            const Truth& victim = candidates[(i + 1) * candidates.size() / 14];
            const std::uint64_t size = victim.usable + 8;
            const std::uint64_t broken[] = {
                0, 1, 17, (size + 16) | 1, size + 8, 1ULL << 25, 1ULL << 63, ~0ULL << 4, ~0ULL};
            const OverwrittenMemory overwritten(memory, victim.address - 8, broken[i % std::size(broken)]);
            const auto found = find_heap_blocks(overwritten, process.map, addresses);
            INFO("arena " << arena << ", size " << size << " is " << broken[i % std::size(broken)]);
            std::size_t known = 0;
            for (std::size_t j = 0; j < found.size(); ++j) {
                if (heap_of(process.blocks[j]) == heap_of(victim)) {
                    REQUIRE(found[j].state == State::unknown);
                } else {
                    known += found[j].state != State::unknown;
                }
            }
            REQUIRE(known > 1000);
        }
    }
}

TEST_CASE("a broken head of an arena's heap makes it unknown", "[glibc_heap]") {
    const HeapProcess process("dynamic", false);
    const LiveMemory memory = process.memory();
    const auto truth = std::ranges::find(process.blocks, 2U, &Truth::arena);
    REQUIRE(truth != process.blocks.end());
    const RemoteAddress heap(truth->address.value() >> 26 << 26);
    const std::vector<RemoteAddress> addresses{truth->address};
    REQUIRE(find_heap_blocks(memory, process.map, addresses)[0].state != State::unknown);
    const std::pair<std::uint64_t, std::uint64_t> broken[] = {{0, 1},      {0, 0},           {16, 0},
                                                              {16, ~0ULL}, {16, 1ULL << 40}, {16, 4096}};
    for (const auto& [offset, word] : broken) {
        const OverwrittenMemory overwritten(memory, heap + offset, word);
        INFO(offset << ' ' << word);
        CHECK(find_heap_blocks(overwritten, process.map, addresses)[0].state == State::unknown);
    }
}

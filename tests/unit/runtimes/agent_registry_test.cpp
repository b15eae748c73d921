// The agent's registry as asyncdump reads it: made-up registries of other sizes, and hostile ones.
#include "runtimes/registry/agent_registry.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <map>
#include <random>

using namespace asyncdump;

namespace {

class MadeMemory final : public Memory {
  public:
    std::size_t read(RemoteAddress address, std::span<std::byte> destination) const override {
        auto after = segments_.upper_bound(address.value());
        if (after == segments_.begin()) return 0;
        const auto& [begin, bytes] = *std::prev(after);
        const std::uint64_t offset = address.value() - begin;
        if (offset >= bytes.size() || destination.empty()) return 0;
        const std::size_t count = std::min(destination.size(), bytes.size() - offset);
        std::memcpy(destination.data(), bytes.data() + offset, count);
        return count;
    }
    std::vector<std::byte>& make(std::uint64_t address, std::size_t size) {
        return segments_[address] = std::vector<std::byte>(size);
    }
    std::vector<std::byte>& at(std::uint64_t address) { return segments_.at(address); }
    template <class T>
    void put(std::uint64_t segment, std::uint64_t offset, const T& value) {
        std::memcpy(segments_.at(segment).data() + offset, &value, sizeof value);
    }

  private:
    std::map<std::uint64_t, std::vector<std::byte>> segments_;
};

constexpr std::uint64_t header_at = 0x1000, list_at = 0x100'000, table_at = 0x200'000, leaves_at = 0x400'000,
                        leaf_at = 0x500'000, counters_at = 0x700'000, chunks_at = 0x710'000,
                        origins_at = 0x720'000, annotation_chunks_at = 0x900'000, annotations_at = 0x910'000;
constexpr std::uint64_t region = 0x155, leaf_number = 77, granule = 1234;
constexpr std::uint64_t block_at = (region << 30) + (leaf_number << 17) + (granule << 5) + 8;

/// Every structure `extra` bytes larger than ours; of the header only `header_size` bytes are declared.
MadeMemory made(std::uint32_t extra, std::size_t header_size = sizeof(asyncdump_registry_header)) {
    MadeMemory memory;
    memory.make(header_at, sizeof(asyncdump_registry_header) + extra);
    memory.make(list_at, 64);
    memory.make(table_at, 1024 * (8 + extra));
    memory.make(leaves_at, 8192 * 8);
    memory.make(leaf_at, 4096 + 4096 * (16 + extra));
    memory.make(counters_at, sizeof(asyncdump_counters) + extra);
    memory.make(chunks_at, 8);
    memory.make(origins_at, 4096);
    memory.make(annotation_chunks_at, 8);
    memory.make(annotations_at, 100 * (sizeof(asyncdump_annotation) + extra));

    asyncdump_registry_header header{};
    header.magic = ASYNCDUMP_REGISTRY_MAGIC;
    header.version_major = ASYNCDUMP_VERSION_MAJOR;
    header.version_minor = 9;
    header.header_size = static_cast<std::uint32_t>(header_size);
    header.state = ASYNCDUMP_STATE_RECORDING;
    header.flags = ASYNCDUMP_FLAG_INTERPOSED;
    header.clock_unit_ns = 1'000'000;
    header.region_shift = 30, header.leaf_shift = 17, header.granule_shift = 5, header.address_bits = 47;
    header.record_offset = 4096, header.record_size = 16 + extra;
    header.region_list = {list_at, 1, 64, 0};
    header.region_table = {table_at, 1024, 8 + extra, 0};
    header.counters = {counters_at, 1, static_cast<std::uint32_t>(sizeof(asyncdump_counters) + extra), 0};
    header.origin_chunks = {chunks_at, 1, 8, 0};
    header.origin_chunk_shift = 16, header.origin_unit = 16;
    header.origin_header_size = static_cast<std::uint32_t>(sizeof(asyncdump_origin) + extra);
    header.annotation_chunks = {annotation_chunks_at, 1, 8, 0};
    header.annotation_chunk_shift = 13;
    header.annotation_size = static_cast<std::uint32_t>(sizeof(asyncdump_annotation) + extra);
    memory.put(header_at, 0, header);

    memory.put(list_at, 0, std::uint32_t{3});
    memory.put(list_at, 12, std::uint32_t{region + 1});  // the first is not written yet
    memory.put(list_at, 16, std::uint32_t{region + 1});  // twice
    memory.put(table_at, region * (8 + extra), leaves_at);
    memory.put(leaves_at, leaf_number * 8, leaf_at);
    memory.put(leaf_at, granule,
               static_cast<std::uint8_t>(ASYNCDUMP_SLOT_LIVE | ASYNCDUMP_SLOT_ANNOTATED |
                                         1 << ASYNCDUMP_SLOT_OFFSET_SHIFT));
    asyncdump_record record{};
    record.identity = std::uint64_t{160} << 46 | std::uint64_t{5} << 22 | 4711;
    record.creation = std::uint64_t{99} << 24 | 3;
    memory.put(leaf_at, 4096 + granule * (16 + extra), record);
    memory.put(chunks_at, 0, origins_at);
    memory.put(origins_at, 5 * 16, std::uint32_t{2});
    memory.put(origins_at, 5 * 16 + sizeof(asyncdump_origin) + extra, std::uint64_t{0x401000});
    memory.put(origins_at, 5 * 16 + sizeof(asyncdump_origin) + extra + 8, std::uint64_t{0x402000});
    memory.put(annotation_chunks_at, 0, annotations_at);
    asyncdump_annotation task{}, scope{};
    task.kind = ASYNCDUMP_ANNOTATION_TASK, task.parent = 4, task.subject = block_at + 40;
    std::memset(task.name, 'n', sizeof task.name);  // without an end
    std::strcpy(task.label, "waiting");
    scope.kind = ASYNCDUMP_ANNOTATION_SCOPE, scope.parent = 4;  // a circle
    std::strcpy(scope.name, "request");
    memory.put(annotations_at, 3 * (sizeof task + extra), task);
    memory.put(annotations_at, 4 * (sizeof task + extra), scope);
    return memory;
}

}  // namespace

TEST_CASE("a registry whose structures are as ours, or larger") {
    for (const std::uint32_t extra : {0U, 8U, 40U}) {
        const MadeMemory memory = made(extra, sizeof(asyncdump_registry_header) + extra);
        const auto registry = AgentRegistry::at(RemoteAddress(header_at), memory);
        REQUIRE(registry);
        CHECK(registry->why_incomplete(memory).empty());
        const auto blocks = registry->blocks(memory);
        REQUIRE(blocks.size() == 1);
        CHECK(blocks[0].address == RemoteAddress(block_at));
        CHECK(blocks[0].size == 160);
        CHECK(blocks[0].thread == 4711);
        CHECK(blocks[0].created == 99);
        CHECK(registry->stack(memory, blocks[0].origin) ==
              std::vector{RemoteAddress(0x401000), RemoteAddress(0x402000)});
        CHECK(registry->stack(memory, 0).empty());
        CHECK(registry->stack(memory, 0xffffff).empty());
        const auto annotations = registry->annotations(memory, blocks[0]);
        REQUIRE(annotations.size() == ASYNCDUMP_MAXIMUM_ANNOTATION_CHAIN + ASYNCDUMP_MAXIMUM_SCOPE_DEPTH);
        CHECK(annotations[0].is_task);
        CHECK(annotations[0].name == std::string(ASYNCDUMP_NAME_BYTES, 'n'));
        CHECK(annotations[0].label == "waiting");
        CHECK(annotations[0].subject == RemoteAddress(block_at + 40));
        CHECK(annotations[1].name == "request");
    }
}

TEST_CASE("a registry of an older agent, whose header ends earlier") {
    const MadeMemory memory = made(0, offsetof(asyncdump_registry_header, hooks));
    const auto registry = AgentRegistry::at(RemoteAddress(header_at), memory);
    REQUIRE(registry);
    CHECK(registry->blocks(memory).size() == 1);
    CHECK(registry->header().hooks.count == 0);
    CHECK(registry->header().adopt == 0);
}

TEST_CASE("what says that a registry does not know everything") {
    const auto why = [](auto change) {
        MadeMemory memory = made(0);
        change(memory);
        const auto registry = AgentRegistry::at(RemoteAddress(header_at), memory);
        REQUIRE(registry);
        return registry->why_incomplete(memory);
    };
    const auto flags = [&](std::uint32_t value) {
        return why([&](MadeMemory& memory) {
            memory.put(header_at, offsetof(asyncdump_registry_header, flags), value);
        });
    };
    CHECK(flags(ASYNCDUMP_FLAG_INTERPOSED | ASYNCDUMP_FLAG_DIRECT | ASYNCDUMP_FLAG_FORKED).empty());
    CHECK_FALSE(flags(ASYNCDUMP_FLAG_EXECUTABLE_DEFINES_NEW).empty());
    CHECK_FALSE(flags(ASYNCDUMP_FLAG_OTHER_LIBRARY_DEFINES_NEW).empty());
    CHECK_FALSE(flags(ASYNCDUMP_FLAG_EXECUTABLE_IMPORTS_NO_NEW).empty());
    CHECK_FALSE(flags(ASYNCDUMP_FLAG_PATCHED).empty());
    for (const std::size_t counter :
         {offsetof(asyncdump_counters, dropped_no_memory), offsetof(asyncdump_counters, dropped_outside),
          offsetof(asyncdump_counters, dropped_collisions), offsetof(asyncdump_counters, late_verdicts)}) {
        CHECK_FALSE(
            why([&](MadeMemory& memory) { memory.put(counters_at, counter, std::uint64_t{1}); }).empty());
    }
    CHECK_FALSE(why([](MadeMemory& memory) {
                    memory.put(header_at, offsetof(asyncdump_registry_header, state),
                               std::uint32_t{ASYNCDUMP_STATE_UNHOOKED});
                }).empty());
}

TEST_CASE("what is no registry") {
    const auto opens = [](auto change) {
        MadeMemory memory = made(0);
        change(memory);
        return AgentRegistry::at(RemoteAddress(header_at), memory).has_value();
    };
    CHECK(opens([](MadeMemory&) {}));
    CHECK_FALSE(opens([](MadeMemory& memory) { memory.put(header_at, 0, std::uint64_t{1}); }));
    CHECK_FALSE(opens([](MadeMemory& memory) { memory.put(header_at, 8, std::uint16_t{2}); }));
    CHECK_FALSE(opens([](MadeMemory& memory) { memory.put(header_at, 12, std::uint32_t{0xffffffff}); }));
    CHECK_FALSE(opens([](MadeMemory& memory) {
        memory.put(header_at, offsetof(asyncdump_registry_header, state), std::uint32_t{0});
    }));
    CHECK_FALSE(opens([](MadeMemory& memory) {
        memory.put(header_at, offsetof(asyncdump_registry_header, region_shift), std::uint32_t{63});
    }));
    CHECK_FALSE(opens([](MadeMemory& memory) {
        memory.put(header_at, offsetof(asyncdump_registry_header, record_size), std::uint32_t{0});
    }));
    CHECK_FALSE(AgentRegistry::at(RemoteAddress(0x7fff'0000'0000), made(0)));
}

TEST_CASE("hostile registries cost neither memory nor time without bound") {
    std::mt19937 random(7);
    for (int round = 0; round < 3000; ++round) {
        MadeMemory memory = made(0);
        for (const std::uint64_t segment :
             {header_at, list_at, leaf_at, chunks_at, origins_at, annotations_at}) {
            auto& bytes = memory.at(segment);
            for (int change = 0; change < 3; ++change) {
                const std::size_t from = segment == header_at ? 16 : 0;
                bytes[from + random() % (std::min<std::size_t>(bytes.size(), 512) - from)] =
                    static_cast<std::byte>(random());
            }
        }
        const auto registry = AgentRegistry::at(RemoteAddress(header_at), memory);
        if (!registry) continue;
        registry->why_incomplete(memory);
        for (const RegisteredBlock& block : registry->blocks(memory)) {
            CHECK(registry->stack(memory, block.origin).size() <= ASYNCDUMP_MAXIMUM_STACK_DEPTH);
            CHECK(registry->annotations(memory, block).size() <= 80);
        }
    }
}

TEST_CASE("the agent's debug information and its header tell the same layout") {
    const auto modules = ModuleSet::of_file(AGENT_LIBRARY, 0, {});
    REQUIRE(modules);
    RegistryLayout described;
    REQUIRE(described.place_by_debug_information(*modules->modules().front()));
    const RegistryLayout ours;
    std::vector<std::byte> bytes(1024);
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 256);
    const auto same = [](const auto& one, const auto& other) {
        return std::memcmp(&one, &other, sizeof one) == 0;
    };
    CHECK(same(described.header(bytes), ours.header(bytes)));
    CHECK(same(described.counters(bytes), ours.counters(bytes)));
    CHECK(same(described.record(bytes), ours.record(bytes)));
    CHECK(same(described.origin(bytes), ours.origin(bytes)));
    CHECK(same(described.annotation(bytes), ours.annotation(bytes)));
    CHECK(same(described.hook(bytes), ours.hook(bytes)));
}

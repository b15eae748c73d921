// The layout as readers see it: structures of other sizes, and the agent's DWARF against its
// self-description.
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <fcntl.h>
#include <gelf.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstddef>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "agent_registry_reader.h"
#include "agent_target.h"
#include "block_table.h"

using namespace agent_test;

namespace {

/// A registry that a different version of the agent might have written: every structure is `extra` bytes
/// larger, or the header and the annotations end earlier.
struct Made {
    explicit Made(std::size_t extra, std::size_t header_size)
        : leaf(4096 + 4096 * (16 + extra)),
          leaf_table(8192 * 8),
          region_table(kRegions * (8 + extra)),
          region_list(sizeof(asyncdump_region_list)),
          counters(sizeof(asyncdump_counters) + extra),
          origins(1 << 20),
          header(sizeof(asyncdump_registry_header) + extra) {
        asyncdump_registry_header described{};
        described.magic = ASYNCDUMP_REGISTRY_MAGIC;
        described.version_major = ASYNCDUMP_VERSION_MAJOR;
        described.version_minor = 9;
        described.header_size = static_cast<std::uint32_t>(header_size);
        described.state = ASYNCDUMP_STATE_RECORDING;
        described.region_shift = 30;
        described.leaf_shift = 17;
        described.granule_shift = 5;
        described.address_bits = 47;
        described.record_offset = 4096;
        described.record_size = static_cast<std::uint32_t>(16 + extra);
        const auto part = [](std::vector<unsigned char>& bytes, std::uint64_t count, std::size_t entry_size) {
            return asyncdump_part{reinterpret_cast<std::uint64_t>(bytes.data()), count,
                                  static_cast<std::uint32_t>(entry_size), 0};
        };
        described.region_list = part(region_list, 1, region_list.size());
        described.region_table = part(region_table, kRegions, 8 + extra);
        described.counters = part(counters, 1, sizeof(asyncdump_counters) + extra);
        described.origin_chunk_shift = 16;
        described.origin_unit = 16;
        described.origin_header_size = static_cast<std::uint32_t>(sizeof(asyncdump_origin) + extra);
        described.origin_chunks = part(chunk_directory, 1, 8);
        described.annotation_size = sizeof(asyncdump_annotation);
        std::memcpy(header.data(), &described, sizeof described);
        if (header_size < header.size())
            std::memset(header.data() + header_size, 0xee, header.size() - header_size);

        put(region_list, 0, std::uint32_t{2});
        put(region_list, 8, std::uint32_t{0});  // not written yet
        put(region_list, 12, std::uint32_t{kRegion + 1});
        put(region_table, kRegion * (8 + extra), reinterpret_cast<std::uint64_t>(leaf_table.data()));
        put(leaf_table, kLeaf * 8, reinterpret_cast<std::uint64_t>(leaf.data()));
        put(leaf, kGranule, std::uint8_t{ASYNCDUMP_SLOT_LIVE | 1 << ASYNCDUMP_SLOT_OFFSET_SHIFT});
        const asyncdump_record record = asyncdump::agent::make_record(160, 5, 4711, 99, 0);
        std::memcpy(leaf.data() + 4096 + kGranule * (16 + extra), &record, sizeof record);
        const std::uint64_t chunk = reinterpret_cast<std::uint64_t>(origins.data());
        chunk_directory.resize(8);
        std::memcpy(chunk_directory.data(), &chunk, 8);
        described.origin_chunks = part(chunk_directory, 1, 8);
        std::memcpy(header.data() + offsetof(asyncdump_registry_header, origin_chunks),
                    &described.origin_chunks,
                    std::min(sizeof described.origin_chunks,
                             header_size -
                                 std::min(header_size, offsetof(asyncdump_registry_header, origin_chunks))));
        put(origins, 5 * 16, std::uint32_t{2});
        put(origins, 5 * 16 + sizeof(asyncdump_origin) + extra, std::uint64_t{0x401000});
        put(origins, 5 * 16 + sizeof(asyncdump_origin) + extra + 8, std::uint64_t{0x402000});
    }

    template <class T>
    static void put(std::vector<unsigned char>& bytes, std::size_t offset, T value) {
        std::memcpy(bytes.data() + offset, &value, sizeof value);
    }

    std::optional<Registry> open() const {
        return Registry::open(own_memory(), reinterpret_cast<std::uint64_t>(header.data()));
    }

    static constexpr std::size_t kRegions = 1 << 17;
    static constexpr std::size_t kRegion = 0x155;
    static constexpr std::size_t kLeaf = 77;
    static constexpr std::size_t kGranule = 1234;
    static constexpr std::uint64_t kAddress = (kRegion << 30) + (kLeaf << 17) + (kGranule << 5) + 8;

    std::vector<unsigned char> leaf;
    std::vector<unsigned char> leaf_table;
    std::vector<unsigned char> region_table;
    std::vector<unsigned char> region_list;
    std::vector<unsigned char> counters;
    std::vector<unsigned char> origins;
    std::vector<unsigned char> chunk_directory = std::vector<unsigned char>(8);
    std::vector<unsigned char> header;
};

// ---- DWARF ----

struct Structure {
    std::uint64_t size = 0;
    std::map<std::string, std::uint64_t> members;
};

std::map<std::string, Structure> structures_of(const std::string& path) {
    std::map<std::string, Structure> found;
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    REQUIRE(file >= 0);
    Dwarf* debug = dwarf_begin(file, DWARF_C_READ);
    REQUIRE(debug != nullptr);
    Dwarf_Off offset = 0;
    Dwarf_Off next = 0;
    std::size_t header_size = 0;
    while (dwarf_nextcu(debug, offset, &next, &header_size, nullptr, nullptr, nullptr) == 0) {
        Dwarf_Die unit;
        Dwarf_Die child;
        if (dwarf_offdie(debug, offset + header_size, &unit) != nullptr && dwarf_child(&unit, &child) == 0)
            do {
                const char* name = dwarf_diename(&child);
                if (dwarf_tag(&child) != DW_TAG_structure_type || name == nullptr ||
                    std::strncmp(name, "asyncdump_", 10) != 0 || dwarf_bytesize(&child) <= 0)
                    continue;
                Structure& structure = found[name];
                structure.size = static_cast<std::uint64_t>(dwarf_bytesize(&child));
                Dwarf_Die member;
                if (dwarf_child(&child, &member) == 0) do {
                        Dwarf_Attribute attribute;
                        Dwarf_Word place = 0;
                        if (dwarf_tag(&member) == DW_TAG_member && dwarf_diename(&member) != nullptr &&
                            dwarf_attr(&member, DW_AT_data_member_location, &attribute) != nullptr &&
                            dwarf_formudata(&attribute, &place) == 0)
                            structure.members[dwarf_diename(&member)] = place;
                    } while (dwarf_siblingof(&member, &member) == 0);
            } while (dwarf_siblingof(&child, &child) == 0);
        offset = next;
    }
    dwarf_end(debug);
    close(file);
    return found;
}

// ---- ELF ----

struct Library {
    std::set<std::string> exports;
    std::set<std::string> needs;
    std::uint64_t thread_local_bytes = 0;
};

Library library_at(const std::string& path) {
    Library library;
    elf_version(EV_CURRENT);
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    REQUIRE(file >= 0);
    Elf* elf = elf_begin(file, ELF_C_READ, nullptr);
    std::size_t segments = 0;
    REQUIRE(elf_getphdrnum(elf, &segments) == 0);
    for (std::size_t i = 0; i < segments; ++i) {
        GElf_Phdr segment;
        if (gelf_getphdr(elf, static_cast<int>(i), &segment) != nullptr && segment.p_type == PT_TLS)
            library.thread_local_bytes += segment.p_memsz;
    }
    for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf, section)) != nullptr;) {
        GElf_Shdr header;
        if (gelf_getshdr(section, &header) == nullptr || header.sh_entsize == 0) continue;
        Elf_Data* data = elf_getdata(section, nullptr);
        const auto count = static_cast<int>(header.sh_size / header.sh_entsize);
        for (int i = 0; i < count; ++i) {
            GElf_Sym symbol;
            if (header.sh_type == SHT_DYNSYM && gelf_getsym(data, i, &symbol) != nullptr &&
                symbol.st_shndx != SHN_UNDEF)
                library.exports.insert(elf_strptr(elf, header.sh_link, symbol.st_name));
            GElf_Dyn entry;
            if (header.sh_type == SHT_DYNAMIC && gelf_getdyn(data, i, &entry) != nullptr &&
                entry.d_tag == DT_NEEDED)
                library.needs.insert(elf_strptr(elf, header.sh_link, entry.d_un.d_val));
        }
    }
    elf_end(elf);
    close(file);
    return library;
}

}  // namespace

TEST_CASE("The agent needs the C library only and exports what it stands in for") {
    const Library library = library_at(kAgent);
    CHECK(library.needs == std::set<std::string>{"ld-linux-x86-64.so.2", "libc.so.6"});
    CHECK(library.thread_local_bytes < 100);
    std::set<std::string> others;
    std::size_t operators = 0;
    for (const std::string& name : library.exports) {
        if (name.starts_with("_Zn") || name.starts_with("_Zd"))
            ++operators;
        else
            others.insert(name);
    }
    CHECK(operators == 20);
    CHECK(others == std::set<std::string>{"aligned_alloc", "asyncdump_registry", "calloc", "free", "malloc",
                                          "memalign", "posix_memalign", "realloc"});
}

TEST_CASE("A reader takes structures of the size that is declared") {
    for (const std::size_t extra : {std::size_t{0}, std::size_t{8}, std::size_t{48}}) {
        const Made made(extra, sizeof(asyncdump_registry_header) + extra);
        const auto registry = made.open();
        REQUIRE(registry);
        const auto entries = registry->entries();
        REQUIRE(entries.size() == 1);
        CHECK(entries[0].address == Made::kAddress);
        CHECK(entries[0].size == 160);
        CHECK(entries[0].thread == 4711);
        CHECK(entries[0].time == 99);
        CHECK(registry->stack(entries[0].origin) == std::vector<std::uint64_t>{0x401000, 0x402000});
        CHECK_FALSE(registry->incomplete());
    }
}

TEST_CASE("What a smaller header does not have is zero") {
    const Made made(0, offsetof(asyncdump_registry_header, hooks));
    const auto registry = made.open();
    REQUIRE(registry);
    CHECK(registry->header().hooks.count == 0);
    CHECK(registry->header().adopt == 0);
    CHECK(registry->entries().size() == 1);
}

TEST_CASE("Another major version or a wrong description is refused") {
    Made made(0, sizeof(asyncdump_registry_header));
    SECTION("magic") {
        made.header[0] ^= 1;
    }
    SECTION("major version") {
        made.header[8] ^= 1;
    }
    SECTION("header size") {
        Made::put(made.header, 12, std::uint32_t{0x7fffffff});
    }
    SECTION("geometry") {
        Made::put(made.header, offsetof(asyncdump_registry_header, leaf_shift), std::uint32_t{60});
    }
    SECTION("record size") {
        Made::put(made.header, offsetof(asyncdump_registry_header, record_size), std::uint32_t{1 << 30});
    }
    CHECK_FALSE(made.open());
}

TEST_CASE("The agent's DWARF types are the layout that it describes") {
    const auto structures = structures_of(kAgent);
    const auto& header = structures.at("asyncdump_registry_header");
    CHECK(header.size == sizeof(asyncdump_registry_header));
#define CHECK_MEMBER(structure, member) \
    CHECK(structures.at(#structure).members.at(#member) == offsetof(structure, member))
    CHECK_MEMBER(asyncdump_registry_header, magic);
    CHECK_MEMBER(asyncdump_registry_header, header_size);
    CHECK_MEMBER(asyncdump_registry_header, annotation_functions);
    CHECK_MEMBER(asyncdump_registry_header, state);
    CHECK_MEMBER(asyncdump_registry_header, flags);
    CHECK_MEMBER(asyncdump_registry_header, clock_id);
    CHECK_MEMBER(asyncdump_registry_header, region_shift);
    CHECK_MEMBER(asyncdump_registry_header, record_offset);
    CHECK_MEMBER(asyncdump_registry_header, region_list);
    CHECK_MEMBER(asyncdump_registry_header, region_table);
    CHECK_MEMBER(asyncdump_registry_header, sites);
    CHECK_MEMBER(asyncdump_registry_header, origin_chunks);
    CHECK_MEMBER(asyncdump_registry_header, annotation_chunks);
    CHECK_MEMBER(asyncdump_registry_header, counters);
    CHECK_MEMBER(asyncdump_registry_header, hooks);
    CHECK_MEMBER(asyncdump_registry_header, announce_patched);
    CHECK_MEMBER(asyncdump_record, creation);
    CHECK_MEMBER(asyncdump_counters, late_verdicts);
    CHECK_MEMBER(asyncdump_annotation, subject);
    CHECK_MEMBER(asyncdump_annotation, label);
    CHECK_MEMBER(asyncdump_region_list, numbers_plus_one);
    CHECK_MEMBER(asyncdump_hook, phase);
#undef CHECK_MEMBER

    Target target({kTargets + "agent_no_pie", "wait"}, {{"LD_PRELOAD", kAgent}});
    unsigned long address = 0;
    REQUIRE(std::sscanf(target.line().c_str(), "registry %lx", &address) == 1);
    const auto registry = Registry::open(memory_of(target.process()), address);
    REQUIRE(registry);
    const auto& described = registry->header();
    CHECK(described.header_size == header.size);
    CHECK(described.record_size == structures.at("asyncdump_record").size);
    CHECK(described.sites.entry_size == structures.at("asyncdump_site").size);
    CHECK(described.origin_header_size == structures.at("asyncdump_origin").size);
    CHECK(described.annotation_size == structures.at("asyncdump_annotation").size);
    CHECK(described.counters.entry_size == structures.at("asyncdump_counters").size);
    CHECK(described.region_list.entry_size == structures.at("asyncdump_region_list").size);
    CHECK(described.hooks.entry_size == structures.at("asyncdump_hook").size);
    CHECK(target.finish() == 0);
}

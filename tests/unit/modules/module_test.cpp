#include "modules/module.h"

#include <dwarf.h>
#include <elf.h>
#include <sys/stat.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "process/live_memory.h"
#include "sample_process.h"

using namespace asyncdump;
using namespace asyncdump::test;

namespace {

constexpr std::uint64_t some_bias = 0x7f12'3400'0000;

struct Range {
    Dwarf_Addr begin, end;
    Dwarf_Off die;
};

/// All code ranges of all subprograms, by visiting every DIE there is.
void collect_subprograms(Dwarf_Die die, std::vector<Range>& ranges) {
    if (dwarf_tag(&die) == DW_TAG_subprogram) {
        Dwarf_Addr base = 0, begin = 0, end = 0;
        for (ptrdiff_t offset = 0; (offset = dwarf_ranges(&die, offset, &base, &begin, &end)) > 0;)
            ranges.push_back({begin, end, dwarf_dieoffset(&die)});
    }
    Dwarf_Die child;
    if (dwarf_child(&die, &child) != 0) return;
    do collect_subprograms(child, ranges);
    while (dwarf_siblingof(&child, &child) == 0);
}

std::vector<Range> all_subprograms(const Module& module) {
    std::vector<Range> ranges;
    Dwarf_CU* unit = nullptr;
    Dwarf_Die root, split;
    std::uint8_t type = 0;
    while (dwarf_get_units(module.dwarf(), unit, &unit, nullptr, &type, &root, &split) == 0)
        collect_subprograms(type == DW_UT_skeleton ? split : root, ranges);
    return ranges;
}

std::string moved(const std::string& path) {
    return moved_debug_information + "/" + path;
}

std::vector<std::string> codes(const ModuleSet& set) {
    std::vector<std::string> result;
    for (const Problem& problem : set.problems()) result.push_back(problem.code);
    return result;
}

}  // namespace

TEST_CASE("symbols are function symbols in the order of their addresses, moved by the bias") {
    for (const Sample& sample : samples_of("calls")) {
        CAPTURE(sample.path);
        const auto plain = open_file(sample.path);
        const auto moved_set = open_file(sample.path, some_bias);
        const Module& module = *moved_set.modules()[0];
        const auto symbols = module.symbols();
        REQUIRE(symbols.size() == plain.modules()[0]->symbols().size());
        CHECK(module.has_symbol_table());
        CHECK(std::is_sorted(symbols.begin(), symbols.end(), [](const Symbol& a, const Symbol& b) {
            return a.address != b.address ? a.address < b.address : a.name < b.name;
        }));
        for (std::size_t i = 0; i < symbols.size(); ++i)
            CHECK(symbols[i].address - plain.modules()[0]->symbols()[i].address == some_bias);
        const auto main = module.find_symbol("main");
        REQUIRE(main);
        CHECK(main->is_global);
        CHECK(module.symbol_at(main->address)->name == "main");
        CHECK(module.symbol_at(main->address + (main->size - 1))->name == "main");
        const Symbol* behind = module.symbol_at(main->address + main->size);
        CHECK((!behind || behind->name != "main"));
        CHECK(moved_set.find(main->address) == &module);
        CHECK(moved_set.find(RemoteAddress(1)) == nullptr);
        REQUIRE(module.find_symbol("a_global_object"));
        CHECK(module.find_symbol("a_global_object")->size == 4);
        CHECK_FALSE(module.find_symbol("no_such_symbol"));
    }
}

TEST_CASE("any address of a subprogram leads to its unit and to the innermost subprogram") {
    for (const Sample& sample : samples) {
        CAPTURE(sample.path);
        const auto set = open_file(sample.path, some_bias);
        const Module& module = *set.modules()[0];
        REQUIRE(module.dwarf());
        const auto ranges = all_subprograms(module);
        REQUIRE(ranges.size() > 5);
        for (const Range& range : ranges) {
            for (const Dwarf_Addr address : {range.begin, (range.begin + range.end) / 2, range.end - 1}) {
                const Range* innermost = nullptr;
                for (const Range& other : ranges)
                    if (other.begin <= address && address < other.end &&
                        (!innermost || other.end - other.begin < innermost->end - innermost->begin))
                        innermost = &other;
                const auto unit = module.unit_at(module.from_dwarf(address));
                auto found = module.subprogram_at(module.from_dwarf(address));
                REQUIRE(unit);
                REQUIRE(found);
                CHECK(dwarf_dieoffset(&*found) == innermost->die);
                CHECK(dwarf_haspc(&*found, address) == 1);
            }
        }
        CHECK_FALSE(module.unit_at(module.range().begin));
        CHECK_FALSE(module.subprogram_at(module.range().end));
    }
}

TEST_CASE("debug information is found where it was moved to") {
    const auto whole = open_file(samples_of("calls").at(1).path);
    const auto check_same = [&](const ModuleSet& set, bool with_dwarf) {
        const Module& module = *set.modules()[0];
        const auto wanted = whole.modules()[0]->find_symbol("main");
        const auto found = module.find_symbol("main");
        REQUIRE(found);
        CHECK(found->address.value() == wanted->address.value() + some_bias);
        CHECK(module.has_symbol_table());
        CHECK(module.symbols().size() >= whole.modules()[0]->symbols().size());
        REQUIRE((module.dwarf() != nullptr) == with_dwarf);
        if (!with_dwarf) return;
        auto subprogram = module.subprogram_at(found->address);
        REQUIRE(subprogram);
        CHECK(std::string(dwarf_diename(&*subprogram)) == "main");
        CHECK(set.problems().empty());
    };
    SECTION("beside the file, by debug link") {
        const auto set = open_file(moved("by-link/calls"), some_bias);
        CHECK(set.modules()[0]->build_id().empty());
        check_same(set, true);
    }
    SECTION("in a folder of debug files, by build id") {
        ModuleSet::Options options;
        options.debug_directories = {moved("by-build-id")};
        const auto set = open_file(moved("by-build-id/calls"), some_bias, options);
        CHECK(set.modules()[0]->build_id().size() == 40);
        check_same(set, true);
    }
    SECTION("as compressed symbols in the file") {
        if (!std::filesystem::exists(moved("mini/calls"))) {
            WARN("skipped: xz was not there to make the sample");
            return;
        }
        check_same(open_file(moved("mini/calls"), some_bias), false);
    }
    SECTION("nowhere: each thing that is missing is one problem") {
        const auto set = open_file(moved("none/calls"), some_bias);
        const Module& module = *set.modules()[0];
        CHECK(set.problems().empty());
        CHECK_FALSE(module.has_symbol_table());
        CHECK(codes(set) == std::vector<std::string>{"missing_symbols"});
        CHECK(module.dwarf() == nullptr);
        CHECK_FALSE(module.unit_at(module.range().begin));
        CHECK_FALSE(module.subprogram_at(module.range().begin));
        CHECK(codes(set) == std::vector<std::string>{"missing_symbols", "missing_debug_info"});
        CHECK(set.problems()[1].subject == "calls");
        CHECK(set.problems()[1].message.find("no debug information for calls") == 0);
        CHECK(set.problems()[1].message.find("-g") != std::string::npos);
        CHECK_FALSE(set.problems()[1].may_hide);
    }
}

TEST_CASE("a debug file is used only if it is the right one, and only if it is a file") {
    const auto folder =
        std::filesystem::temp_directory_path() / ("asyncdump-link-" + std::to_string(getpid()));
    std::filesystem::create_directories(folder);
    std::filesystem::copy_file(moved("by-link/calls"), folder / "calls",
                               std::filesystem::copy_options::overwrite_existing);
    const auto debug_file = folder / "calls.debug";
    std::filesystem::remove(debug_file);
    const auto finds_debug_information = [&] {
        const auto set = open_file((folder / "calls").string());
        return set.modules()[0]->dwarf() != nullptr;
    };
    CHECK_FALSE(finds_debug_information());
    std::filesystem::copy_file(moved("by-link/calls.debug"), debug_file);
    CHECK(finds_debug_information());
    // Another version of it: the checksum in the link differs.
    std::ofstream(debug_file, std::ios::binary | std::ios::app) << "x";
    CHECK_FALSE(finds_debug_information());
    // To open a pipe would wait for ever.
    std::filesystem::remove(debug_file);
    REQUIRE(mkfifo(debug_file.c_str(), 0600) == 0);
    CHECK_FALSE(finds_debug_information());
    std::filesystem::remove_all(folder);
}

TEST_CASE("a .dwo file that is gone is a problem, not an error") {
    const auto folder =
        std::filesystem::temp_directory_path() / ("asyncdump-split-" + std::to_string(getpid()));
    for (const Sample& sample : samples_of("calls")) {
        if (sample.label != "split-dwarf") continue;
        CAPTURE(sample.path);
        // The name of the .dwo file is in the program; another name of the same length leads nowhere.
        std::ifstream in(sample.path, std::ios::binary);
        std::string bytes((std::istreambuf_iterator<char>(in)), {});
        for (std::size_t at = 0; (at = bytes.find(".dwo", at)) != bytes.npos; at += 4)
            bytes.replace(at, 4, ".no!");
        std::filesystem::create_directories(folder);
        const auto copy = folder / "calls";
        std::ofstream(copy, std::ios::binary) << bytes;
        const auto set = open_file(copy.string());
        const Module& module = *set.modules()[0];
        const auto main = module.find_symbol("main");
        REQUIRE(main);
        module.subprogram_at(main->address);
        CHECK(codes(set) == std::vector<std::string>{"missing_split_debug_info"});
        std::filesystem::remove_all(folder);
    }
}

TEST_CASE("read-only bytes and sections come from the file") {
    const auto set = open_file(samples_of("calls").at(0).path, some_bias);
    const Module& module = *set.modules()[0];
    const auto main = module.find_symbol("main");
    REQUIRE(main);
    std::byte code[4];
    CHECK(module.read_file_bytes(main->address, code) == 4);
    const unsigned char push_rbp[] = {0x55, 0x48, 0x89, 0xe5};  // push %rbp; mov %rsp, %rbp
    CHECK(std::memcmp(code, push_rbp, 4) == 0);
    // Data changes while the program runs: the file does not answer for it.
    CHECK(module.read_file_bytes(module.find_symbol("a_global_object")->address, code) == 0);
    CHECK(module.read_file_bytes(RemoteAddress(16), code) == 0);
    const auto text = module.section(".text");
    REQUIRE(text);
    CHECK(text->contains(main->address));
    CHECK_FALSE(module.section(".debug_info"));
    CHECK_FALSE(module.section(".no_such_section"));
    REQUIRE(module.executable_ranges().size() == 1);
    CHECK(module.executable_ranges()[0].contains(main->address));
    std::vector<std::byte> much(std::size_t{1} << 22);
    CHECK(module.read_file_bytes(main->address, much) < much.size());
}

TEST_CASE("files that are no programs are refused") {
    CHECK(ModuleSet::of_file("/no/such/file", 0, {}).error().code == ErrorCode::unreadable_file);
    CHECK(ModuleSet::of_file("/etc/passwd", 0, {}).error().code == ErrorCode::malformed);
    CHECK(ModuleSet::of_file("/dev/zero", 0, {}).error().code == ErrorCode::malformed);
    CHECK(ModuleSet::of_file("/", 0, {}).error().code != ErrorCode::system);
}

TEST_CASE("a damaged file ends in an error or in less, never in a crash") {
    std::ifstream in(samples_of("calls").at(0).path, std::ios::binary);
    const std::string original((std::istreambuf_iterator<char>(in)), {});
    const auto folder =
        std::filesystem::temp_directory_path() / ("asyncdump-damaged-" + std::to_string(getpid()));
    std::filesystem::create_directories(folder);
    const auto path = (folder / "program").string();
    const auto examine = [&](const std::string& bytes) {
        std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
        const auto set = ModuleSet::of_file(path, some_bias, {});
        if (!set) return;
        const Module& module = *set->modules()[0];
        std::size_t count = 0;
        for (const Symbol& symbol : module.symbols()) {
            module.subprogram_at(symbol.address);
            module.symbol_at(symbol.address + 1);
            if (++count > 20) break;
        }
        std::byte some[64];
        module.read_file_bytes(module.range().begin, some);
        module.section(".eh_frame_hdr");
    };
    for (std::size_t length = 0; length < original.size(); length += original.size() / 60 + 1)
        examine(original.substr(0, length));
    std::uint32_t random = 12345;
    for (int round = 0; round < 200; ++round) {
        std::string bytes = original;
        for (int i = 0; i < 20; ++i) {
            random = random * 1664525U + 1013904223U;
            // The headers in the beginning and the section headers at the end decide the most.
            const std::size_t region = round % 3 == 0 ? 1024 : bytes.size();
            const std::size_t at = round % 3 == 1 ? bytes.size() - 1 - random % 2600 : random % region;
            bytes[at] = static_cast<char>(random >> 24);
        }
        examine(bytes);
    }
    std::filesystem::remove_all(folder);
}

TEST_CASE("the files of a process lie where the process has them") {
    for (const Sample& sample : samples_of("calls")) {
        CAPTURE(sample.path);
        const SampleProcess process(sample.path);
        const auto map = MemoryMap::read(process.pid());
        REQUIRE(map);
        const auto set = ModuleSet::of_process(process.pid(), *map, {});
        const auto main = process.address_of("main");
        const Module* module = set.find(main);
        REQUIRE(module);
        CHECK(module->path() == std::filesystem::canonical(sample.path).string());
        REQUIRE(module->symbol_at(main));
        CHECK(module->symbol_at(main)->address == main);
        CHECK(module->symbol_at(main)->name == "main");
        CHECK(module->find_symbol("a_global_object")->address == process.address_of("a_global_object"));
        CHECK((module->bias() == 0) == (sample.label == "no-pie" || sample.label == "static"));
        const auto names = [&](const std::string& name) {
            return std::count_if(set.modules().begin(), set.modules().end(),
                                 [&](const auto& m) { return m->name().find(name) == 0; });
        };
        CHECK(names("[vdso]") == 1);
        if (sample.label != "static") CHECK(names("libc.so") == 1);
        for (std::size_t i = 0; i < set.modules().size(); ++i) {
            const Module& one = *set.modules()[i];
            CHECK_FALSE(one.executable_ranges().empty());
            for (const AddressRange& range : one.executable_ranges()) {
                CHECK(one.range().begin <= range.begin);
                CHECK(range.end <= one.range().end);
            }
            if (i > 0) CHECK(set.modules()[i - 1]->range().end <= one.range().begin);
        }
        CHECK(set.problems().empty());
    }
}

TEST_CASE("the vdso of a process has symbols") {
    const SampleProcess process(samples_of("calls").at(0).path);
    const auto set = ModuleSet::of_process(process.pid(), *MemoryMap::read(process.pid()), {});
    for (const auto& module : set.modules()) {
        if (module->name() != "[vdso]") continue;
        CHECK(module->find_symbol("__vdso_clock_gettime"));
        CHECK(module->section(".eh_frame_hdr"));
        CHECK(module->dwarf() == nullptr);
        CHECK(set.problems().empty());
    }
}

TEST_CASE("a program that was deleted while it runs is still read") {
    const auto copy =
        std::filesystem::temp_directory_path() / ("asyncdump-deleted-" + std::to_string(getpid()));
    std::filesystem::copy_file(samples_of("calls").at(0).path, copy,
                               std::filesystem::copy_options::overwrite_existing);
    const SampleProcess process(copy.string());
    std::filesystem::remove(copy);
    const auto set = ModuleSet::of_process(process.pid(), *MemoryMap::read(process.pid()), {});
    const Module* module = set.find(process.address_of("main"));
    REQUIRE(module);
    CHECK(module->path() == copy.string());
    CHECK(module->symbol_at(process.address_of("main"))->name == "main");
    CHECK(module->subprogram_at(process.address_of("main")));
}

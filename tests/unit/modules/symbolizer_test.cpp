#include "modules/symbolizer.h"

#include <catch2/catch.hpp>

#include "modules/coroutine_symbol.h"
#include "sample_process.h"

using namespace asyncdump;
using namespace asyncdump::test;

namespace {

bool ends_with_calls_cpp(const std::string& file) {
    return file.ends_with("/samples/calls.cpp") && file[0] == '/';
}

}  // namespace

TEST_CASE("inlined calls are told one by one with the lines of the calls") {
    for (const Sample& sample : samples_of("calls")) {
        CAPTURE(sample.path);
        const SampleProcess process(sample.path);
        const auto set = ModuleSet::of_process(process.pid(), *MemoryMap::read(process.pid()), {});
        Symbolizer symbolizer(set, {});
        const auto& call = process.inlined_call();
        const auto& positions = symbolizer.at(call.return_address, true);
        REQUIRE(positions.size() >= 3);
        const char* const names[] = {"app::inlined_innermost(int, int)", "app::inlined_middle(int)",
                                     "app::calls_inlined()"};
        for (std::size_t i = 0; i < 3; ++i) {
            CHECK(positions[i].function == names[i]);
            CHECK(positions[i].line == call.lines[i]);
            CHECK(ends_with_calls_cpp(positions[i].file));
            CHECK(positions[i].module == set.find(call.return_address)->name());
            CHECK(positions[i].inlined == (i + 1 < positions.size()));
        }
        CHECK(positions[0].column > 0);
        CHECK(positions[2].linkage_name == "_ZN3app13calls_inlinedEv");
        // The same again comes from the cache, and stays where it is.
        CHECK(&symbolizer.at(call.return_address, true) == &positions);
    }
}

TEST_CASE("without debug information a function has its symbol's name, without symbols none") {
    const auto whole_set = open_file(samples_of("calls").at(1).path);
    const auto address = whole_set.modules()[0]->find_symbol("_ZN3app13calls_inlinedEv")->address;
    SECTION("only symbols") {
        if (access((moved_debug_information + "/mini/calls").c_str(), R_OK) != 0) {
            WARN("skipped: xz was not there to make the sample");
            return;
        }
        const auto set = open_file(moved_debug_information + "/mini/calls");
        Symbolizer symbolizer(set, {});
        const auto& positions = symbolizer.at(address, false);
        REQUIRE(positions.size() == 1);
        CHECK(positions[0].function == "app::calls_inlined()");
        CHECK(positions[0].linkage_name == "_ZN3app13calls_inlinedEv");
        CHECK(positions[0].file.empty());
        CHECK(positions[0].line == 0);
        CHECK_FALSE(positions[0].inlined);
    }
    SECTION("nothing") {
        const auto set = open_file(moved_debug_information + "/none/calls");
        Symbolizer symbolizer(set, {});
        const auto& positions = symbolizer.at(address, false);
        REQUIRE(positions.size() == 1);
        CHECK(positions[0].function.empty());
        CHECK(positions[0].module == "calls");
    }
    SECTION("outside of everything") {
        const auto set = open_file(samples_of("calls").at(1).path, 0x5555'0000'0000);
        Symbolizer symbolizer(set, {});
        for (const std::uint64_t odd : {std::uint64_t{0}, std::uint64_t{1}, ~std::uint64_t{0}}) {
            const auto& positions = symbolizer.at(RemoteAddress(odd), true);
            REQUIRE(positions.size() == 1);
            CHECK(positions[0].function.empty());
            CHECK(positions[0].module.empty());
        }
    }
}

TEST_CASE("all code of a program has a name; coroutine parts have that of the function the user wrote") {
    for (const Sample& sample : samples) {
        CAPTURE(sample.path);
        const auto set = open_file(sample.path);
        const Module& module = *set.modules()[0];
        Symbolizer symbolizer(set, {});
        for (const Symbol& symbol : module.symbols()) {
            if (sample.label == "static" && symbol.address.value() % 7 != 0)
                continue;  // the C library: a part will do
            for (std::uint64_t offset = 0; offset < symbol.size && offset < 400; offset += 7) {
                const auto& positions = symbolizer.at(symbol.address + offset, false);
                REQUIRE_FALSE(positions.empty());
                CHECK_FALSE(positions.back().function.empty());
                CHECK_FALSE(positions.back().inlined);
                for (const CodePosition& position : positions) {
                    CHECK(position.function.find(".Frame") == std::string::npos);
                    CHECK(position.function.find("[clone") == std::string::npos);
                }
            }
            const auto coroutine = parse_coroutine_symbol(symbol.name);
            if (!coroutine) continue;
            CAPTURE(symbol.name);
            const CodePosition& part = symbolizer.at(symbol.address, false).back();
            CHECK(part.function == demangle(coroutine->ramp));
            const auto by_name = parse_coroutine_symbol(part.linkage_name);
            REQUIRE(by_name);
            CHECK(by_name->kind == coroutine->kind);
            CHECK(by_name->ramp == coroutine->ramp);
        }
    }
}

TEST_CASE("full names keep what the compiler wrote") {
    for (const Sample& sample : samples_of("coroutines")) {
        const auto set = open_file(sample.path);
        const auto symbol = set.modules()[0]->find_symbol(
            "_ZNK5outer6Object6memberENSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE");
        if (!symbol) continue;
        Symbolizer shortened(set, {});
        Symbolizer full(set, NameStyle{true});
        CHECK(shortened.at(symbol->address, false).back().function ==
              "outer::Object::member(std::string) const");
        CHECK(full.at(symbol->address, false).back().function ==
              "outer::Object::member(std::__cxx11::basic_string<char, std::char_traits<char>, "
              "std::allocator<char> >) const");
    }
}

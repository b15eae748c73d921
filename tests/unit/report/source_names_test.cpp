#include "report/source_names.h"

#include <catch2/catch.hpp>

#include "dump_builder.h"

using namespace asyncdump;
using namespace asyncdump::tests;

TEST_CASE("a source file is told by as many folders as it takes") {
    Dump dump;
    const std::string alone = "/src/net/session.cpp", other = "/src/db/session.cpp",
                      spelt = "/build/../src/net/session.cpp", single = "/build/../src/main.cpp";
    for (const std::string& file : {alone, single}) dump.observed.locations.push_back({file, 1, 0, true, 0});
    CHECK(SourceNames(dump, true).of(alone) == "session.cpp");
    CHECK(SourceNames(dump, true).position(single, 7) == "main.cpp:7");
    SECTION("beside another one of its name") {
        dump.observed.locations.push_back({other, 1, 0, true, 0});
        CHECK(SourceNames(dump, true).of(alone) == "net/session.cpp");
        CHECK(SourceNames(dump, true).of(other) == "db/session.cpp");
    }
    SECTION("spelt in two ways it is one file") {
        dump.observed.locations.push_back({spelt, 1, 0, true, 0});
        CHECK(SourceNames(dump, true).of(alone) == "session.cpp");
        CHECK(SourceNames(dump, true).of(spelt) == "session.cpp");
    }
}

#include "runtimes/cpp20/coroutine_catalog.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "sample_files.h"

using namespace asyncdump;
using namespace asyncdump::cpp20;

TEST_CASE("of functions that share their code the first answers, and the others are known", "[catalog]") {
    const ModuleSet modules = open_sample("shared_code.any");
    const CoroutineCatalog catalog(modules);
    const auto& functions = catalog.functions();
    REQUIRE(functions.size() == 3);
    const auto number_of = [&](std::string_view symbol) {
        const auto found = std::ranges::find(functions, symbol, &CoroutineCode::ramp_symbol);
        REQUIRE(found != functions.end());
        return static_cast<std::uint32_t>(found - functions.begin());
    };
    const std::uint32_t first = number_of("_Z5firstv"), second = number_of("_Z6secondv"),
                        third = number_of("_Z5thirdv");
    const auto [answers, other] = std::minmax(first, second);
    const RemoteAddress destroy = functions[third].destroy.begin;
    REQUIRE(functions[first].resume == functions[second].resume);
    REQUIRE(functions[first].destroy.begin == destroy);

    const auto suspended = catalog.identify(functions[first].resume.begin, destroy);
    REQUIRE(suspended);
    CHECK(suspended->function == answers);
    CHECK(catalog.with_the_same_code(answers, false) == std::vector{other});
    const auto running = catalog.part_at(functions[first].resume.begin);
    REQUIRE(running);
    CHECK(running->function == answers);

    const auto alone = catalog.identify(functions[third].resume.begin, destroy);
    REQUIRE(alone);
    CHECK(alone->function == third);
    CHECK(catalog.with_the_same_code(third, false).empty());

    const auto done = catalog.identify(RemoteAddress(0), destroy);
    REQUIRE(done);
    CHECK(done->done);
    CHECK(done->function == std::min(answers, third));
    CHECK(catalog.with_the_same_code(done->function, true).size() == 2);
}

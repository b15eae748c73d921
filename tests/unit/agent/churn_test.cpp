// A target that creates and destroys coroutines as fast as it can, stopped and read from outside: nothing
// lost, nothing invented. ASYNCDUMP_CHURN_OPERATIONS says how many operations (10^7 by default, 10^9 for a
// night).
#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <set>

#include "agent_churn.h"
#include "agent_registry_reader.h"
#include "agent_target.h"

using namespace agent_test;

namespace {

constexpr int kThreads = 4;

struct Tally {
    std::uint64_t looks = 0;
    std::uint64_t compared = 0;
    std::uint64_t lost = 0;
    std::uint64_t invented = 0;
    std::uint64_t twice = 0;
};

/// Compares registry and truth; `underway` frames may be in the registry alone. The target is stopped or at
/// rest.
void compare(const ReadMemory& read, std::uint64_t truth_address, std::uint64_t registry_address,
             std::size_t underway, Tally& tally) {
    const auto truth = std::make_unique<Truth>();
    REQUIRE(read(truth_address, static_cast<void*>(truth.get()), sizeof(Truth)));
    const auto registry = Registry::open(read, registry_address);
    REQUIRE(registry);
    REQUIRE_FALSE(registry->incomplete());
    const std::set<std::uint64_t> destroy_functions(std::begin(truth->destroy_functions),
                                                    std::end(truth->destroy_functions));
    std::set<std::uint64_t> live;
    std::set<std::uint64_t> ending;
    for (const auto& slot : truth->slots) {
        const std::uint64_t value = slot.load();
        if (value != 0) ((value & kEnding) != 0 ? ending : live).insert(value & ~kEnding);
    }
    std::set<std::uint64_t> registered;
    std::size_t unknown = 0;
    for (const Entry& entry : registry->entries()) {
        if (!registered.insert(entry.address).second) ++tally.twice;
        std::uint64_t words[2] = {};
        if (entry.size < sizeof words || !read(entry.address, words, sizeof words)) continue;
        if (!destroy_functions.contains(words[1])) continue;  // a plain block of a site that is being judged
        if (!live.contains(entry.address) && !ending.contains(entry.address)) ++unknown;
    }
    if (unknown > underway) tally.invented += unknown - underway;
    for (const std::uint64_t frame : live)
        if (!registered.contains(frame)) ++tally.lost;
    tally.compared += live.size();
    ++tally.looks;
}

/// Enough for a slow machine under a sanitizer.
unsigned seconds_for(std::uint64_t operations) {
    return 300 + static_cast<unsigned>(operations / 50'000);
}

void churn(const std::string& program, const std::string& preload, std::uint64_t operations) {
    INFO(program << " under " << preload);
    Target target({kTargets + program, std::to_string(operations), std::to_string(kThreads)},
                  {{"LD_PRELOAD", preload}}, seconds_for(operations));
    unsigned long truth_address = 0;
    unsigned long registry_address = 0;
    REQUIRE(std::sscanf(target.line().c_str(), "truth %lx registry %lx", &truth_address, &registry_address) ==
            2);
    const ReadMemory read = memory_of(target.process());
    target.say("go\n");

    Tally tally;
    std::uint64_t done = 0;
    const std::uint64_t target_operations = operations / kThreads * kThreads;
    while (done < target_operations) {
        // With the first sight of a stop all threads have stopped.
        REQUIRE(kill(target.process(), SIGSTOP) == 0);
        int status = 0;
        REQUIRE(waitpid(target.process(), &status, WUNTRACED) == target.process());
        REQUIRE(WIFSTOPPED(status));
        compare(read, truth_address, registry_address, kThreads, tally);
        REQUIRE(read(truth_address + offsetof(Truth, operations), &done, sizeof done));
        kill(target.process(), SIGCONT);
        // A reader while it runs must find nothing that it could not bear.
        const auto registry = Registry::open(read, registry_address);
        REQUIRE(registry);
        registry->entries();
    }
    REQUIRE(target.line() == "rest");
    compare(read, truth_address, registry_address, 0, tally);
    CHECK(target.finish() == 0);

    CHECK(tally.lost == 0);
    CHECK(tally.invented == 0);
    CHECK(tally.twice == 0);
    CHECK(tally.looks >= 2);
    std::cout << program << ": " << operations << " operations, " << tally.looks << " looks, "
              << tally.compared << " frames compared, " << tally.lost << " lost, " << tally.invented
              << " invented\n";
}

std::uint64_t operations_in_all() {
    const char* text = std::getenv("ASYNCDUMP_CHURN_OPERATIONS");
    return text != nullptr ? std::strtoull(text, nullptr, 10) : 10'000'000;
}

}  // namespace

TEST_CASE("Churn seen from outside: nothing lost, nothing invented") {
    const auto all = variants();
    REQUIRE_FALSE(all.empty());
    for (const auto& variant : all) churn("agent_churn_" + variant, kAgent, operations_in_all() / all.size());
}

TEST_CASE("Churn with another allocator") {
    for (const std::string allocator : {AGENT_TEST_TCMALLOC, AGENT_TEST_JEMALLOC}) {
        if (allocator.empty()) {
            std::cout << "skipped for one allocator: tcmalloc or jemalloc is not installed\n";
            continue;
        }
        churn("agent_churn_" + variants().back(), kAgent + ":" + allocator, operations_in_all() / 20);
    }
}

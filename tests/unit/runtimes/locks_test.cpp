#include "runtimes/cpp20/locks.h"

#include <catch2/catch.hpp>
#include <map>

#include "runtimes/cpp20/coroutine_catalog.h"
#include "sample_files.h"

using namespace asyncdump;
using namespace asyncdump::cpp20;

namespace {

constexpr std::uint64_t lock = 0x7000'0000'1000, other_lock = 0x7000'0000'1100;
constexpr std::uint64_t holder_at = 0x7000'0000'2000, waiter_at = 0x7000'0000'3000;
constexpr std::uint64_t pages_begin = 0x7000'0000'0000, pages_end = 0x7000'0000'4000;

/// Words that are zero where nothing is said.
class Pages final : public Memory {
  public:
    std::map<std::uint64_t, std::uint64_t> words;

    std::size_t read(RemoteAddress address, std::span<std::byte> destination) const override {
        if (address.value() < pages_begin || address.value() >= pages_end) return 0;
        const std::size_t count = std::min<std::size_t>(destination.size(), pages_end - address.value());
        std::fill_n(destination.begin(), count, std::byte{0});
        for (const auto& [place, word] : words) {
            for (std::size_t i = 0; i < 8; ++i) {
                if (place + i >= address.value() && place + i < address.value() + count)
                    destination[place + i - address.value()] = static_cast<std::byte>(word >> (8 * i) & 0xFF);
            }
        }
        return count;
    }
};

/// Two frames of the sample's coroutine in made memory: one stands behind its first guard, the other before
/// it.
struct Scene {
    ModuleSet modules;
    mutable SuspendPointResolver resolver{modules, {}};
    mutable TypeTable types;
    std::map<std::string, std::uint32_t> truth;
    CoroutineCatalog catalog;
    FrameLayout layout;
    Pages memory;
    std::vector<Frame> frames;
    SuspendPoint holding, waiting;
    Observation observation;

    explicit Scene(const std::string& label)
        : modules(open_sample("locks." + label)),
          truth(run_sample("locks." + label)),
          catalog(modules),
          layout(LayoutCache(catalog).of(0)) {
        for (const std::uint64_t address : {holder_at, waiter_at}) {
            Frame frame;
            frame.address = RemoteAddress(address);
            frame.extent = 0x100;
            frame.owns_block = true;
            frames.push_back(frame);
            ObservedCoroutine coroutine;
            coroutine.address = frame.address;
            coroutine.state = CoroutineState::suspended;
            observation.coroutines.push_back(coroutine);
        }
        holding.kind = waiting.kind = SuspendPoint::Kind::await;
        holding.location = SourceLocation{"locks.cpp", truth.at("outer_await"), 0, true, 0};
        waiting.location = SourceLocation{"locks.cpp", truth.at("guard_line") - 1, 0, true, 0};
        waiting.awaiter_type = "ns::Mutex::Awaiter";
        memory.words[holder_at + truth.at("guard")] = lock;
        memory.words[waiter_at + 0x80] = lock;
        memory.words[lock + 8] = waiter_at;  // Mutex::waiters_
    }

    std::vector<ObservedLock> locks() const {
        const MemoryMap map = MemoryMap::parse("700000000000-700000004000 rw-p 00000000 00:00 0\n");
        FrameView holder_view, waiter_view;
        holder_view.layout = waiter_view.layout = &layout;
        holder_view.point = &holding;
        waiter_view.point = &waiting;
        const std::vector<FrameView> views = {holder_view, waiter_view};
        const std::vector<AddressRange> extents = {frames[0].range(), frames[1].range()};
        const FrameIndex index(extents);
        return find_locks({memory, frames, views, index, {}}, map, catalog, resolver, types, observation);
    }
};

std::vector<std::string> unoptimised_samples() {
    std::vector<std::string> labels;
    for (const std::string& label : frame_samples()) {
        if (label.ends_with("O0")) labels.push_back(label);
    }
    if (labels.empty()) WARN("skipped: no compiler for the sample");
    return labels;
}

}  // namespace

TEST_CASE("who holds a lock by a guard, and who waits for it", "[locks]") {
    for (const std::string& label : unoptimised_samples()) {
        INFO(label);
        const Scene scene(label);
        const auto locks = scene.locks();
        REQUIRE(locks.size() == 1);
        CHECK(locks[0].address.value() == lock);
        CHECK(locks[0].type == "ns::Mutex");
        CHECK_FALSE(locks[0].blocks_threads);
        CHECK_FALSE(locks[0].has_several_permits);
        REQUIRE(locks[0].holders.size() == 1);
        CHECK(locks[0].holders[0].coroutine == 0);
        CHECK(locks[0].holders[0].evidence == "its local variable guard (ns::Mutex::Guard) refers to it");
        CHECK(locks[0].waiters == std::vector<std::uint32_t>{1});
    }
}

TEST_CASE("what is no proof of holding or waiting", "[locks]") {
    for (const std::string& label : unoptimised_samples()) {
        INFO(label);
        {
            Scene nobody_waits(label);
            nobody_waits.memory.words.erase(lock + 8);
            CHECK(nobody_waits.locks().empty());
        }
        {
            Scene guard_is_dead(label);
            guard_is_dead.holding.location->line = guard_is_dead.truth.at("guard_line") - 1;
            const auto locks = guard_is_dead.locks();
            REQUIRE(locks.size() == 1);
            CHECK(locks[0].holders.empty());
            CHECK(locks[0].waiters == std::vector<std::uint32_t>{1});
        }
        {
            Scene moved_from(label);
            moved_from.memory.words[holder_at + moved_from.truth.at("guard")] = 0;
            const auto locks = moved_from.locks();
            REQUIRE(locks.size() == 1);
            CHECK(locks[0].holders.empty());
        }
        {
            Scene two_could_be_it(label);
            two_could_be_it.memory.words[waiter_at + 0x88] = other_lock;
            two_could_be_it.memory.words[other_lock + 8] = waiter_at;
            for (const ObservedLock& one : two_could_be_it.locks()) CHECK(one.waiters.empty());
        }
        {
            Scene runs(label);
            runs.observation.coroutines[0].state = CoroutineState::running;
            const auto locks = runs.locks();
            REQUIRE(locks.size() == 1);
            CHECK(locks[0].holders.empty());
        }
    }
}

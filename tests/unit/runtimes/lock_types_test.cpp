#include "runtimes/cpp20/lock_types.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "runtimes/cpp20/coroutine_catalog.h"
#include "runtimes/cpp20/frame_locals.h"
#include "runtimes/cpp20/frames.h"
#include "sample_files.h"

using namespace asyncdump;
using namespace asyncdump::cpp20;

TEST_CASE("locks are known by their names", "[lock_types]") {
    for (const char* name :
         {"Mutex", "std::mutex", "cppcoro::async_mutex", "folly::coro::Mutex", "AsyncLock",
          "ns::FairSemaphore", "base::SpinLock<true>", "Mutex::State", "Pool<Lock>::RwLock"}) {
        INFO(name);
        CHECK(is_lock_name(name));
    }
    for (const char* name :
         {"std::lock_guard<std::mutex>", "std::unique_lock<std::mutex>", "Mutex::Guard", "async_mutex_lock",
          "Mutex::Awaiter", "async_mutex::lock_operation", "Clock", "BlockCache", "Unlocker",
          "Semaphore::Permit", "std::vector<Mutex>", "State", "Permit::State", "LockFreeQueue<int>",
          "lockless::Ring", "Lock_Free_Stack", ""}) {
        INFO(name);
        CHECK_FALSE(is_lock_name(name));
    }
}

TEST_CASE("locks that block threads, and such that several may hold", "[lock_types]") {
    for (const char* name : {"std::mutex", "std::recursive_mutex", "std::shared_timed_mutex", "boost::mutex",
                             "pthread_mutex_t", "absl::Mutex", "QMutex"}) {
        INFO(name);
        CHECK(blocks_threads(name));
    }
    for (const char* name :
         {"Mutex", "cppcoro::async_mutex", "std::unique_lock<std::mutex>", "boost::asio::mutex"})
        CHECK_FALSE(blocks_threads(name));
    for (const char* name : {"Semaphore", "std::shared_mutex", "RWLock", "ReadLock"})
        CHECK(has_several_permits(name));
    for (const char* name : {"std::mutex", "Mutex", "shared::Mutex"}) CHECK_FALSE(has_several_permits(name));
}

TEST_CASE("guards, awaiters and locks in debug information", "[lock_types]") {
    if (frame_samples().empty()) WARN("skipped: no compiler for the sample");
    for (const std::string& label : frame_samples()) {
        INFO(label);
        const ModuleSet modules = open_sample("locks." + label);
        const CoroutineCatalog catalog(modules);
        TypeTable types;
        REQUIRE(catalog.functions().size() == 1);
        const CoroutineCode& code = catalog.functions()[0];
        const auto unit = code.module->unit_at(code.resume.begin);
        REQUIRE(unit);
        const auto type = [&](const char* name) {
            const auto found = find_class(*unit, name);
            if (!found) FAIL(name);
            return *found;
        };
        CHECK_FALSE(find_class(*unit, "ns::NoSuchClass"));

        const auto named = guard_shape(type("ns::Mutex::Guard"), types);
        REQUIRE(named);
        CHECK(named->type == "ns::Mutex::Guard");
        REQUIRE(named->pointers.size() == 1);
        CHECK(named->pointers[0].offset == 0);
        CHECK(named->pointers[0].type == "ns::Mutex");
        CHECK(named->pointers[0].lock_size == 16);
        CHECK_FALSE(named->owns_flag);

        const auto with_flag = guard_shape(type("ns::UniqueLock"), types);
        REQUIRE(with_flag);
        CHECK(with_flag->owns_flag == 16U);
        REQUIRE(with_flag->pointers.size() == 1);
        CHECK(with_flag->pointers[0].offset == 8);

        // Known by its destructor alone, with the pointer in a member of a member.
        const auto plain = guard_shape(type("ns::Releases"), types);
        REQUIRE(plain);
        REQUIRE(plain->pointers.size() == 1);
        CHECK(plain->pointers[0].offset == 8);

        for (const char* name : {"ns::Mutex::Awaiter", "ns::Mutex", "ns::Mentions", "ns::EmptyGuard"}) {
            INFO(name);
            CHECK_FALSE(guard_shape(type(name), types));
        }
        CHECK(lock_pointers(type("ns::Mutex::Awaiter"), types).size() == 1);
        CHECK(lock_pointers(type("ns::EmptyGuard"), types).empty());
    }
}

TEST_CASE("locals of a frame, and which live at a suspend point", "[frame_locals]") {
    for (const std::string& label : frame_samples()) {
        // At -O2 compilers describe what is left of them.
        if (!label.ends_with("O0")) continue;
        INFO(label);
        const auto truth = run_sample("locks." + label);
        const ModuleSet modules = open_sample("locks." + label);
        const CoroutineCatalog catalog(modules);
        TypeTable types;
        const auto locals = read_frame_locals(catalog.functions().at(0), LayoutCache(catalog).of(0));
        const auto local = [&](const char* name) {
            const auto found = std::ranges::find(locals, name, &FrameLocal::name);
            if (found == locals.end()) FAIL(name);
            return *found;
        };
        const FrameLocal guard = local("guard"), inner = local("inner");
        CHECK(guard.offset == truth.at("guard"));
        CHECK(inner.offset == truth.at("inner"));
        CHECK(guard.line == truth.at("guard_line"));
        CHECK(guard_shape(guard.type, types).has_value());

        SuspendPoint point;
        point.kind = SuspendPoint::Kind::await;
        const auto at_line = [&](std::uint32_t line) {
            point.location = SourceLocation{"locks.cpp", line, 0, true, 0};
            return point;
        };
        CHECK(is_live(guard, at_line(truth.at("inner_await"))));
        CHECK(is_live(inner, at_line(truth.at("inner_await"))));
        CHECK(is_live(guard, at_line(truth.at("outer_await"))));
        CHECK_FALSE(is_live(inner, at_line(truth.at("outer_await"))));
        CHECK_FALSE(is_live(guard, at_line(truth.at("guard_line"))));
        CHECK_FALSE(is_live(guard, at_line(truth.at("guard_line") - 1)));
        // Nor where it is not known at which co_await the coroutine is suspended.
        point.kind = SuspendPoint::Kind::initial;
        CHECK_FALSE(is_live(guard, at_line(truth.at("inner_await"))));
        point.kind = SuspendPoint::Kind::await;
        point.location.reset();
        CHECK_FALSE(is_live(guard, point));
    }
}

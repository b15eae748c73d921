// The resolver on coroutines of this test program itself: whatever compiler and level the project is built
// with. All compilers and levels are the business of tests/live/suspend_corpus_table.py.
#include <catch2/catch.hpp>
#include <coroutine>
#include <cstring>
#include <random>

#include "runtimes/cpp20/await_verdict.h"
#include "runtimes/cpp20/coroutine_catalog.h"
#include "runtimes/cpp20/suspend_point.h"
#include "suspend_code_module.h"

using namespace asyncdump;
using namespace asyncdump::cpp20;

namespace {

struct Task {
    struct promise_type {
        Task get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_always initial_suspend() noexcept { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        void unhandled_exception() noexcept {}
        void return_void() noexcept {}
    };
    std::coroutine_handle<promise_type> handle;
};

struct Wait {
    void* address = nullptr;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) noexcept { address = handle.address(); }
    [[gnu::noinline]] void await_resume() const noexcept {}
};

volatile int steps = 0;

constexpr std::uint32_t base_line = __LINE__;
Task sample(int n) {
    co_await Wait{};
    steps = steps + n;
    for (int i = 0; i < n; ++i) {
        co_await Wait{};
        steps = steps + 1;
    }
}
constexpr std::uint32_t first_line = base_line + 2, second_line = base_line + 5;

/// Loaded addresses against those of the file: /proc/self/exe is looked at without the map of the process.
std::uint64_t own_bias(const ModuleSet& unbiased, const void* code) {
    for (const auto& module : unbiased.modules()) {
        for (const AddressRange& range : module->executable_ranges()) {
            // Pages keep their offset, so the right bias is a whole number of pages; only one puts the entry
            // onto a known function.
            const CoroutineCatalog catalog(unbiased);
            for (const CoroutineCode& function : catalog.functions()) {
                const std::uint64_t bias =
                    reinterpret_cast<std::uint64_t>(code) - function.resume.begin.value();
                if ((bias & 0xfff) == 0 && range.contains(function.resume.begin) &&
                    function.ramp_symbol.find("sample") != std::string::npos) {
                    return bias;
                }
            }
        }
    }
    return 0;
}

struct Self {
    Self() : task(sample(3)) {
        void* resume = nullptr;
        std::memcpy(&resume, task.handle.address(), sizeof resume);
        const auto unbiased = ModuleSet::of_file("/proc/self/exe", 0, {});
        REQUIRE(unbiased);
        auto biased = ModuleSet::of_file("/proc/self/exe", own_bias(*unbiased, resume), {});
        REQUIRE(biased);
        modules.emplace(std::move(*biased));
        catalog.emplace(*modules);
        const auto identity = catalog->identify(RemoteAddress(word(0)), RemoteAddress(word(1)));
        REQUIRE(identity);
        code = &catalog->functions()[identity->function];
    }
    ~Self() { task.handle.destroy(); }
    std::uint64_t word(std::size_t index) const {
        std::uint64_t value = 0;
        std::memcpy(&value, static_cast<const char*>(task.handle.address()) + index * 8, sizeof value);
        return value;
    }
    std::vector<std::byte> frame() const {
        std::vector<std::byte> bytes(64);  // the index lies within; the frame is larger
        std::memcpy(bytes.data(), task.handle.address(), bytes.size());
        return bytes;
    }

    Task task;
    std::optional<ModuleSet> modules;
    std::optional<CoroutineCatalog> catalog;
    const CoroutineCode* code = nullptr;
};

}  // namespace

TEST_CASE("a coroutine of this program at each of its suspend points") {
    const Self self;
    SuspendPointResolver resolver(*self.modules, {.use_source_text = true});
    const auto field = resolver.index_field(*self.code);
    REQUIRE(field);
    CHECK(field->offset >= 16);

    CHECK(resolver.resolve(*self.code, self.frame()).kind == SuspendPoint::Kind::initial);
    CHECK_FALSE(resolver.resolve(*self.code, self.frame()).location);
    self.task.handle.resume();
    const SuspendPoint first = resolver.resolve(*self.code, self.frame());
    CHECK(first.kind == SuspendPoint::Kind::await);
    REQUIRE(first.location);
    CHECK(first.location->exact);
    CHECK(first.location->line == first_line);
    CHECK(first.location->file.ends_with("suspend_resolver_test.cpp"));
    CHECK(first.awaiter_type.find("Wait") != std::string::npos);
    for (int i = 0; i < 3; ++i) {
        self.task.handle.resume();
        const SuspendPoint& second = resolver.resolve(*self.code, self.frame());
        REQUIRE(second.location);
        CHECK(second.location->exact);
        CHECK(second.location->line == second_line);
    }
    CHECK(resolver.resolutions() == 3);
    self.task.handle.resume();
    CHECK(resolver.resolve(*self.code, self.frame()).kind == SuspendPoint::Kind::final);
    CHECK(resolver.resolutions() == 3);
}

TEST_CASE("answers are computed once and stay where they are") {
    const Self self;
    SuspendPointResolver resolver(*self.modules, {.use_source_text = false});
    const auto frame = self.frame();
    const SuspendPoint* answer = &resolver.resolve(*self.code, frame);
    for (int i = 0; i < 100'000; ++i) REQUIRE(&resolver.resolve(*self.code, frame) == answer);
    CHECK(resolver.resolutions() == 1);
}

TEST_CASE("frames with random bytes and of every length are bounded") {
    const Self self;
    SuspendPointResolver resolver(*self.modules, {.use_source_text = true});
    std::mt19937_64 random(11);
    for (std::size_t length = 0; length < 64; ++length) {
        for (int round = 0; round < 20; ++round) {
            auto frame = self.frame();
            for (std::size_t i = 16; i < frame.size(); ++i) frame[i] = static_cast<std::byte>(random());
            frame.resize(length);
            const SuspendPoint& point = resolver.resolve(*self.code, frame);
            if (length < 16) CHECK(point.kind == SuspendPoint::Kind::unknown);
        }
    }
    // No index that the compiler never used may get a line that is called exact.
    const auto field = resolver.index_field(*self.code);
    REQUIRE(field);
    auto frame = self.frame();
    for (unsigned value = 64; value < 256; ++value) {
        frame[field->offset] = static_cast<std::byte>(value);
        const SuspendPoint& point = resolver.resolve(*self.code, frame);
        CHECK((!point.location || !point.location->exact));
    }
}

TEST_CASE("random code in place of a coroutine's functions") {
    const auto modules = ModuleSet::of_file("/proc/self/exe", 0, {});
    REQUIRE(modules);
    std::mt19937_64 random(12);
    for (int round = 0; round < 300; ++round) {
        std::vector<unsigned char> bytes(1024);
        for (unsigned char& byte : bytes) byte = static_cast<unsigned char>(random());
        const CodeModule module(0x1000, std::move(bytes));
        CoroutineCode code;
        code.module = &module;
        code.compiler = round % 2 == 0 ? Compiler::gcc : Compiler::clang;
        code.resume = {RemoteAddress(0x1000), RemoteAddress(0x1200)};
        code.ramp = {RemoteAddress(0x1200), RemoteAddress(0x1400)};
        code.cold = {{RemoteAddress(0x1180), RemoteAddress(0x1280)},
                     {RemoteAddress(0x9000), RemoteAddress(0x9010)}};
        SuspendPointResolver resolver(*modules, {.use_source_text = true});
        std::vector<std::byte> frame(128, std::byte{1});
        CHECK_FALSE(resolver.resolve(code, frame).location);
    }
}

TEST_CASE("the class of an awaiter by the name of its function", "[suspend_point]") {
    CHECK(class_of_await_function("int ns::Operation<int, (ns::Kind)1>::await_resume() const") ==
          "ns::Operation<int, (ns::Kind)1>");
    CHECK(class_of_await_function("std::coroutine_handle<void> Task<int>::Awaiter::await_suspend<P>(h<P>)") ==
          "Task<int>::Awaiter");
    CHECK(
        class_of_await_function("Fiber::promise_type::await_transform(duration<long>)::Sleep::await_suspend("
                                "std::coroutine_handle<void>)") ==
        "Fiber::promise_type::await_transform(duration<long>)::Sleep");
    CHECK(class_of_await_function("auto Mutex::lock() const::Awaiter::await_ready()") ==
          "Mutex::lock() const::Awaiter");
    CHECK(class_of_await_function("main").empty());
}

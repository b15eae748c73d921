#include "runtimes/cpp20/frame_layout.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "runtimes/cpp20/coroutine_catalog.h"
#include "runtimes/cpp20/frames.h"
#include "sample_files.h"

using namespace asyncdump;
using namespace asyncdump::cpp20;

namespace {

const CoroutineCode& find_code(const CoroutineCatalog& catalog, std::string_view function) {
    const auto found = std::ranges::find_if(catalog.functions(), [&](const CoroutineCode& code) {
        return code.ramp_symbol.find(function) != std::string::npos;
    });
    REQUIRE(found != catalog.functions().end());
    return *found;
}

const FrameField* find_member(const FrameLayout& layout, std::string_view name) {
    const auto found = std::ranges::find(layout.members, name, &FrameField::name);
    return found == layout.members.end() ? nullptr : &*found;
}

FrameLayout layout_of(const CoroutineCatalog& catalog, const CoroutineCode& code) {
    return LayoutCache(catalog).of(static_cast<std::uint32_t>(&code - catalog.functions().data()));
}

}  // namespace

TEST_CASE("a frame is laid out as the program itself measures it", "[frame_layout]") {
    if (frame_samples().empty()) WARN("skipped: no compiler for the sample");
    for (const std::string& label : frame_samples()) {
        INFO(label);
        const bool is_gcc = label.starts_with("g++");
        const std::string sample = "frame_members." + label;
        auto truth = run_sample(sample);
        const ModuleSet modules = open_sample(sample);
        const CoroutineCatalog catalog(modules);
        const CoroutineCode& code = find_code(catalog, "measured");
        REQUIRE(code.compiler == (is_gcc ? Compiler::gcc : Compiler::clang));
        const FrameLayout layout = layout_of(catalog, code);

        CHECK(layout.has_debug_info);
        CHECK(layout.size_is_described);
        CHECK(layout.size == truth.at("size"));
        CHECK(layout.promise_type.has_value());
        const std::uint32_t promise = truth.at("promise"), promise_size = truth.at("promise_size");
        CHECK(layout.promise_begin == promise);
        CHECK(layout.promise_end == promise + promise_size);

        CHECK(layout.promise_word(promise) == PromiseWord::other);
        CHECK(layout.promise_word(truth.at("next")) == PromiseWord::list_link);
        CHECK(layout.promise_word(truth.at("then")) == PromiseWord::continuation);
        CHECK(layout.promise_word(truth.at("waiter")) == PromiseWord::continuation);
        CHECK(layout.promise_word(truth.at("waiter") + 8) == PromiseWord::result);
        CHECK(layout.promise_word(0) == PromiseWord::other);
        CHECK(layout.promise_word(~std::uint64_t{0}) == PromiseWord::other);

        CHECK(layout.self_handle.has_value() == truth.contains("self"));
        if (layout.self_handle) CHECK(*layout.self_handle == truth["self"]);
        CHECK(layout.index.has_value() == is_gcc);

        const FrameField* parameter = find_member(layout, "parameter");
        // Above -O0 clang names no members of the user.
        if (!is_gcc && label.ends_with("O2")) {
            CHECK(std::ranges::count(layout.members, FrameField::Role::bookkeeping, &FrameField::role) > 0);
            continue;
        }
        REQUIRE(parameter != nullptr);
        CHECK(parameter->role == FrameField::Role::parameter);
        CHECK(parameter->offset == truth.at("parameter"));
        CHECK(parameter->size == 8);
        const FrameField* local = find_member(layout, "local_value");
        REQUIRE(local != nullptr);
        CHECK(local->role == FrameField::Role::local);
        CHECK(local->offset == truth.at("local_value"));
        CHECK(local->size == 8);

        for (const FrameField& member : layout.members) CHECK(member.offset + member.size <= layout.size);
        const auto awaiters =
            std::ranges::count(layout.members, FrameField::Role::awaiter, &FrameField::role);
        CHECK(awaiters == (is_gcc ? 1 : 0));
        // Of clang's functions it may be missing.
        if (is_gcc) REQUIRE(layout.declared_at.has_value());
        if (layout.declared_at) {
            CHECK(layout.declared_at->file.ends_with("frame_members.cpp"));
            CHECK(layout.declared_at->line == truth.at("declared"));
        }
    }
}

TEST_CASE("an overaligned promise does not follow the two pointers", "[frame_layout]") {
    if (frame_samples().empty()) WARN("skipped: no compiler for the sample");
    for (const std::string& label : frame_samples()) {
        INFO(label);
        auto truth = run_sample("frame_members." + label);
        const ModuleSet modules = open_sample("frame_members." + label);
        const CoroutineCatalog catalog(modules);
        const FrameLayout layout = layout_of(catalog, find_code(catalog, "overaligned"));
        CHECK(layout.promise_begin == truth.at("wide_promise"));
        CHECK(layout.promise_end == truth.at("wide_promise") + 64);
    }
}

TEST_CASE("what GCC puts before the resume pointer does not move the promise", "[frame_layout]") {
    if (frame_samples().empty()) WARN("skipped: no compiler for the sample");
    for (const std::string& label : frame_samples()) {
        INFO(label);
        auto truth = run_sample("frame_members." + label);
        const ModuleSet modules = open_sample("frame_members." + label);
        const CoroutineCatalog catalog(modules);
        const FrameLayout layout = layout_of(catalog, find_code(catalog, "conditional"));
        CHECK(layout.promise_begin == truth.at("conditional_promise"));
        CHECK(layout.promise_end == truth.at("conditional_promise") + truth.at("promise_size"));
    }
}

TEST_CASE("GCC's awaiters are found by their class", "[frame_layout]") {
    const auto labels = frame_samples();
    const auto gcc =
        std::ranges::find_if(labels, [](const std::string& label) { return label.starts_with("g++"); });
    if (gcc == labels.end()) {
        WARN("skipped: no g++-12");
        return;
    }
    const ModuleSet modules = open_sample("frame_members." + *gcc);
    const CoroutineCatalog catalog(modules);
    const FrameLayout layout = layout_of(catalog, find_code(catalog, "measured"));
    const auto awaiters = layout.awaiters_of_class("Event");
    REQUIRE(awaiters.size() == 1);
    CHECK(awaiters.front()->role == FrameField::Role::awaiter);
    CHECK(layout.awaiters_of_class("Other").empty());
    CHECK(layout.awaiters_of_class("").size() == 1);
}

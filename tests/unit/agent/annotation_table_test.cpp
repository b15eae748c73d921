#include "annotation_table.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "zeroed.h"

using namespace asyncdump::agent;

namespace {

constexpr Text kNothing{nullptr, 0};
Text text(std::string_view value) {
    return {value.data(), value.size()};
}

struct Fixture {
    Zeroed<AnnotationTable> table = make_zeroed<AnnotationTable>();
    asyncdump_counters counters{};
    std::uint8_t flags = ASYNCDUMP_SLOT_LIVE;
    asyncdump_record record = make_record(100, 1, 2, 3, 0);
    Slot slot{&flags, &record};

    std::uint32_t first() const {
        return asyncdump_is_annotated(flags) ? asyncdump_annotation_id(record.creation) : 0;
    }
    std::vector<std::string> chain() const {
        std::vector<std::string> found;
        for (std::uint32_t id = first(); id != 0; id = table->get(id)->parent)
            found.push_back(std::string(table->get(id)->name) + "/" + table->get(id)->label);
        return found;
    }
};

using Chain = std::vector<std::string>;

}  // namespace

TEST_CASE_METHOD(Fixture, "Names and labels of one frame share an annotation") {
    CHECK(table->annotate(slot, 1000, text("name"), kNothing, counters));
    CHECK(chain() == Chain{"name/"});
    CHECK(table->annotate(slot, 1000, kNothing, text("label"), counters));
    CHECK(chain() == Chain{"name/label"});
    CHECK(table->annotate(slot, 1000, text("other"), kNothing, counters));
    CHECK(chain() == Chain{"other/label"});
    CHECK(asyncdump_time(record.creation) == 3);
}

TEST_CASE_METHOD(Fixture, "Frames nested in one block have names of their own") {
    CHECK(table->annotate(slot, 1000, text("outer"), kNothing, counters));
    CHECK(table->annotate(slot, 1040, text("inner"), kNothing, counters));
    CHECK(table->annotate(slot, 1000, kNothing, text("busy"), counters));
    CHECK(chain() == Chain{"outer/busy", "inner/"});
    for (std::uintptr_t subject = 0; subject < 100; ++subject)
        CHECK(table->annotate(slot, subject, text("x"), kNothing, counters));
    CHECK(chain().size() == ASYNCDUMP_MAXIMUM_ANNOTATION_CHAIN - 1);
}

TEST_CASE_METHOD(Fixture, "A scope lives as long as anything carries it") {
    const std::uint32_t outer = table->create_scope(text("outer"), 0, counters);
    const std::uint32_t inner = table->create_scope(text("inner"), outer, counters);
    table->release(outer);
    table->retain(inner);
    record = make_record(100, 1, 2, 3, inner);
    flags |= ASYNCDUMP_SLOT_ANNOTATED;
    CHECK(table->annotate(slot, 1000, text("task"), kNothing, counters));
    table->release(inner);
    CHECK(chain() == Chain{"task/", "inner/", "outer/"});
    CHECK(table->get(outer)->kind == ASYNCDUMP_ANNOTATION_SCOPE);
    table->release(first());
    CHECK(table->get(inner)->kind == ASYNCDUMP_ANNOTATION_FREE);
    CHECK(table->get(outer)->kind == ASYNCDUMP_ANNOTATION_FREE);
}

TEST_CASE_METHOD(Fixture, "Ids are used again") {
    std::uint32_t highest = 0;
    for (int i = 0; i < 3'000'000; ++i) {
        const std::uint32_t id = table->create_scope(text("x"), 0, counters);
        highest = std::max(highest, id);
        table->release(id);
    }
    CHECK(highest == 1);
    CHECK(counters.annotations_full == 0);
}

TEST_CASE_METHOD(Fixture, "A full table refuses") {
    std::uint32_t last = 0;
    std::size_t made = 0;
    while (const std::uint32_t id = table->create_scope(text("x"), 0, counters)) {
        last = id;
        ++made;
    }
    CHECK(made == (kAnnotationChunks << kAnnotationChunkShift) - 1);
    CHECK(counters.annotations_full == 1);
    CHECK_FALSE(table->annotate(slot, 1000, text("x"), kNothing, counters));
    table->release(last);
    CHECK(table->annotate(slot, 1000, text("x"), kNothing, counters));
}

TEST_CASE_METHOD(Fixture, "A block that is gone cannot be named") {
    flags = 0;
    CHECK_FALSE(table->annotate(slot, 1000, text("name"), kNothing, counters));
}

TEST_CASE_METHOD(Fixture, "Threads name and end scopes at the same time") {
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; ++thread)
        threads.emplace_back([&, thread] {
            const std::string name = "name " + std::to_string(thread);
            for (int i = 0; i < 20'000; ++i) {
                const std::uint32_t outer = table->create_scope(text(name), 0, counters);
                const std::uint32_t inner = table->create_scope(text("inner"), outer, counters);
                if (name != table->get(outer)->name || table->get(inner)->parent != outer) std::abort();
                table->release(outer);
                if (name != table->get(outer)->name) std::abort();
                table->release(inner);
            }
        });
    for (auto& thread : threads) thread.join();
    // Every id is free again: the table gives out no new ones.
    for (std::uint32_t id = 1; id <= 8; ++id)
        CHECK((table->get(1) == nullptr || table->get(id)->kind == ASYNCDUMP_ANNOTATION_FREE));
}

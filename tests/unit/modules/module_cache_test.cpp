#include "modules/module_cache.h"

#include <sys/stat.h>
#include <utime.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "modules/cache_bytes.h"
#include "temporary_folder.h"

using namespace asyncdump;
using Kind = ModuleCache::Kind;

namespace {

std::vector<std::byte> bytes(std::string_view text) {
    const auto view = std::as_bytes(std::span(text));
    return {view.begin(), view.end()};
}

std::size_t files_in(const std::string& folder) {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

}  // namespace

TEST_CASE("What was kept is found by the next run, and what is added later beside it") {
    const TemporaryFolder folder;
    const auto caches = CacheFolder::open(folder.below("new/caches"));
    REQUIRE(caches);
    {
        ModuleCache cache(caches, "ab12", 7);
        CHECK_FALSE(cache.find(Kind::units, 1));
        cache.save();
        CHECK(files_in(folder.below("new/caches")) == 0);
        cache.put(Kind::units, 1, bytes("one"));
        cache.put(Kind::coroutines, 1, bytes(""));
        cache.save();
    }
    {
        ModuleCache cache(caches, "ab12", 7);
        CHECK(cache.find(Kind::units, 1) == bytes("one"));
        CHECK(cache.find(Kind::coroutines, 1) == bytes(""));
        CHECK_FALSE(cache.find(Kind::units, 2));
        cache.put(Kind::units, 2, bytes("two"));
        cache.put(Kind::coroutines, 1, bytes("more"));
        cache.save();
        CHECK(cache.find(Kind::units, 2) == bytes("two"));
    }
    ModuleCache cache(caches, "ab12", 7);
    CHECK(cache.find(Kind::units, 1) == bytes("one"));
    CHECK(cache.find(Kind::units, 2) == bytes("two"));
    CHECK(cache.find(Kind::coroutines, 1) == bytes("more"));
    CHECK(files_in(folder.below("new/caches")) == 1);
    CHECK_FALSE(ModuleCache(caches, "ab12", 8).find(Kind::units, 1));
    CHECK_FALSE(ModuleCache(caches, "cd34", 7).find(Kind::units, 1));
}

TEST_CASE("A folder that others may write to is not used") {
    const TemporaryFolder folder;
    const std::string open = folder.below("open");
    REQUIRE(::mkdir(open.c_str(), 0700) == 0);
    CHECK(CacheFolder::open(open));
    REQUIRE(::chmod(open.c_str(), 0770) == 0);
    CHECK_FALSE(CacheFolder::open(open));
    REQUIRE(::chmod(open.c_str(), 0700) == 0);
    std::filesystem::create_symlink(open, folder.below("link"));
    CHECK_FALSE(CacheFolder::open(folder.below("link")));
    CHECK_FALSE(CacheFolder::open(""));
    CHECK_FALSE(CacheFolder::open("relative"));
    CHECK_FALSE(CacheFolder::open("/proc/nowhere/asyncdump"));
    std::ofstream(folder.below("file")) << "x";
    CHECK_FALSE(CacheFolder::open(folder.below("file")));
}

TEST_CASE("Beyond the bound of the cache the oldest files are removed") {
    const TemporaryFolder folder;
    const auto caches = CacheFolder::open(folder.below("caches"));
    REQUIRE(caches);
    constexpr int files = 6;
    for (int i = 0; i < files; ++i) {
        const std::string path = folder.below("caches/") + std::to_string(i);
        std::ofstream(path) << "x";
        // Without taking room on the disk.
        std::filesystem::resize_file(path, CacheFolder::most_bytes / (files - 1));
        const utimbuf when{1000 + (i * 7) % files, 1000 + (i * 7) % files};
        REQUIRE(::utime(path.c_str(), &when) == 0);
    }
    caches->replace_file("new", bytes("content"));
    CHECK(files_in(folder.below("caches")) == files - 1);
    CHECK(std::filesystem::exists(folder.below("caches/new")));
    CHECK_FALSE(std::filesystem::exists(folder.below("caches/0")));
    CHECK_FALSE(std::filesystem::exists(folder.below("caches/1")));
}

TEST_CASE("A reader of cached bytes believes no length") {
    CacheWriter writer;
    writer.number(~0ULL);
    writer.text("abc");
    const auto content = writer.take();
    CacheReader as_text(content);
    CHECK(as_text.text().empty());
    CHECK(as_text.failed());
    CHECK(as_text.number() == 0);
    CacheReader as_list(content);
    CHECK(as_list.list<std::uint64_t>().empty());
    CHECK_FALSE(as_list.complete());
    CacheReader as_count(content);
    CHECK(as_count.count(16) == 0);
    CHECK(as_count.failed());
    CacheReader right(content);
    CHECK(right.number() == ~0ULL);
    CHECK(right.text() == "abc");
    CHECK(right.complete());
}

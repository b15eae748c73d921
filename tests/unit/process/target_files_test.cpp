#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "child.h"
#include "process/memory_map.h"
#include "process/process_info.h"
#include "temporary_folder.h"

using namespace asyncdump;
using Catch::Matchers::Contains;

namespace {

std::string content(const FileDescriptor& file) {
    std::string text(1 << 20, '\0');
    const ssize_t size = pread(file.get(), text.data(), text.size(), 0);
    text.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
    return text;
}

std::string content(const std::string& path) {
    return content(FileDescriptor(open(path.c_str(), O_RDONLY)));
}

void write_file(const std::string& path, const std::string& text) {
    std::ofstream(path) << text;
}

/// A process in a root directory or a mount namespace of its own; empty when that is not permitted.
struct Confined {
    explicit Confined(const std::function<bool()>& confine)
        : child([&confine](const Child::Parent& parent) {
              parent.send(confine());
              parent.wait_for_end();
          }),
          succeeded(child.receive<bool>()) {}
    Child child;
    bool succeeded;
};

Mapping mapping_of(pid_t pid, const std::string& path) {
    const auto map = MemoryMap::read(pid);
    REQUIRE(map);
    for (const Mapping& mapping : map->mappings())
        if (mapping.path == path) return mapping;
    FAIL("no mapping of " << path);
    return {};
}

}  // namespace

TEST_CASE("files are found where the target finds them: another root directory") {
    const TemporaryFolder folder;
    write_file(folder.below("inside"), "the target's");
    std::filesystem::create_symlink("/inside", folder.below("absolute_link"));
    std::filesystem::create_symlink("../../../../../../inside", folder.below("climbing_link"));
    std::filesystem::create_symlink("/etc/passwd", folder.below("link_out"));
    const Confined target([&] { return chroot(folder.path().c_str()) == 0 && chdir("/") == 0; });
    if (!target.succeeded) {
        WARN("skipped: no permission for chroot");
        return;
    }
    const pid_t pid = target.child.pid();
    for (const char* const path : {"/inside", "/absolute_link", "/climbing_link", "/../../inside"}) {
        const auto file = open_in_target(pid, path);
        REQUIRE(file);
        CHECK(content(*file) == "the target's");
    }
    const auto outside = open_in_target(pid, "/link_out");
    REQUIRE_FALSE(outside);
    CHECK(outside.error().code == ErrorCode::unreadable_file);
    CHECK_FALSE(open_in_target(pid, "/etc/passwd"));
}

TEST_CASE("files are found where the target finds them: another mount namespace") {
    const TemporaryFolder folder;
    write_file(folder.below("file"), "ours");
    const Confined target([&] {
        if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
            return false;
        if (mount("none", folder.path().c_str(), "tmpfs", 0, nullptr) != 0) return false;
        write_file(folder.below("file"), "the target's");
        return true;
    });
    if (!target.succeeded) {
        WARN("skipped: no permission to make a mount namespace");
        return;
    }
    const auto file = open_in_target(target.child.pid(), folder.below("file"));
    REQUIRE(file);
    CHECK(content(*file) == "the target's");
}

TEST_CASE("only regular files are opened") {
    const TemporaryFolder folder;
    const std::string pipe = folder.below("pipe");
    REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
    for (const std::string& path : {pipe, std::string("/dev/zero"), folder.path()}) {
        const auto file = open_in_target(getpid(), path);
        REQUIRE_FALSE(file);
        CHECK_THAT(file.error().message, Contains("not a regular file"));
    }
    CHECK_FALSE(open_in_target(getpid(), ""));
    CHECK_FALSE(open_in_target(INT32_MAX, "/etc/passwd"));
}

TEST_CASE("the executable is found after it was deleted or replaced") {
    const TemporaryFolder folder;
    const std::string path = folder.below("server");
    std::filesystem::copy_file(SIGNAL_STORM, path);
    Child child({path, "1"});
    child.receive_line();
    const bool replaced = GENERATE(false, true);
    if (replaced) {
        write_file(folder.below("new"), "another program");
        std::filesystem::rename(folder.below("new"), path);
    } else {
        std::filesystem::remove(path);
    }
    Mapping mapping = mapping_of(child.pid(), path);
    CHECK(mapping.deleted);
    const auto by_mapping = open_mapped_file(child.pid(), mapping);
    REQUIRE(by_mapping);
    CHECK(content(*by_mapping) == content(std::string(SIGNAL_STORM)));

    // As without the capability that following the mapping's link takes.
    mapping.range = {RemoteAddress(0x1000), RemoteAddress(0x2000)};
    const auto by_executable = open_mapped_file(child.pid(), mapping);
    REQUIRE(by_executable);
    CHECK(content(*by_executable) == content(std::string(SIGNAL_STORM)));

    const auto process = examine_process(child.pid());
    REQUIRE(process);
    CHECK(process->executable == path);
}

TEST_CASE("an executable whose name looks like a deleted one") {
    const TemporaryFolder folder;
    const std::string path = folder.below("server (deleted)");
    std::filesystem::copy_file(SIGNAL_STORM, path);
    Child child({path, "1"});
    child.receive_line();
    const auto process = examine_process(child.pid());
    REQUIRE(process);
    CHECK(process->executable == path);
}

TEST_CASE("a library by its path, but never another file of that name") {
    const TemporaryFolder folder;
    const std::string path = folder.below("library");
    write_file(path, std::string(5000, 'a'));
    Child child([&path](const Child::Parent& parent) {
        const int file = open(path.c_str(), O_RDONLY);
        parent.send(mmap(nullptr, 5000, PROT_READ, MAP_PRIVATE, file, 0) != MAP_FAILED);
        parent.wait_for_end();
    });
    REQUIRE(child.receive<bool>());
    Mapping mapping = mapping_of(child.pid(), path);
    mapping.range = {RemoteAddress(0x1000), RemoteAddress(0x2000)};
    const auto file = open_mapped_file(child.pid(), mapping);
    REQUIRE(file);
    CHECK(content(*file) == std::string(5000, 'a'));

    write_file(folder.below("new"), std::string(5000, 'b'));
    std::filesystem::rename(folder.below("new"), path);
    const auto refused = open_mapped_file(child.pid(), mapping);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::unreadable_file);
    CHECK_THAT(refused.error().message,
               Contains(path) && Contains("deleted or replaced") && Contains("sudo"));
}

TEST_CASE("a program that was loaded from memory only") {
    Child child([](const Child::Parent& parent) {
        const int file = memfd_create("plugin", 0);
        if (write(file, "plugin's bytes", 14) != 14) _exit(1);
        parent.send(mmap(nullptr, 14, PROT_READ, MAP_PRIVATE, file, 0) != MAP_FAILED);
        parent.wait_for_end();
    });
    REQUIRE(child.receive<bool>());
    const auto file = open_mapped_file(child.pid(), mapping_of(child.pid(), "/memfd:plugin"));
    if (!file && geteuid() != 0) {
        WARN("skipped: no permission to follow /proc/PID/map_files");
        return;
    }
    REQUIRE(file);
    CHECK(content(*file) == "plugin's bytes");
}

TEST_CASE("what is no file cannot be opened") {
    const auto map = MemoryMap::read(getpid());
    REQUIRE(map);
    const auto stack = std::find_if(map->mappings().begin(), map->mappings().end(),
                                    [](const Mapping& mapping) { return mapping.path == "[stack]"; });
    REQUIRE(stack != map->mappings().end());
    CHECK_FALSE(open_mapped_file(getpid(), *stack));
}

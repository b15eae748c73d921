#include "process/memory_map.h"

#include <sys/mman.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "child.h"

using namespace asyncdump;

TEST_CASE("lines of maps") {
    const auto map = MemoryMap::parse(
        "55d0c0400000-55d0c0401000 r-xp 00001000 fe:01 131 /usr/bin/a server (v2)\n"
        "7f0000000000-7f0000021000 rw-p 00000000 00:00 0 \n"
        "7f0000021000-7f0000022000 ---s 00002000 00:05 77                 /memfd:x (deleted)\n"
        "7ffcc36bd000-7ffcc36de000 rw-p 00000000 00:00 0                          [stack]\n"
        "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n");
    REQUIRE(map.mappings().size() == 5);
    const Mapping& program = map.mappings()[0];
    CHECK(program.range == AddressRange{RemoteAddress(0x55d0c0400000), RemoteAddress(0x55d0c0401000)});
    CHECK(program.readable);
    CHECK_FALSE(program.writable);
    CHECK(program.executable);
    CHECK_FALSE(program.shared);
    CHECK(program.file_offset == 0x1000);
    CHECK(program.device_major == 0xfe);
    CHECK(program.device_minor == 1);
    CHECK(program.inode == 131);
    CHECK(program.path == "/usr/bin/a server (v2)");
    CHECK(program.is_file());
    CHECK_FALSE(program.deleted);
    CHECK(map.mappings()[1].path.empty());
    CHECK_FALSE(map.mappings()[1].is_file());
    CHECK(map.mappings()[2].shared);
    CHECK(map.mappings()[2].deleted);
    CHECK(map.mappings()[2].path == "/memfd:x");
    CHECK(map.mappings()[3].path == "[stack]");

    CHECK(map.find(RemoteAddress(0x55d0c0400000)) == &program);
    CHECK(map.find(RemoteAddress(0x55d0c0400fff)) == &program);
    CHECK(map.find(RemoteAddress(0x55d0c0401000)) == nullptr);
    CHECK(map.find(RemoteAddress(0)) == nullptr);
    CHECK(map.find(RemoteAddress(0x7f0000021000)) == &map.mappings()[2]);
    CHECK(map.find(RemoteAddress(~0ULL)) == nullptr);
}

TEST_CASE("lines that do not parse are skipped, disorder is put in order") {
    const auto map = MemoryMap::parse(
        "nonsense\n\n"
        "3000-2000 rw-p 00000000 00:00 0\n"
        "2000-3000 rw-p 00000000 00:00 0 second\n"
        "1000-2000 rw-p 00000000 00:00 0 first\n"
        "1800-2800 rw-p 00000000 00:00 0 overlapping\n"
        "4000-5000 rw-p 0000\n"
        "fffffffffffffffff-1 rw-p 00000000 00:00 0\n"
        "6000-7000 rw-p 00000000 00:00 0 last, cut off");
    REQUIRE(map.mappings().size() == 3);
    CHECK(map.mappings()[0].path == "first");
    CHECK(map.mappings()[1].path == "second");
    CHECK(map.mappings()[2].path == "last, cut off");
}

TEST_CASE("the map of a live process") {
    static int variable = 1;
    const auto map = MemoryMap::read(getpid());
    REQUIRE(map);
    const Mapping* const data = map->find(RemoteAddress(reinterpret_cast<std::uintptr_t>(&variable)));
    REQUIRE(data != nullptr);
    CHECK(data->writable);
    CHECK(data->path.find("unit_process") != std::string::npos);
    CHECK(data->inode != 0);
}

TEST_CASE("a process that has ended has no map") {
    Child child([](const Child::Parent& parent) { parent.wait_for_end(); });
    const pid_t pid = child.pid();
    kill(pid, SIGKILL);
    siginfo_t info;
    REQUIRE(waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) == 0);
    const auto of_zombie = MemoryMap::read(pid);
    REQUIRE_FALSE(of_zombie);
    CHECK(of_zombie.error().code == ErrorCode::process_gone);
    child.end();
    const auto of_nobody = MemoryMap::read(pid);
    REQUIRE_FALSE(of_nobody);
    CHECK(of_nobody.error().code == ErrorCode::process_gone);
}

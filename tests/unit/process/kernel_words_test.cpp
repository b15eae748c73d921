#include "process/kernel_words.h"

#include <signal.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>

#include "base/file_descriptor.h"

using namespace asyncdump;
using Words = std::vector<std::uint64_t>;

TEST_CASE("the words that were given to epoll") {
    Words words;
    parse_epoll_words(
        "pos:\t0\nflags:\t02\nmnt_id:\t15\nino:\t1057\n"
        "tfd:        5 events:       19 data:     7ffc0badcafe  pos:0 ino:61 sdev:b\n"
        "tfd:        6 events:       19 data: ffffffffffffffff  pos:0 ino:62 sdev:b\n",
        words);
    CHECK(words == Words{0x7ffc0badcafe, 0xffffffffffffffff});
}

TEST_CASE("the words that were given to timers") {
    Words words;
    parse_timer_words(
        "ID: 0\nsignal: 60/00007fff86e452a8\nnotify: signal/pid.2634\nClockID: 0\n"
        "ID: 1\nsignal: 14/0x1234\nnotify: none/pid.2634\nClockID: 1\n",
        words);
    CHECK(words == Words{0x7fff86e452a8, 0x1234});
}

TEST_CASE("text of another form holds no words") {
    Words words;
    for (const std::string_view text :
         {"", "tfd:", "tfd: 5 events: 19", "tfd: 5 data:", "tfd: 5 data: xyz", "signal:", "signal: 60",
          "signal: 60/", "signal: 60/0x", "data: 12", "\n\n", "tfd: 5 data: 123456789abcdef01"}) {
        parse_epoll_words(text, words);
        parse_timer_words(text, words);
    }
    CHECK(words.empty());
}

TEST_CASE("what this process gives to the kernel is read back") {
    const FileDescriptor epoll(epoll_create1(EPOLL_CLOEXEC));
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    const FileDescriptor reading(ends[0]), writing(ends[1]);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = 0x5a5a12345678;
    REQUIRE(epoll_ctl(epoll.get(), EPOLL_CTL_ADD, reading.get(), &event) == 0);
    sigevent signal{};
    signal.sigev_notify = SIGEV_NONE;
    signal.sigev_value.sival_ptr = reinterpret_cast<void*>(0x5a5a87654321);
    timer_t timer;
    REQUIRE(timer_create(CLOCK_MONOTONIC, &signal, &timer) == 0);

    const KernelWords words = read_kernel_words(getpid());
    timer_delete(timer);
    CHECK(std::ranges::count(words.words, 0x5a5a12345678U) == 1);
    // Kernels without CONFIG_CHECKPOINT_RESTORE have no /proc/PID/timers.
    if (access("/proc/self/timers", R_OK) == 0) CHECK(std::ranges::count(words.words, 0x5a5a87654321U) == 1);
    CHECK(words.unreadable.empty());
}

TEST_CASE("of a process that is not there nothing is claimed") {
    CHECK_FALSE(read_kernel_words(0x3ffffff).unreadable.empty());
}

TEST_CASE("bytes in a pipe of which the process has both ends") {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    const FileDescriptor reader(ends[0]), writer(ends[1]);
    CHECK_FALSE(has_unread_bytes(getpid()));
    REQUIRE(write(writer.get(), "12345678", 8) == 8);
    CHECK(has_unread_bytes(getpid()));
}

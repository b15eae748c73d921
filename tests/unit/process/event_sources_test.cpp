#include "process/event_sources.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>

using namespace asyncdump;

TEST_CASE("a timer may wake a process whatever it handles") {
    CHECK(event_sources("ID: 0\nsignal: 60/0\nnotify: none/pid.1\nClockID: 1\n", "SigCgt:\t0\n") ==
          "a timer of timer_create(2)");
}

TEST_CASE("handlers of signals that carry messages count, those of an end do not") {
    const auto of = [](const char* caught) { return event_sources("", std::string("SigCgt:\t") + caught); };
    CHECK(of("0000000000000000\n").empty());
    CHECK(of("0000000000004002\n").empty());  // SIGINT, SIGTERM
    CHECK(of("0000000180000440\n").empty());  // SIGBUS, SIGSEGV, what the C library keeps
    CHECK(of("0000000000002000\n") == "a handler for signal SIGALRM");
    CHECK(of("0000000000000200\n") == "a handler for signal SIGUSR1");
    CHECK(of("0000000200000000\n") == "a handler for real-time signal 34");
    CHECK(event_sources("", "Name:\tx\n").empty());
}

TEST_CASE("what this very process handles") {
    struct sigaction handler {
    }, before{};
    handler.sa_handler = [](int) {};
    sigaction(SIGUSR2, &handler, &before);
    const std::string sources = read_event_sources(getpid());
    sigaction(SIGUSR2, &before, nullptr);
    CHECK_FALSE(sources.empty());
}

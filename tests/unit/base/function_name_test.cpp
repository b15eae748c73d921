#include "base/function_name.h"

#include <catch2/catch.hpp>

using namespace asyncdump;

TEST_CASE("function names for sentences") {
    CHECK(short_function_name("main") == "main");
    CHECK(short_function_name("accept_loop(tcp::acceptor&)") == "accept_loop");
    CHECK(short_function_name("(anonymous namespace)::Server::session<int>(tcp::socket&) const") ==
          "Server::session<int>");
    CHECK(short_function_name("run(void (*)(int))") == "run");
    CHECK(short_function_name("main::{lambda(int)#1}::operator()(int) const") ==
          "main::{lambda(int)#1}::operator()(int) const");
    CHECK(short_function_name("") == "");
    CHECK(short_function_name(")") == ")");
    CHECK(short_function_name("()") == "()");
    CHECK(short_function_name(std::string(79, 'x') + "\xC3\xA4") == std::string(79, 'x') + "...");
}

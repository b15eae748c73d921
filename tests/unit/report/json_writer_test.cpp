#include "report/json_writer.h"

#include <catch2/catch.hpp>
#include <random>
#include <vector>

#include "json_parts.h"

using namespace asyncdump;
using namespace asyncdump::tests;

namespace {

template <class Write>
std::string written(const Write& write) {
    std::string result;
    const Output output = [&](std::string_view piece) { result += piece; };
    {
        JsonWriter json(output);
        write(json);
    }
    return result;
}

std::string string_of(std::string_view text) {
    return written([&](JsonWriter& json) { json.string(text); });
}

}  // namespace

TEST_CASE("objects and arrays are separated by commas, in lines where asked") {
    const std::string text = written([](JsonWriter& json) {
        json.begin_object();
        json.key("empty").begin_array();
        json.end_array();
        json.key("list").begin_array();
        json.number(1);
        json.break_line();
        json.begin_object();
        json.end_object();
        json.break_line();
        json.null();
        json.end_array();
        json.break_line();
        json.key("yes").boolean(true);
        json.end_object();
    });
    CHECK(text == "{\"empty\":[],\"list\":[1,\n{},\nnull],\n\"yes\":true}");
}

TEST_CASE("JSON strings escape what JSON and terminals would obey") {
    CHECK(string_of("a\"b\\c") == R"("a\"b\\c")");
    CHECK(string_of("a\nb\tc\rd") == R"("a\nb\tc\rd")");
    CHECK(string_of(std::string_view("\0\x1b[2J\x7f", 6)) == R"("\u0000\u001b[2J\u007f")");
    CHECK(string_of("\xC2\x9B"
                    "31m") == R"("\u009b31m")");
    CHECK(string_of("\xE2\x80\xAE"
                    "evil") == R"("\u202eevil")");
    CHECK(string_of("gr\xC3\xBC\xC3\x9F \xF0\x9F\x98\x80") == "\"gr\xC3\xBC\xC3\x9F \xF0\x9F\x98\x80\"");
}

TEST_CASE("invalid UTF-8 in JSON strings becomes the replacement character") {
    CHECK(string_of("a\xFF"
                    "b") ==
          "\"a\xEF\xBF\xBD"
          "b\"");
    CHECK(string_of("cut \xE2\x82") == "\"cut \xEF\xBF\xBD\xEF\xBF\xBD\"");
    CHECK(string_of("\xC0\x80") == "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

TEST_CASE("any bytes make a JSON string that parses and holds nothing that a terminal obeys") {
    std::mt19937 random(7);
    for (int round = 0; round < 2000; ++round) {
        std::string bytes(random() % 40, '\0');
        for (char& byte : bytes) byte = static_cast<char>(random());
        const std::string text = string_of(bytes);
        CAPTURE(text);
        REQUIRE(is_json(text));
        for (const char byte : text) REQUIRE(static_cast<unsigned char>(byte) >= 0x20);
        REQUIRE(text.find('\x7f') == std::string::npos);
    }
}

TEST_CASE("numbers, addresses and times") {
    CHECK(written([](JsonWriter& json) { json.number(std::int64_t{-42}); }) == "-42");
    CHECK(written([](JsonWriter& json) { json.number(~std::uint64_t{0}); }) == "18446744073709551615");
    CHECK(written([](JsonWriter& json) { json.number_or_null(0); }) == "null");
    CHECK(written([](JsonWriter& json) { json.string_or_null(""); }) == "null");
    CHECK(written([](JsonWriter& json) { json.address(RemoteAddress(0x55d0c0ffee00)); }) ==
          "\"0x55d0c0ffee00\"");
    CHECK(written([](JsonWriter& json) { json.address(RemoteAddress(~std::uint64_t{0})); }) ==
          "\"0xffffffffffffffff\"");
    using namespace std::chrono;
    const auto time = system_clock::time_point(milliseconds(1'795'284'000'007));
    CHECK(written([&](JsonWriter& json) { json.time(time); }) == "\"2026-11-21T18:00:00.007Z\"");
}

TEST_CASE("output goes out in pieces of at most 64 KiB, also around long strings") {
    std::vector<std::size_t> pieces;
    std::string result;
    const Output output = [&](std::string_view piece) {
        pieces.push_back(piece.size());
        result += piece;
    };
    const std::string long_text(200'000, 'x');
    {
        JsonWriter json(output);
        json.begin_array();
        for (int i = 0; i < 10'000; ++i) json.number(i);
        json.string(long_text);
        json.end_array();
    }
    REQUIRE(pieces.size() == result.size() / OutputBuffer::piece_bytes + 1);
    for (const std::size_t size : pieces) CHECK(size <= OutputBuffer::piece_bytes);
    CHECK(part(result, "/10000") == '"' + long_text + '"');
}

#include "base/harmless_text.h"

#include <catch2/catch.hpp>

using asyncdump::harmless;

TEST_CASE("plain text and valid UTF-8 stay as they are") {
    CHECK(harmless("find_user(int)") == "find_user(int)");
    CHECK(harmless("gr\xC3\xBC\xC3\x9F \xE2\x82\xAC \xF0\x9F\x98\x80") ==
          "gr\xC3\xBC\xC3\x9F \xE2\x82\xAC \xF0\x9F\x98\x80");
}

TEST_CASE("what a terminal would obey becomes visible") {
    CHECK(harmless("\x1b[2Jgone") == "\\x1b[2Jgone");
    CHECK(harmless("a\nb\tc\rd") == "a\\nb\\tc\\rd");
    CHECK(harmless("\x7f") == "\\x7f");
    CHECK(harmless("\xC2\x9B"
                   "31m") == "\\x9b31m");
    CHECK(harmless("\xE2\x80\xAE"
                   "evil") == "\\u202eevil");
}

TEST_CASE("invalid UTF-8 becomes the replacement character, byte by byte") {
    CHECK(harmless("\xFF") == "\xEF\xBF\xBD");
    CHECK(harmless("a\xC3") == "a\xEF\xBF\xBD");
    CHECK(harmless("\xC0\x80") == "\xEF\xBF\xBD\xEF\xBF\xBD");
    CHECK(harmless("\xED\xA0\x80") == "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
}

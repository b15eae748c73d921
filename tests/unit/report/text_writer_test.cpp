#include "report/text_writer.h"

#include <catch2/catch.hpp>

#include "dump_builder.h"
#include "report/source_names.h"
#include "report/words.h"

using namespace asyncdump;
using namespace asyncdump::tests;

namespace {

template <class Write>
std::string written(const TextStyle& style, const Write& write) {
    std::string result;
    const Output output = [&](std::string_view piece) { result += piece; };
    {
        TextWriter writer(style, output);
        write(writer);
    }
    return result;
}

}  // namespace

TEST_CASE("lines fold at the terminal's width, between parts and words") {
    const auto write = [](TextWriter& writer) {
        writer.begin_line(2);
        writer.add("function()");
        writer.add_part(", ", "at server.cpp:61");
        writer.add_part(", ", "awaiting nothing");
        writer.end_line();
        writer.line(0, "one two three four five six seven");
    };
    TextStyle style;
    CHECK(written(style, write) ==
          "  function(), at server.cpp:61, awaiting nothing\none two three four five six seven\n");
    style.width = 30;
    CHECK(written(style, write) ==
          "  function(), at server.cpp:61,\n      awaiting nothing\n"
          "one two three four five six\n    seven\n");
}

TEST_CASE("a part wider than the terminal is not lost") {
    TextStyle style;
    style.width = 10;
    CHECK(written(style, [](TextWriter& writer) { writer.line(0, "a_word_of_twenty_char and"); }) ==
          "a_word_of_twenty_char\n    and\n");
}

TEST_CASE("colours appear only when asked for") {
    const auto write = [](TextWriter& writer) { writer.line(0, "bad", Paint::error); };
    TextStyle style;
    CHECK(written(style, write) == "bad\n");
    style.colour = true;
    CHECK(written(style, write) == "\x1b[1;31mbad\x1b[0m\n");
}

TEST_CASE("printable text is harmless, ASCII where the terminal knows no more, and bounded") {
    CHECK(printable("\x1b[2J", true) == "\\x1b[2J");
    CHECK(printable("\xE2\x80\xA8", true) == "\\u2028");  // a line separator
    CHECK(printable("gr\xC3\xBC\xC3\x9F", true) == "gr\xC3\xBC\xC3\x9F");
    CHECK(printable("gr\xC3\xBC\xC3\x9F", false) == "gr\\u00fc\\u00df");
    CHECK(printable("\xF0\x9F\x98\x80", false) == "\\U0001f600");
    CHECK(printable("\xFF", false) == "?");
    CHECK(printable(std::string(5000, 'x'), true) == std::string(1000, 'x') + "...");
}

TEST_CASE("numbers and times in words") {
    CHECK(grouped_digits(0) == "0");
    CHECK(grouped_digits(999) == "999");
    CHECK(grouped_digits(1204) == "1,204");
    CHECK(grouped_digits(1'000'000) == "1,000,000");
    CHECK(counted(1, "task") == "1 task");
    CHECK(counted(0, "task") == "0 tasks");
    CHECK(rough_age(850) == "850 ms");
    CHECK(rough_age(51'999) == "51 s");
    CHECK(rough_age(60'000 * 12) == "12 min");
    CHECK(rough_age(3'600'000ull * 5) == "5 h");
    CHECK(rough_age(86'400'000ull * 3) == "3 days");
    using std::chrono::microseconds;
    CHECK(short_duration(microseconds(812)) == "812 us");
    CHECK(short_duration(microseconds(1'250)) == "1.2 ms");
    CHECK(short_duration(microseconds(45'000)) == "45 ms");
    CHECK(short_duration(microseconds(2'500'000)) == "2.5 s");
}

TEST_CASE("files are named by as little of their path as tells them apart") {
    DumpBuilder builder;
    for (const char* const file :
         {"/src/app/server.cpp", "/src/db/query.cpp", "/src/web/query.cpp", "query.cpp"}) {
        MadeCoroutine made;
        made.file = file;
        builder.add(made);
    }
    const Dump dump = builder.build();
    const SourceNames names(dump, true);
    CHECK(names.of("/src/app/server.cpp") == "server.cpp");
    CHECK(names.of("/src/db/query.cpp") == "db/query.cpp");
    CHECK(names.of("/src/web/query.cpp") == "web/query.cpp");
    CHECK(names.of("query.cpp") == "query.cpp");
    CHECK(names.position("/src/db/query.cpp", 7) == "db/query.cpp:7");
    CHECK(names.position("/src/db/query.cpp", 0) == "db/query.cpp");
    CHECK(names.position("", 7).empty());
}

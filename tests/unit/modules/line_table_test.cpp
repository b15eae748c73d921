#include "modules/line_table.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <string>

#include "modules/dwarf_functions.h"
#include "sample_process.h"

using namespace asyncdump;
using namespace asyncdump::test;

namespace {

/// Compares a unit's table with what libdw makes of it. The number of rows.
std::size_t compare(Dwarf_Die unit, const LineTable& table) {
    Dwarf_Lines* lines = nullptr;
    std::size_t count = 0;
    if (dwarf_getsrclines(&unit, &lines, &count) != 0) count = 0;
    const auto rows = table.rows();
    REQUIRE(rows.size() == count);
    std::size_t different = 0;
    for (std::size_t i = 0; i < count; ++i) {
        Dwarf_Line* const line = dwarf_onesrcline(lines, i);
        Dwarf_Addr address = 0;
        int number = 0, column = 0;
        bool ends = false;
        dwarf_lineaddr(line, &address);
        dwarf_lineno(line, &number);
        dwarf_linecol(line, &column);
        dwarf_lineendsequence(line, &ends);
        const LineTable::Row& row = rows[i];
        bool is_equal = row.address == address && row.ends_sequence() == ends;
        if (!ends) {
            const std::string file = absolute_source_path(dwarf_linesrc(line, nullptr, nullptr), unit);
            is_equal = is_equal && row.line == static_cast<unsigned>(number) &&
                       row.column == static_cast<unsigned>(column) && table.file_of(row) == file;
        }
        for (const Dwarf_Addr at : {address, address + 1}) {
            Dwarf_Line* const expected = dwarf_getsrc_die(&unit, at);
            const LineTable::Row* const found = table.row_at(at);
            int expected_number = 0;
            if (expected != nullptr) dwarf_lineno(expected, &expected_number);
            is_equal = is_equal && (expected != nullptr) == (found != nullptr) &&
                       (found == nullptr || found->line == static_cast<unsigned>(expected_number));
        }
        different += is_equal ? 0 : 1;
    }
    CHECK(different == 0);
    return count;
}

}  // namespace

TEST_CASE("A line table has the rows and files that libdw finds") {
    std::size_t split_rows = 0;
    for (const Sample& sample : samples) {
        INFO(sample.path);
        const ModuleSet set = open_file(sample.path);
        std::size_t rows = 0, files = 0;
        for_each_unit(set.modules().front()->dwarf(), [&](Dwarf_Die unit) {
            const LineTable table(unit);
            rows += compare(unit, table);
            CHECK_FALSE(table.needs_libdw());
            Dwarf_Die split{};
            if (dwarf_cu_info(unit.cu, nullptr, nullptr, nullptr, &split, nullptr, nullptr, nullptr) == 0 &&
                split.addr != nullptr)
                split_rows += compare(split, LineTable(split));
            Dwarf_Files* all = nullptr;
            std::size_t count = 0;
            if (dwarf_getsrcfiles(&unit, &all, &count) != 0) return;
            for (std::size_t i = 1; i < count; ++i) {
                const std::string expected =
                    absolute_source_path(dwarf_filesrc(all, i, nullptr, nullptr), unit);
                files += table.file(i) == expected ? 1 : 0;
                if (table.file(i) != expected) CHECK(table.file(i) == expected);
            }
            CHECK(table.file(count).empty());
        });
        CHECK(rows > 50);
        CHECK(files > 5);
    }
    CHECK(split_rows > 50);
}

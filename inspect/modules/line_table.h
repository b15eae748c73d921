#pragma once

#include <elfutils/libdw.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace asyncdump {

/// A unit's source files, and which of its code belongs to which line: what the line number program of DWARF
/// 2 to 5 says (DWARF 5, section 6.2), in the order that libdw gives it.
///
/// libdw keeps a hundred bytes for each row of the whole unit, and reads them all for the name of one file.
/// Here a row takes 16, and files need only the program's header. What is not as GCC and clang write it for
/// x86-64 (forms of another kind, several operations in one instruction, more columns or files than fit in 16
/// bits) is read by libdw.
class LineTable {
  public:
    struct Row {
        static constexpr std::uint16_t end_of_sequence = 0xFFFF;

        Dwarf_Addr address = 0;
        std::uint32_t line = 0;    ///< 0: the code belongs to no line
        std::uint16_t column = 0;  ///< 0: not told
        std::uint16_t file = 0;    ///< see file_of(); or end_of_sequence: no code from here to the next row
        bool ends_sequence() const { return file == end_of_sequence; }
        friend bool operator==(const Row&, const Row&) = default;
    };

    /// Of a unit by its root DIE, whose Dwarf has to live as long.
    explicit LineTable(const Dwarf_Die& unit);

    /// The one that lives as long as the unit's module; nullptr when that was never asked for code of the
    /// unit.
    static const LineTable* of(const Dwarf_Die& unit);

    /// Whether something in it is not as usual. Known of its rows only once they were asked for.
    bool needs_libdw() const { return by_libdw_; }

    /// As a path, absolute if the unit tells its directory. "" when there is none of this number.
    std::string file(std::uint64_t number) const;
    /// The same of a row of this table: a split unit (.dwo) has files of its own, and rows of its skeleton's.
    std::string file_of(const Row& row) const;

    /// Sorted by address; at one address in the order of the program, a sequence's end first.
    std::span<const Row> rows() const;

    /// The last row at or before the address; nullptr where no code is.
    const Row* row_at(Dwarf_Addr address) const;

  private:
    struct File {
        const char* name;
        std::uint64_t directory;
    };
    struct Format {
        std::uint8_t version = 0, minimum_length = 0, line_range = 0, opcode_base = 0;
        std::int8_t line_base = 0;
        std::span<const unsigned char> operand_counts;  ///< of the standard opcodes, from 1 on
        std::span<const unsigned char> program;
    };
    struct Reader;
    std::string absolute(std::string path) const;
    void read_rows_by_libdw() const;

    mutable Dwarf_Die unit_;  // libdw takes DIEs by non-const pointer
    const char* compilation_directory_ = nullptr;
    std::vector<const char*> directories_;
    std::vector<File> files_;  ///< from 0 on in DWARF 5, else from 1 on
    Format format_;
    mutable bool by_libdw_ = true;
    mutable bool rows_read_ = false;
    mutable std::vector<Row> rows_;
    mutable std::vector<std::string> files_of_rows_;  ///< of those that libdw read
};

}  // namespace asyncdump

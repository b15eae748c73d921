#include "modules/line_table.h"

#include <dwarf.h>
#include <gelf.h>

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <map>
#include <optional>
#include <string_view>
#include <tuple>
#include <utility>

#include "base/sort_runs.h"
#include "modules/dwarf_bytes.h"
#include "modules/unit_outlines.h"

namespace asyncdump {
namespace {

using Bytes = std::span<const unsigned char>;

constexpr std::uint64_t most_entries = 1 << 20;  ///< of a header's tables
constexpr std::size_t most_rows = 1 << 26;

/// By one of its names. libdw has uncompressed what it has read; what it has not is not taken.
Bytes section(Dwarf* dwarf, std::initializer_list<std::string_view> names) {
    Elf* const elf = dwarf_getelf(dwarf);
    std::size_t name_table = 0;
    if (elf == nullptr || elf_getshdrstrndx(elf, &name_table) != 0) return {};
    for (Elf_Scn* at = elf_nextscn(elf, nullptr); at != nullptr; at = elf_nextscn(elf, at)) {
        GElf_Shdr header;
        if (gelf_getshdr(at, &header) == nullptr || header.sh_type == SHT_NOBITS) continue;
        const char* const name = elf_strptr(elf, name_table, header.sh_name);
        if (name == nullptr || std::ranges::find(names, std::string_view(name)) == names.end()) continue;
        if ((header.sh_flags & SHF_COMPRESSED) != 0) return {};
        const Elf_Data* const data = elf_rawdata(at, nullptr);
        if (data == nullptr || data->d_buf == nullptr) return {};
        return {static_cast<const unsigned char*>(data->d_buf), data->d_size};
    }
    return {};
}

const char* string_at(Bytes strings, std::uint64_t offset) {
    DwarfBytes bytes(strings);
    bytes.skip(offset);
    const char* const text = bytes.string();
    return bytes.failed() ? nullptr : text;
}

void order(std::vector<LineTable::Row>& rows) {
    sort_runs(rows, [](const LineTable::Row& row) { return std::pair(row.address, !row.ends_sequence()); });
    if (!rows.empty()) rows.back().file = LineTable::Row::end_of_sequence;
}

}  // namespace

struct LineTable::Reader {
    LineTable& table;
    Dwarf* dwarf;
    std::size_t offset_size;
    std::optional<Bytes> line_strings, strings;  ///< sections, once they were asked for

    /// False when something is not as usual.
    bool read_header(DwarfBytes bytes) {
        std::uint64_t length = bytes.fixed(4);
        if (length == 0xFFFFFFFF) {
            offset_size = 8;
            length = bytes.fixed(8);
        }
        const std::uint64_t end = bytes.place() + length;
        Format& format = table.format_;
        format.version = static_cast<std::uint8_t>(bytes.fixed(1));
        if (bytes.fixed(1) != 0 || format.version < 2 || format.version > 5) return false;
        if (format.version == 5) {
            const std::uint64_t address_size = bytes.fixed(1), segment_selector_size = bytes.fixed(1);
            if (address_size != sizeof(Dwarf_Addr) || segment_selector_size != 0) return false;
        }
        const std::uint64_t header_length = bytes.fixed(offset_size);
        const std::uint64_t program = bytes.place() + header_length;
        format.minimum_length = static_cast<std::uint8_t>(bytes.fixed(1));
        const std::uint64_t operations = format.version >= 4 ? bytes.fixed(1) : 1;
        bytes.skip(1);  // default_is_stmt: statements are not asked for
        format.line_base = static_cast<std::int8_t>(bytes.fixed(1));
        format.line_range = static_cast<std::uint8_t>(bytes.fixed(1));
        format.opcode_base = static_cast<std::uint8_t>(bytes.fixed(1));
        if (operations != 1 || format.line_range == 0 || format.opcode_base == 0) return false;
        format.operand_counts = bytes.up_to(bytes.place() + format.opcode_base - 1);
        const bool read = format.version == 5 ? read_tables(bytes) : read_old_tables(bytes);
        if (!read || bytes.failed()) return false;
        bytes.go_to(program);
        format.program = bytes.up_to(end);
        return !bytes.failed();
    }

    bool read_old_tables(DwarfBytes& bytes) {
        table.directories_.push_back(nullptr);  // the compilation directory
        while (!bytes.failed() && table.directories_.size() < most_entries) {
            const char* const name = bytes.string();
            if (*name == 0) break;
            table.directories_.push_back(name);
        }
        table.files_.push_back({nullptr, 0});
        while (!bytes.failed() && table.files_.size() < most_entries) {
            const char* const name = bytes.string();
            if (*name == 0) break;
            table.files_.push_back({name, bytes.leb128()});
            bytes.leb128();  // time
            bytes.leb128();  // size
        }
        return true;
    }

    bool read_tables(DwarfBytes& bytes) {
        return read_table(bytes, [&](const File& entry) { table.directories_.push_back(entry.name); }) &&
               read_table(bytes, [&](const File& entry) { table.files_.push_back(entry); });
    }

    template <class Add>
    bool read_table(DwarfBytes& bytes, Add add) {
        std::vector<std::pair<std::uint64_t, std::uint64_t>> formats(bytes.fixed(1));
        for (auto& [content, form] : formats) {
            content = bytes.leb128();
            form = bytes.leb128();
        }
        const std::uint64_t count = bytes.leb128();
        if (count > most_entries || (formats.empty() && count != 0)) return false;
        for (std::uint64_t i = 0; i < count && !bytes.failed(); ++i) {
            File entry{nullptr, 0};
            for (const auto& [content, form] : formats) {
                const bool read = content == DW_LNCT_path ? read_name(bytes, form, entry.name)
                                                          : read_number(bytes, form, content, entry);
                if (!read) return false;
            }
            if (entry.name == nullptr) return false;
            add(entry);
        }
        return !bytes.failed();
    }

    bool read_name(DwarfBytes& bytes, std::uint64_t form, const char*& name) {
        switch (form) {
            case DW_FORM_string:
                name = bytes.string();
                return true;
            case DW_FORM_line_strp:
                name = string_of(line_strings, ".debug_line_str", ".zdebug_line_str", bytes);
                return true;
            case DW_FORM_strp:
                name = string_of(strings, ".debug_str", ".zdebug_str", bytes);
                return true;
            default:
                return false;
        }
    }

    static bool read_number(DwarfBytes& bytes, std::uint64_t form, std::uint64_t content, File& entry) {
        std::uint64_t value = 0;
        switch (form) {
            case DW_FORM_udata:
                value = bytes.leb128();
                break;
            case DW_FORM_data1:
                value = bytes.fixed(1);
                break;
            case DW_FORM_data2:
                value = bytes.fixed(2);
                break;
            case DW_FORM_data4:
                value = bytes.fixed(4);
                break;
            case DW_FORM_data8:
                value = bytes.fixed(8);
                break;
            case DW_FORM_data16:  // an MD5 sum
                bytes.skip(16);
                break;
            default:
                return false;
        }
        if (content == DW_LNCT_directory_index) entry.directory = value;
        return true;
    }

    const char* string_of(std::optional<Bytes>& strings_of, std::string_view name, std::string_view old_name,
                          DwarfBytes& bytes) {
        if (!strings_of) strings_of = section(dwarf, {name, old_name});
        return string_at(*strings_of, bytes.fixed(offset_size));
    }

    /// Runs the program. False when something is not as usual.
    static bool read_rows(const Format& format, std::vector<Row>& rows) {
        struct State {
            Dwarf_Addr address = 0;
            std::uint32_t line = 1;
            std::uint64_t column = 0, file = 1;
        };
        State state;
        const auto add_row = [&](bool ends_sequence) {
            const bool fits = state.column <= 0xFFFF && state.file < Row::end_of_sequence;
            const std::uint64_t file = ends_sequence ? Row::end_of_sequence : state.file;
            rows.push_back({state.address, state.line, static_cast<std::uint16_t>(state.column),
                            static_cast<std::uint16_t>(file)});
            return fits && rows.size() < most_rows;
        };
        const auto advance = [&](std::uint64_t operations) {
            state.address += operations * format.minimum_length;
        };
        const auto advance_line = [&](std::int64_t by) {
            state.line = static_cast<std::uint32_t>(static_cast<std::uint64_t>(state.line) +
                                                    static_cast<std::uint64_t>(by));
        };
        rows.reserve(format.program.size() / 4);
        DwarfBytes bytes(format.program);
        while (!bytes.at_end()) {
            const auto opcode = static_cast<unsigned>(bytes.fixed(1));
            if (opcode >= format.opcode_base) {
                const unsigned adjusted = opcode - format.opcode_base;
                advance(adjusted / format.line_range);
                advance_line(format.line_base + static_cast<std::int64_t>(adjusted % format.line_range));
                if (!add_row(false)) return false;
                continue;
            }
            switch (opcode) {
                case 0: {
                    const std::uint64_t length = bytes.leb128();
                    const std::uint64_t end = bytes.place() + length;
                    const std::uint64_t extended = length != 0 ? bytes.fixed(1) : 0;
                    if (extended == DW_LNE_define_file) return false;
                    if (extended == DW_LNE_set_address) {
                        if (length != 1 + sizeof(Dwarf_Addr)) return false;
                        state.address = bytes.fixed(sizeof(Dwarf_Addr));
                    } else if (extended == DW_LNE_end_sequence) {
                        if (!add_row(true)) return false;
                        state = {};
                    }
                    bytes.go_to(end);
                    break;
                }
                case DW_LNS_copy:
                    if (!add_row(false)) return false;
                    break;
                case DW_LNS_advance_pc:
                    advance(bytes.leb128());
                    break;
                case DW_LNS_advance_line:
                    advance_line(bytes.signed_leb128());
                    break;
                case DW_LNS_set_file:
                    state.file = bytes.leb128();
                    break;
                case DW_LNS_set_column:
                    state.column = bytes.leb128();
                    break;
                case DW_LNS_const_add_pc:
                    advance((255U - format.opcode_base) / format.line_range);
                    break;
                case DW_LNS_fixed_advance_pc:
                    state.address += bytes.fixed(2);
                    break;
                default:
                    for (unsigned i = 0; i < format.operand_counts[opcode - 1]; ++i) bytes.leb128();
            }
        }
        return !bytes.failed();
    }
};

LineTable::LineTable(const Dwarf_Die& unit) : unit_(unit) {
    Dwarf_Attribute attribute;
    compilation_directory_ = dwarf_formstring(dwarf_attr(&unit_, DW_AT_comp_dir, &attribute));
    Dwarf_Word offset = 0;
    Dwarf* const dwarf = dwarf_cu_getdwarf(unit_.cu);
    if (dwarf_attr(&unit_, DW_AT_stmt_list, &attribute) == nullptr ||
        dwarf_formudata(&attribute, &offset) != 0)
        return;
    DwarfBytes bytes(section(dwarf, {".debug_line", ".zdebug_line"}));
    bytes.skip(offset);
    by_libdw_ = bytes.failed() || !Reader{*this, dwarf, 4, {}, {}}.read_header(bytes);
}

std::string LineTable::absolute(std::string path) const {
    if (path.empty() || path.front() == '/' || compilation_directory_ == nullptr) return path;
    return std::string(compilation_directory_) + "/" + path;
}

std::string LineTable::file_of(const Row& row) const {
    if (!by_libdw_) return file(row.file);
    return row.file < files_of_rows_.size() ? absolute(files_of_rows_[row.file]) : "";
}

std::string LineTable::file(std::uint64_t number) const {
    if (by_libdw_) {
        Dwarf_Files* files = nullptr;
        std::size_t count = 0;
        if (dwarf_getsrcfiles(&unit_, &files, &count) != 0 || number >= count) return {};
        const char* const path = dwarf_filesrc(files, number, nullptr, nullptr);
        const bool is_none = path == nullptr || std::string_view(path) == "???";  // number 0 before DWARF 5
        return is_none ? "" : absolute(path);
    }
    if (number >= files_.size() || files_[number].name == nullptr) return {};
    const File& file = files_[number];
    if (*file.name == '/' || file.directory >= directories_.size()) return absolute(file.name);
    const char* const directory = directories_[file.directory];
    return absolute(directory != nullptr ? std::string(directory) + "/" + file.name : file.name);
}

std::span<const LineTable::Row> LineTable::rows() const {
    if (rows_read_) return rows_;
    rows_read_ = true;
    by_libdw_ = by_libdw_ || !Reader::read_rows(format_, rows_);
    if (by_libdw_)
        read_rows_by_libdw();
    else
        order(rows_);
    return rows_;
}

void LineTable::read_rows_by_libdw() const {
    Dwarf_Lines* lines = nullptr;
    std::size_t count = 0;
    rows_.clear();
    if (dwarf_getsrclines(&unit_, &lines, &count) != 0) return;
    std::map<std::string_view, std::size_t> numbers;
    for (std::size_t i = 0; i < count; ++i) {
        Dwarf_Line* const line = dwarf_onesrcline(lines, i);
        Row row;
        int number = 0, column = 0;
        bool ends = false;
        dwarf_lineaddr(line, &row.address);
        if (dwarf_lineno(line, &number) == 0 && number > 0) row.line = static_cast<std::uint32_t>(number);
        if (dwarf_linecol(line, &column) == 0 && column > 0 && column <= 0xFFFF)
            row.column = static_cast<std::uint16_t>(column);
        const char* const path = dwarf_linesrc(line, nullptr, nullptr);
        const auto [file, is_new] = numbers.try_emplace(path != nullptr ? path : "", files_of_rows_.size());
        if (is_new) files_of_rows_.emplace_back(file->first);
        if (file->second < Row::end_of_sequence)
            row.file = static_cast<std::uint16_t>(file->second);
        else
            row.line = 0;
        if (dwarf_lineendsequence(line, &ends) == 0 && ends) row.file = Row::end_of_sequence;
        rows_.push_back(row);
    }
}

const LineTable::Row* LineTable::row_at(Dwarf_Addr address) const {
    const auto all = rows();
    const auto after = std::ranges::upper_bound(all, address, {}, &Row::address);
    if (after == all.begin() || std::prev(after)->ends_sequence()) return nullptr;
    return &*std::prev(after);
}

const LineTable* LineTable::of(const Dwarf_Die& unit) {
    UnitOutlines* const outlines = UnitOutlines::of(unit);
    return outlines != nullptr ? &outlines->lines(unit) : nullptr;
}

}  // namespace asyncdump

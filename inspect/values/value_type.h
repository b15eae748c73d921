#pragma once

#include <elfutils/libdw.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "values/type_definitions.h"

namespace asyncdump {

struct StandardPrinter;
class TypeTable;
class ValueType;

struct ValueField {
    std::string name;  ///< "" for a base class and an anonymous member
    const ValueType* type = nullptr;
    std::uint32_t offset = 0;
    bool is_base = false;
    std::optional<std::uint32_t> bit_offset, bit_size;  ///< of a bit-field
};

/// A type as values are printed by it. Typedefs and qualifiers are gone. What a type refers to is read from
/// debug information when it is first asked for, because types refer to each other in circles.
class ValueType {
  public:
    enum class Kind : std::uint8_t {
        unknown,
        boolean,
        character,
        signed_integer,
        unsigned_integer,
        floating,
        enumeration,
        pointer,
        reference,
        array,
        record,  ///< struct or class
        one_of,  ///< union
        function,
        nothing,  ///< void, decltype(nullptr)
    };

    Kind kind() const { return kind_; }
    /// Readable and qualified: "std::vector<int>". Never "".
    const std::string& name() const;
    /// The name without template arguments and inline namespaces, "std::vector", by which printers are found.
    const std::string& family() const { return family_; }
    /// Of a record or union as debug information has it, with inline namespaces:
    /// "std::__cxx11::basic_string<char, ...>".
    const std::string& full_name() const { return full_name_; }
    std::uint32_t size() const;       ///< in bytes; 0 when unknown
    std::uint32_t alignment() const;  ///< in bytes; 1 when unknown
    const StandardPrinter* printer() const { return printer_; }

    /// What a pointer or reference points to, an array consists of, an enumeration is stored as; nullptr for
    /// void and for types without one.
    const ValueType* target() const;
    std::uint32_t element_count() const;            ///< of an array; 0 when unknown
    const std::vector<ValueField>& fields() const;  ///< of a record or union, in order, base classes included
    bool is_declaration() const;                    ///< its members are not described anywhere
    bool is_scoped_enumeration() const;             ///< enum class
    const std::vector<std::pair<std::int64_t, std::string>>& enumerators() const;
    /// The n-th type among the template's arguments, packs opened; nullptr when there is none.
    const ValueType* template_type(std::size_t n) const;
    /// The n-th constant among the template's arguments.
    std::optional<std::int64_t> template_value(std::size_t n) const;

  private:
    friend class TypeTable;
    ValueType(TypeTable& table, Dwarf_Die die);
    void read_template_arguments() const;
    void add_template_argument(Dwarf_Die argument, int depth) const;
    Dwarf_Die definition() const;

    TypeTable& table_;
    mutable Dwarf_Die die_;  // libdw takes DIEs by non-const pointer
    Kind kind_ = Kind::unknown;
    mutable std::string name_;
    std::string full_name_, family_;
    const StandardPrinter* printer_ = nullptr;
    mutable std::optional<Dwarf_Die> definition_;
    mutable std::optional<std::uint32_t> size_, alignment_;
    mutable std::optional<const ValueType*> target_;
    mutable std::optional<std::vector<ValueField>> fields_;
    mutable std::optional<std::vector<std::pair<std::int64_t, std::string>>> enumerators_;
    mutable bool template_arguments_read_ = false;
    mutable std::vector<const ValueType*> template_types_;
    mutable std::vector<std::int64_t> template_values_;
};

/// The types that were met, each read once. Not thread-safe: libdw is not. The modules must outlive it.
class TypeTable {
  public:
    TypeTable() = default;
    TypeTable(const TypeTable&) = delete;
    TypeTable& operator=(const TypeTable&) = delete;

    /// Of a type DIE, typedefs and qualifiers included.
    const ValueType& of(Dwarf_Die type);

    /// The class without typedefs and qualifiers, by its definition where another unit has it; else as it is.
    Dwarf_Die definition_of(Dwarf_Die type);

  private:
    friend class ValueType;
    std::unordered_map<const void*, std::unique_ptr<ValueType>> types_;
    TypeDefinitions definitions_;
};

}  // namespace asyncdump

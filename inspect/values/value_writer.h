#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "process/memory.h"
#include "values/value_type.h"

namespace asyncdump {

/// How much of a value is shown. Whatever memory holds, printing ends after a few hundred reads.
struct ValueLimits {
    std::size_t text = 64;     ///< bytes of a string
    std::size_t elements = 5;  ///< of a container
    std::size_t fields = 8;    ///< of a class
    std::size_t length = 240;  ///< of the whole text, in bytes
    std::size_t steps = 400;   ///< reads
    int record_depth = 1;      ///< classes within classes: 1 shows the fields of the outermost
    int depth = 8;             ///< everything within everything
};

/// Names for addresses, where there are any: "" for an unknown one. Either may be empty.
struct ValueNames {
    std::function<std::string(RemoteAddress frame)> coroutine;
    std::function<std::string(RemoteAddress code)> function;
};

/// An object in memory.
struct ValueAt {
    const ValueType* type = nullptr;
    RemoteAddress address;
};

/// Writes one value as short text. Memory is not trusted: what cannot be read or makes no sense is written as
/// "<unreadable>".
class ValueWriter {
  public:
    ValueWriter(const Memory& memory, const ValueNames& names, const ValueLimits& limits)
        : memory_(memory), names_(names), limits_(limits) {}

    void value(const ValueAt& value);
    std::string take();  ///< what was written, cut to the limit

    // For the printers of library types:

    void text(std::string_view text) { out_ += text; }
    void unreadable(RemoteAddress address);
    const ValueLimits& limits() const { return limits_; }
    const ValueNames& names() const { return names_; }

    std::optional<std::uint64_t> read_unsigned(RemoteAddress address, std::uint32_t size);
    std::optional<RemoteAddress> read_pointer(RemoteAddress address);
    /// Of an integer, boolean, enumeration or pointer; sign-extended where the type is signed.
    std::optional<std::int64_t> read_integer(const ValueAt& value);

    /// The first member of this name at any depth (the outermost first), base classes included. Library types
    /// are found through by it: their members' names are unique, their nesting changes with versions.
    std::optional<ValueAt> member(const ValueAt& object, std::initializer_list<std::string_view> names,
                                  const std::function<bool(const ValueType&)>& accepts = {}) const;

    /// The first base class, at any depth, whose name (without its scope) begins with one of these, and not
    /// with a longer number or word.
    std::optional<ValueAt> base_named(const ValueAt& object,
                                      const std::vector<std::string>& beginnings) const;

    /// A character string of `length` characters of `width` bytes (1, 2 or 4) in quotes, cut to the limit.
    void characters(RemoteAddress begin, std::uint64_t length, std::uint32_t width);
    /// Up to the terminating zero, or all of `available` characters (of an array) where there is none.
    void zero_terminated(RemoteAddress begin, std::uint32_t width,
                         std::uint64_t available = std::numeric_limits<std::uint64_t>::max());

    /// "3 elements {1, 2, 3}". `write_next` writes the next element; false when it could not be reached: then
    /// the rest is unreadable.
    void elements(std::uint64_t count, const std::function<bool()>& write_next);
    void contiguous(const ValueType& element, RemoteAddress begin, std::uint64_t count);

    void address(RemoteAddress address);

  private:
    bool is_full() const { return out_.size() >= limits_.length || steps_ >= limits_.steps; }
    void number(const ValueAt& value);
    void floating(const ValueAt& value);
    void character(const ValueAt& value);
    void enumeration(const ValueAt& value);
    void pointer(const ValueAt& value);
    void record(const ValueAt& value);
    void fields(const ValueAt& value, std::size_t& written, int depth);
    void bit_field(const ValueField& field, RemoteAddress object);
    void encoded(std::uint32_t code_point, char quote);

    const Memory& memory_;
    const ValueNames& names_;
    ValueLimits limits_;
    std::string out_;
    std::size_t steps_ = 0;
    int depth_ = 0;
    int record_depth_ = 0;
};

/// All at once.
std::string print_value(const Memory& memory, const ValueAt& value, const ValueNames& names = {},
                        const ValueLimits& limits = {});

}  // namespace asyncdump

#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

#include "base/remote_address.h"
#include "report/output_buffer.h"

namespace asyncdump {

/// Writes JSON as it goes, without building a document. The caller keeps objects and arrays balanced and
/// gives each member of an object a key. Text is made valid UTF-8; control characters, also those above
/// U+007F and Unicode's directional ones, are escaped, so that the output does no harm to a terminal either.
class JsonWriter {
  public:
    explicit JsonWriter(const Output& output) : output_(output) {}

    void begin_object() { open('{'); }
    void end_object() { close('}'); }
    void begin_array() { open('['); }
    void end_array() { close(']'); }

    /// `name` is a word of the schema, which needs no escape.
    JsonWriter& key(std::string_view name);
    /// After the outermost value: ends the last line and hands out what is left.
    void finish() {
        output_.append('\n');
        output_.flush();
    }
    /// The next key, value or closing bracket begins a line.
    void break_line() { line_break_due_ = true; }

    void string(std::string_view text);
    void number(std::int64_t value);
    void number(std::uint64_t value);
    void number(std::int32_t value) { number(std::int64_t{value}); }
    void number(std::uint32_t value) { number(std::uint64_t{value}); }
    void boolean(bool value) { word(value ? "true" : "false"); }
    void null() { word("null"); }

    void address(RemoteAddress address);                    ///< "0x55d0c0ffee00"
    void time(std::chrono::system_clock::time_point time);  ///< "2026-11-21T18:00:00.123Z"
    /// null instead of an empty text.
    void string_or_null(std::string_view text);
    /// null instead of 0.
    template <class Number>
    void number_or_null(Number value) {
        if (value == 0) {
            null();
        } else {
            number(value);
        }
    }

  private:
    void open(char bracket);
    void close(char bracket);
    void word(std::string_view text);
    void begin_element();
    void escaped(std::string_view text);

    OutputBuffer output_;
    bool comma_due_ = false;
    bool line_break_due_ = false;
};

}  // namespace asyncdump

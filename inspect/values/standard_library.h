#pragma once

#include <string_view>

namespace asyncdump {

struct ValueAt;
class ValueWriter;

/// How objects of one library type are written. A row of the table in standard_library.cpp; docs/values.md
/// says how to add one.
struct StandardPrinter {
    std::string_view family;  ///< ValueType::family(): "std::vector"
    void (*print)(ValueWriter& writer, const ValueAt& object);
};

/// nullptr for a type that is written as its fields.
const StandardPrinter* find_standard_printer(std::string_view family);

// By file:
namespace printers {
void string(ValueWriter& writer, const ValueAt& object);
void string_view(ValueWriter& writer, const ValueAt& object);
void path(ValueWriter& writer, const ValueAt& object);

void vector(ValueWriter& writer, const ValueAt& object);
void array(ValueWriter& writer, const ValueAt& object);
void span(ValueWriter& writer, const ValueAt& object);
void deque(ValueWriter& writer, const ValueAt& object);
void list(ValueWriter& writer, const ValueAt& object);
void forward_list(ValueWriter& writer, const ValueAt& object);
void map(ValueWriter& writer, const ValueAt& object);
void set(ValueWriter& writer, const ValueAt& object);
void unordered_map(ValueWriter& writer, const ValueAt& object);
void unordered_set(ValueWriter& writer, const ValueAt& object);
void adapter(ValueWriter& writer, const ValueAt& object);

void pair(ValueWriter& writer, const ValueAt& object);
void tuple(ValueWriter& writer, const ValueAt& object);
void optional(ValueWriter& writer, const ValueAt& object);
void variant(ValueWriter& writer, const ValueAt& object);

void unique_ptr(ValueWriter& writer, const ValueAt& object);
void shared_ptr(ValueWriter& writer, const ValueAt& object);
void weak_ptr(ValueWriter& writer, const ValueAt& object);
void reference_wrapper(ValueWriter& writer, const ValueAt& object);
void function(ValueWriter& writer, const ValueAt& object);
void coroutine_handle(ValueWriter& writer, const ValueAt& object);

void duration(ValueWriter& writer, const ValueAt& object);
void time_point(ValueWriter& writer, const ValueAt& object);

void atomic(ValueWriter& writer, const ValueAt& object);
void mutex(ValueWriter& writer, const ValueAt& object);
void monostate(ValueWriter& writer, const ValueAt& object);
void error_code(ValueWriter& writer, const ValueAt& object);
}  // namespace printers

}  // namespace asyncdump

// std::string, string_view, filesystem::path.
#include "values/standard_library.h"
#include "values/value_writer.h"

namespace asyncdump::printers {
namespace {

/// Clang describes no standard strings in a program's own debug information ("extern template"), so that
/// their ABI has to be known: it has not changed since it was introduced.
///
/// libstdc++ (std::__cxx11): pointer, length, 16 bytes of local buffer or capacity.
void gnu_string(ValueWriter& writer, RemoteAddress object, std::uint32_t width) {
    const auto begin = writer.read_pointer(object);
    const auto length = writer.read_unsigned(object + 8, 8);
    if (!begin || !length) return writer.unreadable(object);
    // A short string lies in the object itself, which may have been put together of pieces.
    writer.characters(*begin, *length, width);
}

/// libstdc++ with _GLIBCXX_USE_CXX11_ABI=0: one pointer to the characters, length and capacity before them.
void gnu_shared_string(ValueWriter& writer, RemoteAddress object, std::uint32_t width) {
    const auto begin = writer.read_pointer(object);
    const auto length = begin ? writer.read_unsigned(*begin - 24, 8) : std::nullopt;
    if (!begin || !length) return writer.unreadable(object);
    writer.characters(*begin, *length, width);
}

/// libc++ on little-endian machines: bit 0 of the first byte says long; long: capacity, length, pointer;
/// short: 7 bits of length, then the characters (at the alignment of one).
void llvm_string(ValueWriter& writer, RemoteAddress object, std::uint32_t width) {
    const auto first = writer.read_unsigned(object, 1);
    if (!first) return writer.unreadable(object);
    if ((*first & 1) == 0) return writer.characters(object + width, *first >> 1, width);
    const auto length = writer.read_unsigned(object + 8, 8);
    const auto begin = writer.read_pointer(object + 16);
    if (!length || !begin) return writer.unreadable(object);
    writer.characters(*begin, *length, width);
}

std::uint32_t character_width(const ValueType& type) {
    const std::string& name = type.full_name();
    const auto argument = name.find('<');
    if (argument == std::string::npos) return 1;
    const std::string_view rest = std::string_view(name).substr(argument + 1);
    if (rest.starts_with("wchar_t") || rest.starts_with("char32_t")) return 4;
    return rest.starts_with("char16_t") ? 2 : 1;
}

}  // namespace

void string(ValueWriter& writer, const ValueAt& object) {
    const std::string& name = object.type->full_name();
    const std::uint32_t width = character_width(*object.type);
    if (name.find("std::__cxx11::") == 0) return gnu_string(writer, object.address, width);
    if (name.find("std::__") == 0) return llvm_string(writer, object.address, width);
    gnu_shared_string(writer, object.address, width);
}

void string_view(ValueWriter& writer, const ValueAt& object) {
    const auto begin = writer.member(object, {"_M_str", "__data_", "__data"});
    const auto length = writer.member(object, {"_M_len", "__size_", "__size"});
    const auto at = begin ? writer.read_pointer(begin->address) : std::nullopt;
    const auto characters = length ? writer.read_integer(*length) : std::nullopt;
    if (!at || !characters) return writer.unreadable(object.address);
    writer.characters(*at, static_cast<std::uint64_t>(*characters), character_width(*object.type));
}

void path(ValueWriter& writer, const ValueAt& object) {
    const auto name = writer.member(object, {"_M_pathname", "__pn_"});
    if (!name) return writer.unreadable(object.address);
    writer.value(*name);
}

}  // namespace asyncdump::printers

#include "values/value_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <vector>

#include "values/pieced_memory.h"
#include "values/standard_library.h"

namespace asyncdump {
namespace {

constexpr int deepest_member = 10;
constexpr std::size_t most_members_looked_at = 400;
/// Longer strings and larger containers than this do not exist: memory was overwritten, or never written.
constexpr std::uint64_t largest_count = 1ULL << 40;

std::int64_t sign_extended(std::uint64_t bits, std::uint32_t bytes) {
    if (bytes == 0 || bytes >= 8) return static_cast<std::int64_t>(bits);
    const std::uint64_t sign = 1ULL << (bytes * 8 - 1);
    return static_cast<std::int64_t>((bits ^ sign) - sign);
}

bool is_plain_char(const ValueType* type) {
    return type != nullptr && type->kind() == ValueType::Kind::character;
}

bool is_compilers_own(std::string_view field) {
    return field.starts_with("_vptr");
}

/// GCC calls the capture x of a lambda __x.
std::string_view capture_name(std::string_view field, const ValueType& type) {
    const std::string& name = type.full_name();
    if (field.starts_with("__") && (name.empty() || name.find("lambda") != std::string::npos))
        field.remove_prefix(2);
    return field;
}

}  // namespace

std::string ValueWriter::take() {
    if (out_.size() > limits_.length) {
        std::size_t end = limits_.length;
        while (end > 0 && (static_cast<unsigned char>(out_[end]) & 0xC0) == 0x80)
            --end;  // within a character
        out_.resize(end);
        out_ += "...";
    }
    return std::move(out_);
}

void ValueWriter::unreadable(RemoteAddress address) {
    out_ += PiecedMemory::is_pieced(address) ? "<optimized out>" : "<unreadable>";
}

void ValueWriter::address(RemoteAddress address) {
    out_ += fmt::format("{:#x}", address.value());
}

std::optional<std::uint64_t> ValueWriter::read_unsigned(RemoteAddress address, std::uint32_t size) {
    std::uint64_t value = 0;
    if (size == 0 || size > 8 || ++steps_ > limits_.steps) return std::nullopt;
    if (!memory_.read_all(address, std::as_writable_bytes(std::span(&value, 1)).first(size)))
        return std::nullopt;
    return value;
}

std::optional<RemoteAddress> ValueWriter::read_pointer(RemoteAddress address) {
    const auto value = read_unsigned(address, 8);
    return value ? std::optional(RemoteAddress(*value)) : std::nullopt;
}

std::optional<std::int64_t> ValueWriter::read_integer(const ValueAt& value) {
    const auto bits = read_unsigned(value.address, value.type->size());
    if (!bits) return std::nullopt;
    const ValueType* type = value.type;
    if (type->kind() == ValueType::Kind::enumeration && type->target() != nullptr) type = type->target();
    const bool is_signed = type->kind() == ValueType::Kind::signed_integer;
    return is_signed ? sign_extended(*bits, value.type->size()) : static_cast<std::int64_t>(*bits);
}

std::optional<ValueAt> ValueWriter::member(const ValueAt& object,
                                           std::initializer_list<std::string_view> names,
                                           const std::function<bool(const ValueType&)>& accepts) const {
    struct Place {
        ValueAt value;
        int depth;
    };
    std::vector<Place> places{{object, 0}};
    for (std::size_t i = 0; i < places.size() && i < most_members_looked_at; ++i) {
        const Place place = places[i];
        for (const ValueField& field : place.value.type->fields()) {
            const ValueAt value{field.type, place.value.address + field.offset};
            if (std::ranges::find(names, field.name) != names.end() && (!accepts || accepts(*field.type)))
                return value;
            if (place.depth < deepest_member) places.push_back({value, place.depth + 1});
        }
    }
    return std::nullopt;
}

std::optional<ValueAt> ValueWriter::base_named(const ValueAt& object,
                                               const std::vector<std::string>& beginnings) const {
    const auto is_beginning = [](std::string_view name, std::string_view beginning) {
        if (!name.starts_with(beginning)) return false;
        // Constants are written 0, 0ul or 0UL, by different compilers.
        return name.size() == beginning.size() ||
               std::isdigit(static_cast<unsigned char>(name[beginning.size()])) == 0;
    };
    std::vector<ValueAt> places{object};
    for (std::size_t i = 0; i < places.size() && i < most_members_looked_at; ++i) {
        const ValueAt place = places[i];
        const std::string_view full = place.type->full_name();
        const auto scope = full.substr(0, full.find('<')).rfind("::");
        const std::string_view own = scope == std::string_view::npos ? full : full.substr(scope + 2);
        if (std::ranges::any_of(beginnings, [&](const std::string& text) { return is_beginning(own, text); }))
            return place;
        for (const ValueField& field : place.type->fields()) {
            // libc++ keeps the leaves of a tuple in a member.
            if (field.is_base || field.name == "__base_")
                places.push_back({field.type, place.address + field.offset});
        }
    }
    return std::nullopt;
}

void ValueWriter::value(const ValueAt& value) {
    using Kind = ValueType::Kind;
    if (is_full() || depth_ >= limits_.depth) {
        out_ += "...";
        return;
    }
    ++depth_;
    switch (value.type->kind()) {
        case Kind::boolean:
            if (const auto bits = read_unsigned(value.address, value.type->size())) {
                out_ += *bits == 0 ? "false" : *bits == 1 ? "true" : fmt::format("true ({})", *bits);
            } else {
                unreadable(value.address);
            }
            break;
        case Kind::character:
            character(value);
            break;
        case Kind::signed_integer:
        case Kind::unsigned_integer:
            number(value);
            break;
        case Kind::floating:
            floating(value);
            break;
        case Kind::enumeration:
            enumeration(value);
            break;
        case Kind::pointer:
            pointer(value);
            break;
        case Kind::reference: {
            const auto referred = read_pointer(value.address);
            if (!referred) {
                unreadable(value.address);
            } else if (value.type->target() == nullptr || value.type->target()->kind() == Kind::function) {
                address(*referred);
            } else {
                this->value({value.type->target(), *referred});
            }
            break;
        }
        case Kind::array: {
            const ValueType* element = value.type->target();
            const std::uint32_t count = value.type->element_count();
            if (element == nullptr) {
                out_ += "<unknown type>";
            } else if (is_plain_char(element)) {
                zero_terminated(value.address, element->size(), count);
            } else {
                contiguous(*element, value.address, count);
            }
            break;
        }
        case Kind::record:
        case Kind::one_of:
            if (value.type->printer() != nullptr) {
                value.type->printer()->print(*this, value);
            } else {
                record(value);
            }
            break;
        case Kind::nothing:
            out_ += "nullptr";
            break;
        case Kind::function:
            address(value.address);
            break;
        case Kind::unknown:
            out_ += "<unknown type>";
            break;
    }
    --depth_;
}

void ValueWriter::number(const ValueAt& value) {
    const std::uint32_t size = value.type->size();
    if (size == 16) {  // __int128
        const auto low = read_unsigned(value.address, 8), high = read_unsigned(value.address + 8, 8);
        if (!low || !high) return unreadable(value.address);
        const bool small =
            *high == 0 && (*low >> 63 == 0 || value.type->kind() == ValueType::Kind::unsigned_integer);
        out_ += small ? fmt::format("{}", *low) : fmt::format("{:#x}{:016x}", *high, *low);
        return;
    }
    const auto bits = read_unsigned(value.address, size);
    if (!bits) return unreadable(value.address);
    if (value.type->kind() == ValueType::Kind::signed_integer) {
        out_ += fmt::format("{}", sign_extended(*bits, size));
    } else {
        out_ += fmt::format("{}", *bits);
    }
}

void ValueWriter::floating(const ValueAt& value) {
    std::array<std::byte, 16> bytes{};
    const std::uint32_t size = value.type->size();
    const auto read_as = [&]<class T>(T number) {
        if (++steps_ > limits_.steps || !memory_.read_all(value.address, std::span(bytes).first(size)))
            return unreadable(value.address);
        std::memcpy(&number, bytes.data(), std::min(sizeof number, bytes.size()));
        out_ += fmt::format("{}", number);
    };
    if (size == sizeof(float)) {
        read_as(float{});
    } else if (size == sizeof(double)) {
        read_as(double{});
    } else if (size == sizeof(long double)) {
        read_as(static_cast<long double>(0));
    } else {
        out_ += "<unknown type>";
    }
}

void ValueWriter::encoded(std::uint32_t code_point, char quote) {
    if (code_point == static_cast<unsigned char>(quote) || code_point == '\\') {
        out_ += '\\';
        out_ += static_cast<char>(code_point);
    } else if (code_point == '\n') {
        out_ += "\\n";
    } else if (code_point == '\t') {
        out_ += "\\t";
    } else if (code_point == '\r') {
        out_ += "\\r";
    } else if (code_point < 0x20 || code_point == 0x7f) {
        out_ += fmt::format("\\x{:02x}", code_point);
    } else if (code_point < 0x80) {
        out_ += static_cast<char>(code_point);
    } else if (code_point < 0x800) {
        out_ += static_cast<char>(0xC0 | code_point >> 6);
        out_ += static_cast<char>(0x80 | (code_point & 0x3F));
    } else if (code_point < 0x10000 && (code_point < 0xD800 || code_point > 0xDFFF)) {
        out_ += static_cast<char>(0xE0 | code_point >> 12);
        out_ += static_cast<char>(0x80 | (code_point >> 6 & 0x3F));
        out_ += static_cast<char>(0x80 | (code_point & 0x3F));
    } else if (code_point >= 0x10000 && code_point < 0x110000) {
        out_ += static_cast<char>(0xF0 | code_point >> 18);
        out_ += static_cast<char>(0x80 | (code_point >> 12 & 0x3F));
        out_ += static_cast<char>(0x80 | (code_point >> 6 & 0x3F));
        out_ += static_cast<char>(0x80 | (code_point & 0x3F));
    } else {
        out_ += fmt::format("\\u{{{:x}}}", code_point);
    }
}

void ValueWriter::character(const ValueAt& value) {
    const auto bits = read_unsigned(value.address, value.type->size());
    if (!bits) return unreadable(value.address);
    out_ += '\'';
    if (value.type->size() == 1 && *bits >= 0x80) {
        out_ += fmt::format("\\x{:02x}", *bits);
    } else {
        encoded(static_cast<std::uint32_t>(*bits), '\'');
    }
    out_ += '\'';
}

void ValueWriter::characters(RemoteAddress begin, std::uint64_t length, std::uint32_t width) {
    if (width != 1 && width != 2 && width != 4) {
        out_ += "<unknown type>";
        return;
    }
    if (length >= largest_count) return unreadable(begin);
    std::vector<std::byte> bytes(static_cast<std::size_t>(std::min<std::uint64_t>(length, limits_.text)) *
                                 width);
    if (++steps_ > limits_.steps) return unreadable(begin);
    const std::size_t got = memory_.read(begin, bytes) / width;
    if (got == 0 && length > 0) return unreadable(begin);
    out_ += '"';
    for (std::size_t i = 0; i < got; ++i) {
        std::uint32_t unit = 0;
        std::memcpy(&unit, bytes.data() + i * width, width);
        if (width == 1 && unit >= 0x80) {
            out_ += static_cast<char>(unit);  // a byte of UTF-8, or of what is not: the report sees to it
        } else {
            encoded(unit, '"');
        }
    }
    out_ += '"';
    if (got == length) return;
    out_ += "...";
    if (got * width < bytes.size()) unreadable(begin + got * width);
    out_ += fmt::format(" ({} {})", length, width == 1 ? "bytes" : "characters");
}

void ValueWriter::zero_terminated(RemoteAddress begin, std::uint32_t width, std::uint64_t available) {
    if (width != 1 && width != 2 && width != 4) {
        out_ += "<unknown type>";
        return;
    }
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(limits_.text + 1, available));
    std::vector<std::byte> bytes(wanted * width);
    if (++steps_ > limits_.steps) return unreadable(begin);
    const std::size_t got = memory_.read(begin, bytes) / width;
    std::size_t length = 0;
    for (; length < got; ++length) {
        std::uint32_t unit = 0;
        std::memcpy(&unit, bytes.data() + length * width, width);
        if (unit == 0) break;
    }
    if (got == 0) return unreadable(begin);
    const bool ends = length < got || (got == wanted && wanted == available);
    const std::size_t shown = std::min(length, limits_.text);
    characters(begin, shown, width);
    if (ends) return;
    out_ += "...";
    if (got < wanted) unreadable(begin + got * width);
}

void ValueWriter::enumeration(const ValueAt& value) {
    const auto number = read_integer(value);
    if (!number) return unreadable(value.address);
    const auto& enumerators = value.type->enumerators();
    std::string scope;
    if (value.type->is_scoped_enumeration()) {
        const std::string& name = value.type->name();
        const auto last = name.rfind("::");
        scope = (last == std::string::npos ? name : name.substr(last + 2)) + "::";
    }
    const auto same = std::ranges::find(enumerators, *number, &std::pair<std::int64_t, std::string>::first);
    if (same != enumerators.end()) {
        out_ += scope + same->second;
        return;
    }
    // A set of flags.
    std::uint64_t left = static_cast<std::uint64_t>(*number);
    std::string flags;
    for (const auto& [bits, name] : enumerators) {
        const auto flag = static_cast<std::uint64_t>(bits);
        if (flag == 0 || (flag & (flag - 1)) != 0 || (left & flag) == 0) continue;
        left &= ~flag;
        flags += (flags.empty() ? "" : " | ") + scope + name;
    }
    out_ += !flags.empty() && left == 0 ? flags : fmt::format("{}", *number);
}

void ValueWriter::pointer(const ValueAt& value) {
    const auto target = read_pointer(value.address);
    if (!target) return unreadable(value.address);
    if (target->is_null()) {
        out_ += "nullptr";
        return;
    }
    const ValueType* type = value.type->target();
    if (is_plain_char(type)) {
        const std::size_t before = out_.size();
        zero_terminated(*target, type->size());
        if (out_.compare(before, std::string::npos, "<unreadable>") == 0)
            out_.insert(before, fmt::format("{:#x} ", target->value()));
        return;
    }
    address(*target);
    if (type != nullptr && type->kind() == ValueType::Kind::function && names_.function) {
        if (const std::string name = names_.function(*target); !name.empty()) out_ += " (" + name + ")";
    }
}

void ValueWriter::bit_field(const ValueField& field, RemoteAddress object) {
    const std::uint32_t shift = field.bit_offset.value_or(0);
    const std::uint32_t bits = *field.bit_size;
    const auto bytes = read_unsigned(object + field.offset, std::min(8U, (shift + bits + 7) / 8));
    if (!bytes || bits == 0 || bits > 64) return unreadable(object);
    std::uint64_t number = *bytes >> shift;
    if (bits < 64) number &= (1ULL << bits) - 1;
    if (field.type->kind() == ValueType::Kind::boolean) {
        out_ += number != 0 ? "true" : "false";
    } else if (field.type->kind() == ValueType::Kind::signed_integer && bits < 64) {
        const std::uint64_t sign = 1ULL << (bits - 1);
        out_ += fmt::format("{}", static_cast<std::int64_t>((number ^ sign) - sign));
    } else {
        out_ += fmt::format("{}", number);
    }
}

void ValueWriter::fields(const ValueAt& value, std::size_t& written, int depth) {
    if (depth > limits_.depth) return;
    for (const ValueField& field : value.type->fields()) {
        const ValueAt part{field.type, value.address + field.offset};
        const bool is_record =
            field.type->kind() == ValueType::Kind::record || field.type->kind() == ValueType::Kind::one_of;
        if (is_compilers_own(field.name)) continue;
        if (field.name.empty() && is_record && field.type->printer() == nullptr) {
            fields(part, written, depth + 1);
            continue;
        }
        if (written > limits_.fields) return;
        if (written != 0) out_ += ", ";
        if (written++ == limits_.fields || is_full()) {
            out_ += "...";
            written = limits_.fields + 1;
            return;
        }
        if (!field.name.empty()) out_ += fmt::format("{} = ", capture_name(field.name, *value.type));
        if (field.bit_size) {
            bit_field(field, value.address);
        } else {
            this->value(part);
        }
    }
}

void ValueWriter::record(const ValueAt& value) {
    if (value.type->is_declaration()) {
        out_ += "<unknown type>";
        return;
    }
    if (record_depth_ >= limits_.record_depth && !value.type->fields().empty()) {
        out_ += "{...}";
        return;
    }
    ++record_depth_;
    out_ += '{';
    std::size_t written = 0;
    fields(value, written, 0);
    out_ += '}';
    --record_depth_;
}

void ValueWriter::elements(std::uint64_t count, const std::function<bool()>& write_next) {
    out_ += fmt::format("{} {} {{", count, count == 1 ? "element" : "elements");
    for (std::uint64_t i = 0; i < count; ++i) {
        if (i != 0) out_ += ", ";
        if (i == limits_.elements || is_full()) {
            out_ += "...";
            break;
        }
        if (!write_next()) {
            out_ += "<unreadable>";
            break;
        }
    }
    out_ += '}';
}

void ValueWriter::contiguous(const ValueType& element, RemoteAddress begin, std::uint64_t count) {
    const std::uint32_t size = element.size();
    if (size == 0 || count >= largest_count / size) return unreadable(begin);
    std::uint64_t index = 0;
    elements(count, [&] {
        value({&element, begin + size * index++});
        return true;
    });
}

std::string print_value(const Memory& memory, const ValueAt& value, const ValueNames& names,
                        const ValueLimits& limits) {
    ValueWriter writer(memory, names, limits);
    writer.value(value);
    return writer.take();
}

}  // namespace asyncdump

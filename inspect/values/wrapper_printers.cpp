// Types that hold, or point to, other objects. Members' names: libstdc++ 12, libc++ 19.
#include <fmt/format.h>

#include "values/standard_library.h"
#include "values/value_writer.h"

namespace asyncdump::printers {
namespace {

bool is_object_pointer(const ValueType& type) {
    const ValueType* target = type.target();
    return type.kind() == ValueType::Kind::pointer &&
           (target == nullptr || target->kind() != ValueType::Kind::function);
}

/// "0x5555 -> 4"
void pointed_to(ValueWriter& writer, const ValueType* target, RemoteAddress address) {
    if (address.is_null()) return writer.text("nullptr");
    writer.address(address);
    if (target == nullptr || target->kind() == ValueType::Kind::unknown || target->is_declaration()) return;
    writer.text(" -> ");
    writer.value({target, address});
}

/// libstdc++: virtual table, then the numbers of owners and of observers (one more while there are owners),
/// 4 bytes each. libc++: 8 bytes each, one less than there are.
struct Owners {
    std::int64_t strong = 0, weak = 0;
};
std::optional<Owners> read_owners(ValueWriter& writer, const ValueAt& object) {
    const auto gnu = writer.member(object, {"_M_pi"});
    const auto block = gnu ? gnu : writer.member(object, {"__cntrl_"});
    const auto address = block ? writer.read_pointer(block->address) : std::nullopt;
    if (!address || address->is_null()) return std::nullopt;
    if (gnu) {
        const auto strong = writer.read_unsigned(*address + 8, 4),
                   weak = writer.read_unsigned(*address + 12, 4);
        if (!strong || !weak) return std::nullopt;
        const auto owners = static_cast<std::int64_t>(*strong);
        return Owners{owners, static_cast<std::int64_t>(*weak) - (owners > 0 ? 1 : 0)};
    }
    const auto strong = writer.read_unsigned(*address + 8, 8), weak = writer.read_unsigned(*address + 16, 8);
    if (!strong || !weak) return std::nullopt;
    return Owners{static_cast<std::int64_t>(*strong) + 1, static_cast<std::int64_t>(*weak)};
}

/// Each _Head_base<n, T> or __tuple_leaf<n, T> holds one element; their order in memory is the compiler's.
/// GCC does not list a tuple's template arguments.
void tuple_elements(ValueWriter& writer, const ValueAt& object) {
    writer.text("(");
    for (std::size_t n = 0;; ++n) {
        const auto leaf =
            writer.base_named(object, {fmt::format("_Head_base<{}", n), fmt::format("__tuple_leaf<{}", n)});
        if (!leaf) break;
        if (n != 0) writer.text(", ");
        if (n == writer.limits().fields) {
            writer.text("...");
            break;
        }
        if (leaf->type->fields().empty()) {
            writer.text("{}");
            continue;
        }
        // An empty class is stored as a base of the leaf, everything else as its member.
        const ValueField& content = leaf->type->fields().front();
        writer.value({content.type, leaf->address + content.offset});
    }
    writer.text(")");
}

}  // namespace

void pair(ValueWriter& writer, const ValueAt& object) {
    const auto first = writer.member(object, {"first"}), second = writer.member(object, {"second"});
    if (!first || !second) return writer.unreadable(object.address);
    writer.text("(");
    writer.value(*first);
    writer.text(", ");
    writer.value(*second);
    writer.text(")");
}

void tuple(ValueWriter& writer, const ValueAt& object) {
    tuple_elements(writer, object);
}

void optional(ValueWriter& writer, const ValueAt& object) {
    const auto engaged = writer.member(object, {"_M_engaged", "__engaged_"});
    const auto content = writer.member(object, {"_M_value", "__val_"});
    const auto is_engaged = engaged ? writer.read_unsigned(engaged->address, 1) : std::nullopt;
    if (!is_engaged || !content || *is_engaged > 1) return writer.unreadable(object.address);
    if (*is_engaged == 0) return writer.text("nullopt");
    writer.value(*content);
}

void variant(ValueWriter& writer, const ValueAt& object) {
    // All alternatives begin where the union of them begins.
    const auto content = writer.member(object, {"_M_u", "__data"});
    const auto index_member = writer.member(object, {"_M_index", "__index"});
    const auto index =
        index_member ? writer.read_unsigned(index_member->address, index_member->type->size()) : std::nullopt;
    if (!content || !index) return writer.unreadable(object.address);
    const std::uint32_t index_bits = index_member->type->size() * 8;
    const std::uint64_t valueless = index_bits >= 64 ? ~0ULL : (1ULL << index_bits) - 1;
    if (*index == valueless) return writer.text("valueless");
    const ValueType* alternative = object.type->template_type(static_cast<std::size_t>(*index));
    if (alternative == nullptr) return writer.unreadable(object.address);
    writer.text("(" + alternative->name() + ") ");
    writer.value({alternative, content->address});
}

void unique_ptr(ValueWriter& writer, const ValueAt& object) {
    const auto pointer = writer.member(object, {"_M_head_impl", "__ptr_", "__value_"}, is_object_pointer);
    const auto address = pointer ? writer.read_pointer(pointer->address) : std::nullopt;
    if (!address) return writer.unreadable(object.address);
    pointed_to(writer, pointer->type->target(), *address);
}

void shared_ptr(ValueWriter& writer, const ValueAt& object) {
    const auto pointer = writer.member(object, {"_M_ptr", "__ptr_"}, is_object_pointer);
    const auto address = pointer ? writer.read_pointer(pointer->address) : std::nullopt;
    if (!address) return writer.unreadable(object.address);
    pointed_to(writer, pointer->type->target(), *address);
    if (const auto owners = read_owners(writer, object))
        writer.text(fmt::format(" ({} {})", owners->strong, owners->strong == 1 ? "owner" : "owners"));
}

void weak_ptr(ValueWriter& writer, const ValueAt& object) {
    const auto pointer = writer.member(object, {"_M_ptr", "__ptr_"}, is_object_pointer);
    const auto address = pointer ? writer.read_pointer(pointer->address) : std::nullopt;
    if (!address) return writer.unreadable(object.address);
    if (address->is_null()) return writer.text("nullptr");
    const auto owners = read_owners(writer, object);
    writer.address(*address);
    if (!owners) return;
    if (owners->strong == 0) return writer.text(" (expired)");
    writer.text(fmt::format(" ({} {})", owners->strong, owners->strong == 1 ? "owner" : "owners"));
}

void reference_wrapper(ValueWriter& writer, const ValueAt& object) {
    const auto pointer = writer.member(object, {"_M_data", "__f_"});
    const auto address = pointer ? writer.read_pointer(pointer->address) : std::nullopt;
    if (!address) return writer.unreadable(object.address);
    pointed_to(writer, pointer->type->target(), *address);
}

void function(ValueWriter& writer, const ValueAt& object) {
    const auto manager = writer.member(object, {"_M_manager", "__f_"});
    const auto address = manager ? writer.read_pointer(manager->address) : std::nullopt;
    if (!address) return writer.unreadable(object.address);
    writer.text(address->is_null() ? "empty" : "callable");
}

void coroutine_handle(ValueWriter& writer, const ValueAt& object) {
    const auto pointer = writer.member(object, {"_M_fr_ptr", "__handle_"});
    const auto frame = pointer ? writer.read_pointer(pointer->address) : std::nullopt;
    if (!frame) return writer.unreadable(object.address);
    if (frame->is_null()) return writer.text("nullptr");
    if (const std::string name = writer.names().coroutine ? writer.names().coroutine(*frame) : "";
        !name.empty())
        writer.text(name + " ");
    writer.address(*frame);
}

void atomic(ValueWriter& writer, const ValueAt& object) {
    const auto content = writer.member(object, {"_M_i", "_M_p", "_M_fp", "__a_value"});
    if (!content) return writer.unreadable(object.address);
    writer.value(*content);
}

void mutex(ValueWriter& writer, const ValueAt& object) {
    // glibc: __lock, __count, __owner (a thread's id), each 4 bytes.
    const auto state = writer.member(object, {"_M_mutex", "__m_"});
    const auto lock = state ? writer.read_unsigned(state->address, 4) : std::nullopt;
    const auto owner = state ? writer.read_unsigned(state->address + 8, 4) : std::nullopt;
    if (!lock || !owner) return writer.unreadable(object.address);
    if (*lock == 0) return writer.text("unlocked");
    writer.text(*owner == 0 ? "locked" : fmt::format("locked by thread {}", *owner));
}

void monostate(ValueWriter& writer, const ValueAt&) {
    writer.text("monostate");
}

void error_code(ValueWriter& writer, const ValueAt& object) {
    const auto number = writer.member(object, {"_M_value", "__val_"});
    if (!number) return writer.unreadable(object.address);
    writer.value(*number);
}

}  // namespace asyncdump::printers

// Containers: their size and first elements. Members' names: libstdc++ 12 (unchanged since 5), libc++ 19.
#include <algorithm>
#include <memory>

#include "values/standard_library.h"
#include "values/value_writer.h"

namespace asyncdump::printers {
namespace {

/// Lists that do not say how many elements they have are counted up to here; walks through trees end as well.
constexpr std::uint64_t most_counted = 100;
constexpr int deepest_tree = 128;

std::uint64_t rounded_up(std::uint64_t offset, std::uint32_t alignment) {
    return alignment <= 1 ? offset : (offset + alignment - 1) / alignment * alignment;
}

std::optional<std::uint64_t> count_in(ValueWriter& writer, const ValueAt& object,
                                      std::initializer_list<std::string_view> names) {
    const auto member = writer.member(object, names);
    const auto count = member ? writer.read_integer(*member) : std::nullopt;
    if (!count || *count < 0) return std::nullopt;
    return static_cast<std::uint64_t>(*count);
}

/// Follows the pointers of a node-based container; null where it cannot be read.
using NextNode = RemoteAddress (*)(ValueWriter& writer, RemoteAddress node);

RemoteAddress next_in_list(ValueWriter& writer, RemoteAddress node) {
    return writer.read_pointer(node).value_or(RemoteAddress());
}

/// In libc++'s ring: back, forward, value.
RemoteAddress next_in_ring(ValueWriter& writer, RemoteAddress node) {
    return writer.read_pointer(node + 8).value_or(RemoteAddress());
}

struct TreeLinks {
    std::uint64_t parent, left, right;
};

RemoteAddress next_in_order(ValueWriter& writer, RemoteAddress node, const TreeLinks& links) {
    const auto parent_of = [&](RemoteAddress at) {
        return writer.read_pointer(at + links.parent).value_or(RemoteAddress());
    };
    const auto left_of = [&](RemoteAddress at) {
        return writer.read_pointer(at + links.left).value_or(RemoteAddress());
    };
    const auto right_of = [&](RemoteAddress at) {
        return writer.read_pointer(at + links.right).value_or(RemoteAddress());
    };
    RemoteAddress next = right_of(node);
    if (!next.is_null()) {
        for (int depth = 0; depth < deepest_tree; ++depth) {
            const RemoteAddress left = left_of(next);
            if (left.is_null()) return next;
            next = left;
        }
        return {};
    }
    for (int depth = 0; depth < deepest_tree; ++depth) {
        next = parent_of(node);
        if (next.is_null() || right_of(next) != node) return next;
        node = next;
    }
    return {};
}

/// The in-order successor in libstdc++'s red-black tree: colour, parent, left, right, value.
RemoteAddress next_in_tree(ValueWriter& writer, RemoteAddress node) {
    return next_in_order(writer, node, {8, 16, 24});
}

/// In libc++'s: left, right, parent, colour (a byte), value.
RemoteAddress next_in_libcxx_tree(ValueWriter& writer, RemoteAddress node) {
    return next_in_order(writer, node, {16, 0, 8});
}

/// How a node's value lies behind the links: "key: value" for maps.
struct NodeLayout {
    const ValueType* key = nullptr;
    const ValueType* mapped = nullptr;  ///< nullptr for sets and lists
    std::uint64_t links = 0;            ///< bytes of links before the value
};

void write_nodes(ValueWriter& writer, std::uint64_t count, RemoteAddress first, const NodeLayout& layout,
                 NextNode next) {
    const std::uint32_t key_alignment = layout.key->alignment();
    const std::uint32_t alignment =
        layout.mapped != nullptr ? std::max(key_alignment, layout.mapped->alignment()) : key_alignment;
    const std::uint64_t key_offset = rounded_up(layout.links, alignment);
    RemoteAddress node = first;
    bool is_first = true;
    writer.elements(count, [&] {
        if (!is_first) node = next(writer, node);
        is_first = false;
        if (node.is_null()) return false;
        const RemoteAddress key = node + key_offset;
        writer.value({layout.key, key});
        if (layout.mapped != nullptr) {
            writer.text(": ");
            writer.value({layout.mapped, key + rounded_up(layout.key->size(), layout.mapped->alignment())});
        }
        return true;
    });
}

struct Nodes {
    std::optional<std::uint64_t> count;
    std::optional<RemoteAddress> first;
    std::uint64_t links = 0;
    NextNode next = nullptr;
};

void write_all(ValueWriter& writer, const ValueAt& object, const Nodes& nodes, bool is_map) {
    const NodeLayout layout{object.type->template_type(0), is_map ? object.type->template_type(1) : nullptr,
                            nodes.links};
    if (!nodes.count || !nodes.first || layout.key == nullptr || (is_map && layout.mapped == nullptr))
        return writer.unreadable(object.address);
    write_nodes(writer, *nodes.count, *nodes.first, layout, nodes.next);
}

void tree(ValueWriter& writer, const ValueAt& object, bool is_map) {
    Nodes nodes;
    if (const auto header = writer.member(object, {"_M_header"})) {
        nodes = {count_in(writer, object, {"_M_node_count"}), writer.read_pointer(header->address + 16), 32,
                 next_in_tree};
    } else if (const auto begin = writer.member(object, {"__begin_node_"})) {
        nodes = {count_in(writer, object, {"__size_", "__pair3_"}), writer.read_pointer(begin->address), 25,
                 next_in_libcxx_tree};
    }
    write_all(writer, object, nodes, is_map);
}

void hash_table(ValueWriter& writer, const ValueAt& object, bool is_map) {
    Nodes nodes;
    if (const auto before = writer.member(object, {"_M_before_begin"})) {
        nodes = {count_in(writer, object, {"_M_element_count"}), writer.read_pointer(before->address), 8,
                 next_in_list};
    } else if (const auto first = writer.member(object, {"__first_node_", "__p1_"})) {
        // The hash stands behind the link.
        nodes = {count_in(writer, object, {"__size_", "__p2_"}), writer.read_pointer(first->address), 16,
                 next_in_list};
    }
    write_all(writer, object, nodes, is_map);
}

void write_bits(ValueWriter& writer, std::uint64_t count, RemoteAddress begin) {
    std::uint64_t index = 0;
    writer.elements(count, [&] {
        const auto byte = writer.read_unsigned(begin + index / 8, 1);
        if (byte) writer.text((*byte >> index % 8 & 1) != 0 ? "true" : "false");
        ++index;
        return byte.has_value();
    });
}

/// vector<bool>. libstdc++: iterators of a word and a bit; libc++: words and the number of bits.
void bits(ValueWriter& writer, const ValueAt& object) {
    const auto start = writer.member(object, {"_M_start"}), finish = writer.member(object, {"_M_finish"});
    if (!start || !finish) {
        const auto words = writer.member(object, {"__begin_"});
        const auto first = words ? writer.read_pointer(words->address) : std::nullopt;
        const auto count = count_in(writer, object, {"__size_"});
        if (!first || !count) return writer.unreadable(object.address);
        return write_bits(writer, *count, *first);
    }
    const auto begin = writer.read_pointer(start->address), end = writer.read_pointer(finish->address);
    const auto last = count_in(writer, *finish, {"_M_offset"});
    if (!begin || !end || !last || *end < *begin || *last > 64) return writer.unreadable(object.address);
    write_bits(writer, (*end - *begin) * 8 + *last, *begin);
}

/// libc++: blocks of 4096 bytes (or 16 elements, when those are larger), listed in a table of which a part is
/// in use; the first element's number, counted from the first block.
void blocks_of_libcxx(ValueWriter& writer, const ValueAt& object, const ValueType& element) {
    const auto table = writer.member(object, {"__map_"});
    const auto used = table ? writer.member(*table, {"__begin_"}) : std::nullopt;
    const auto blocks = used ? writer.read_pointer(used->address) : std::nullopt;
    const auto start = count_in(writer, object, {"__start_"});
    const auto count = count_in(writer, object, {"__size_"});
    if (!blocks || !start || !count) return writer.unreadable(object.address);
    const std::uint64_t in_block = element.size() < 256 ? 4096 / element.size() : 16;
    std::uint64_t at = *start;
    writer.elements(*count, [&] {
        const auto block = writer.read_pointer(*blocks + at / in_block * 8);
        if (!block) return false;
        writer.value({&element, *block + at % in_block * element.size()});
        ++at;
        return true;
    });
}

}  // namespace

void vector(ValueWriter& writer, const ValueAt& object) {
    const ValueType* element = object.type->template_type(0);
    if (element != nullptr && element->kind() == ValueType::Kind::boolean) return bits(writer, object);
    const auto start = writer.member(object, {"_M_start", "__begin_"});
    const auto finish = writer.member(object, {"_M_finish", "__end_"});
    const auto begin = start ? writer.read_pointer(start->address) : std::nullopt;
    const auto end = finish ? writer.read_pointer(finish->address) : std::nullopt;
    if (element == nullptr && start) element = start->type->target();
    if (!begin || !end || element == nullptr || element->size() == 0 || *end < *begin ||
        (*end - *begin) % element->size() != 0) {
        return writer.unreadable(object.address);
    }
    writer.contiguous(*element, *begin, (*end - *begin) / element->size());
}

void array(ValueWriter& writer, const ValueAt& object) {
    const auto elements = writer.member(object, {"_M_elems", "__elems_"});
    if (!elements) return writer.unreadable(object.address);
    const ValueType* element = elements->type->target();
    if (element == nullptr) return writer.text("0 elements {}");
    writer.contiguous(*element, elements->address, elements->type->element_count());
}

void span(ValueWriter& writer, const ValueAt& object) {
    const auto data = writer.member(object, {"_M_ptr", "__data_", "__data"});
    const auto begin = data ? writer.read_pointer(data->address) : std::nullopt;
    const ValueType* element = object.type->template_type(0);
    const auto fixed = object.type->template_value(0);
    const auto count = fixed && *fixed >= 0
                           ? std::optional(static_cast<std::uint64_t>(*fixed))
                           : count_in(writer, object, {"_M_extent_value", "__size_", "__size"});
    if (!begin || !count || element == nullptr) return writer.unreadable(object.address);
    writer.contiguous(*element, *begin, *count);
}

/// libstdc++: blocks of 512 bytes (or one element, when that is larger), listed in a table.
void deque(ValueWriter& writer, const ValueAt& object) {
    const auto start = writer.member(object, {"_M_start"}), finish = writer.member(object, {"_M_finish"});
    const ValueType* element = object.type->template_type(0);
    if (element == nullptr || element->size() == 0) return writer.unreadable(object.address);
    if (!start || !finish) return blocks_of_libcxx(writer, object, *element);
    const auto read = [&](const ValueAt& iterator, std::string_view name) {
        const auto member = writer.member(iterator, {name});
        return member ? writer.read_pointer(member->address) : std::nullopt;
    };
    const auto cursor = read(*start, "_M_cur"), last = read(*start, "_M_last"),
               node = read(*start, "_M_node");
    const auto end = read(*finish, "_M_cur"), end_first = read(*finish, "_M_first");
    const auto end_node = read(*finish, "_M_node");
    if (!cursor || !last || !node || !end || !end_first || !end_node || *end_node < *node ||
        *end < *end_first || *last < *cursor) {
        return writer.unreadable(object.address);
    }
    const std::uint64_t size = element->size(), in_block = size < 512 ? 512 / size : 1;
    const std::uint64_t blocks = (*end_node - *node) / 8;
    const std::uint64_t count =
        blocks == 0 ? (*end - *cursor) / size
                    : (blocks - 1) * in_block + (*end - *end_first) / size + (*last - *cursor) / size;
    RemoteAddress at = *cursor, block_end = *last, block = *node;
    writer.elements(count, [&] {
        if (at == block_end) {
            block = block + 8;
            const auto next = writer.read_pointer(block);
            if (!next) return false;
            at = *next;
            block_end = at + in_block * size;
        }
        writer.value({element, at});
        at = at + size;
        return true;
    });
}

/// A ring of nodes through the object itself, with the size behind the two links.
void list(ValueWriter& writer, const ValueAt& object) {
    Nodes nodes;
    if (const auto header = writer.member(object, {"_M_node"})) {
        nodes = {count_in(writer, object, {"_M_size", "_M_storage"}), writer.read_pointer(header->address),
                 16, next_in_list};
    } else if (const auto ring = writer.member(object, {"__end_"})) {
        nodes = {count_in(writer, object, {"__size_", "__size_alloc_"}),
                 writer.read_pointer(ring->address + 8), 16, next_in_ring};
    }
    write_all(writer, object, nodes, false);
}

void forward_list(ValueWriter& writer, const ValueAt& object) {
    const auto head = writer.member(object, {"_M_head", "__before_begin_"});
    const auto first = head ? writer.read_pointer(head->address) : std::nullopt;
    const NodeLayout layout{object.type->template_type(0), nullptr, 8};
    if (!first || layout.key == nullptr) return writer.unreadable(object.address);
    std::uint64_t count = 0;
    for (RemoteAddress node = *first; !node.is_null() && count < most_counted;
         node = next_in_list(writer, node))
        ++count;
    if (count == most_counted) writer.text("at least ");
    write_nodes(writer, count, *first, layout, next_in_list);
}

void map(ValueWriter& writer, const ValueAt& object) {
    tree(writer, object, true);
}

void set(ValueWriter& writer, const ValueAt& object) {
    tree(writer, object, false);
}

void unordered_map(ValueWriter& writer, const ValueAt& object) {
    hash_table(writer, object, true);
}

void unordered_set(ValueWriter& writer, const ValueAt& object) {
    hash_table(writer, object, false);
}

void adapter(ValueWriter& writer, const ValueAt& object) {
    const auto container = writer.member(object, {"c"});
    if (!container) return writer.unreadable(object.address);
    writer.value(*container);
}

}  // namespace asyncdump::printers

#include "values/location.h"

#include <dwarf.h>

#include <array>
#include <cstring>
#include <limits>

#include "modules/dwarf_types.h"

namespace asyncdump {
namespace {

constexpr std::size_t most_operations = 256;
constexpr std::size_t deepest_stack = 64;
constexpr int deepest_expression = 4;
constexpr std::uint64_t largest_piece = 1 << 16;

std::vector<std::byte> bytes_of(std::uint64_t value) {
    std::vector<std::byte> bytes(sizeof value);
    std::memcpy(bytes.data(), &value, sizeof value);
    return bytes;
}

class Evaluator {
  public:
    Evaluator(const LocationContext& context, int depth) : context_(context), depth_(depth) {}

    std::vector<LocationPiece> run(Dwarf_Attribute* attribute, const Dwarf_Op* operations,
                                   std::size_t count) {
        if (count > most_operations) return {};
        for (std::size_t i = 0; i < count; ++i) {
            if (!step(attribute, operations[i])) return {};
        }
        if (pieces_.empty() || has_location()) finish_piece(0);
        return std::move(pieces_);
    }

  private:
    // What the operations so far have produced: an address on the stack, or one of these.
    bool has_location() const { return !stack_.empty() || is_register_ || is_value_ || implicit_; }

    void push(std::uint64_t value) { stack_.push_back(value); }

    std::optional<std::uint64_t> pop() {
        if (stack_.empty()) return std::nullopt;
        const std::uint64_t value = stack_.back();
        stack_.pop_back();
        return value;
    }

    void finish_piece(std::uint64_t size) {
        LocationPiece piece;
        piece.size = size;
        if (implicit_) {
            piece.kind = LocationPiece::Kind::value;
            piece.bytes = std::move(*implicit_);
        } else if (is_register_ || is_value_) {
            if (const auto value = is_register_ ? register_ : pop()) {
                piece.kind = LocationPiece::Kind::value;
                piece.bytes = bytes_of(*value);
            }
        } else if (const auto address = pop()) {
            piece.kind = LocationPiece::Kind::memory;
            piece.address = RemoteAddress(*address);
        }
        piece.is_constant = piece.kind == LocationPiece::Kind::value && is_constant_;
        pieces_.push_back(std::move(piece));
        is_constant_ = true;
        stack_.clear();
        implicit_.reset();
        is_register_ = is_value_ = false;
    }

    bool push_register(unsigned number, std::uint64_t offset) {
        const auto value = context_.register_value ? context_.register_value(number) : std::nullopt;
        if (value) push(*value + offset);
        is_constant_ = false;
        return value.has_value();
    }

    bool set_register(unsigned number) {
        is_constant_ = false;
        register_ = context_.register_value ? context_.register_value(number) : std::nullopt;
        is_register_ = true;
        return true;
    }

    bool push_frame_base(std::uint64_t offset) {
        if (!context_.frame_base || depth_ >= deepest_expression) return false;
        Dwarf_Attribute attribute = *context_.frame_base;
        Dwarf_Op* operations = nullptr;
        std::size_t count = 0;
        if (dwarf_getlocation_addr(&attribute, context_.pc, &operations, &count, 1) != 1) return false;
        // A register as frame base means its content.
        if (count == 1 && operations[0].atom >= DW_OP_reg0 && operations[0].atom <= DW_OP_reg31)
            return push_register(operations[0].atom - DW_OP_reg0, offset);
        LocationContext inner = context_;
        inner.frame_base.reset();
        const auto pieces = Evaluator(inner, depth_ + 1).run(&attribute, operations, count);
        if (pieces.size() != 1 || pieces[0].kind != LocationPiece::Kind::memory) return false;
        push(pieces[0].address.value() + offset);
        is_constant_ = false;
        return true;
    }

    bool push_entry_value(Dwarf_Attribute* attribute, const Dwarf_Op& operation) {
        Dwarf_Attribute inner;
        Dwarf_Op* operations = nullptr;
        std::size_t count = 0;
        if (!context_.entry_value || dwarf_getlocation_attr(attribute, &operation, &inner) != 0 ||
            dwarf_getlocation(&inner, &operations, &count) != 0 || count != 1 ||
            operations[0].atom < DW_OP_reg0 || operations[0].atom > DW_OP_reg31) {
            return false;
        }
        const auto value = context_.entry_value(operations[0].atom - DW_OP_reg0);
        if (value) push(*value);
        is_constant_ = false;
        return value.has_value();
    }

    bool dereference(std::uint64_t size) {
        const auto address = pop();
        std::uint64_t value = 0;
        if (!address || size == 0 || size > 8) return false;
        const auto bytes = std::as_writable_bytes(std::span(&value, 1)).first(static_cast<std::size_t>(size));
        if (!context_.memory.read_all(RemoteAddress(*address), bytes)) return false;
        push(value);
        is_constant_ = false;
        return true;
    }

    bool binary(std::uint8_t atom) {
        const auto right = pop(), left = pop();
        if (!left || !right) return false;
        const auto a = static_cast<std::int64_t>(*left), b = static_cast<std::int64_t>(*right);
        switch (atom) {
            case DW_OP_and:
                push(*left & *right);
                return true;
            case DW_OP_or:
                push(*left | *right);
                return true;
            case DW_OP_xor:
                push(*left ^ *right);
                return true;
            case DW_OP_plus:
                push(*left + *right);
                return true;
            case DW_OP_minus:
                push(*left - *right);
                return true;
            case DW_OP_mul:
                push(*left * *right);
                return true;
            case DW_OP_div:
                if (b == 0 || (b == -1 && a == std::numeric_limits<std::int64_t>::min())) return false;
                push(static_cast<std::uint64_t>(a / b));
                return true;
            case DW_OP_mod:
                if (*right == 0) return false;
                push(*left % *right);
                return true;
            case DW_OP_shl:
                push(*right > 63 ? 0 : *left << *right);
                return true;
            case DW_OP_shr:
                push(*right > 63 ? 0 : *left >> *right);
                return true;
            case DW_OP_shra:
                push(static_cast<std::uint64_t>(a >> (*right > 63 ? 63 : *right)));
                return true;
            case DW_OP_eq:
                push(a == b);
                return true;
            case DW_OP_ne:
                push(a != b);
                return true;
            case DW_OP_lt:
                push(a < b);
                return true;
            case DW_OP_le:
                push(a <= b);
                return true;
            case DW_OP_gt:
                push(a > b);
                return true;
            case DW_OP_ge:
                push(a >= b);
                return true;
            default:
                return false;
        }
    }

    bool unary(std::uint8_t atom) {
        const auto value = pop();
        if (!value) return false;
        switch (atom) {
            case DW_OP_neg:
                push(0 - *value);
                return true;
            case DW_OP_not:
                push(~*value);
                return true;
            case DW_OP_abs:
                push(static_cast<std::int64_t>(*value) < 0 ? 0 - *value : *value);
                return true;
            default:
                return false;
        }
    }

    bool pick(std::uint64_t index) {
        if (index >= stack_.size()) return false;
        push(stack_[stack_.size() - 1 - static_cast<std::size_t>(index)]);
        return true;
    }

    /// Branches and typed values (which compilers write for long double and vectors) are not modelled.
    bool step(Dwarf_Attribute* attribute, const Dwarf_Op& operation) {
        const std::uint8_t atom = operation.atom;
        if (stack_.size() >= deepest_stack) return false;
        if (atom >= DW_OP_lit0 && atom <= DW_OP_lit31) return push(atom - DW_OP_lit0), true;
        if (atom >= DW_OP_reg0 && atom <= DW_OP_reg31) return set_register(atom - DW_OP_reg0);
        if (atom >= DW_OP_breg0 && atom <= DW_OP_breg31)
            return push_register(atom - DW_OP_breg0, operation.number);
        switch (atom) {
            case DW_OP_addr:
                push(operation.number + context_.bias);
                return true;
            case DW_OP_addrx:
            case DW_OP_GNU_addr_index: {
                Dwarf_Attribute constant;
                Dwarf_Addr address = 0;
                if (dwarf_getlocation_attr(attribute, &operation, &constant) != 0 ||
                    dwarf_formaddr(&constant, &address) != 0) {
                    return false;
                }
                push(address + context_.bias);
                return true;
            }
            case DW_OP_const1u:
            case DW_OP_const1s:
            case DW_OP_const2u:
            case DW_OP_const2s:
            case DW_OP_const4u:
            case DW_OP_const4s:
            case DW_OP_const8u:
            case DW_OP_const8s:
            case DW_OP_constu:
            case DW_OP_consts:
                push(operation.number);
                return true;
            case DW_OP_regx:
                return set_register(static_cast<unsigned>(operation.number));
            case DW_OP_bregx:
                return push_register(static_cast<unsigned>(operation.number), operation.number2);
            case DW_OP_fbreg:
                return push_frame_base(operation.number);
            case DW_OP_call_frame_cfa:
                if (!context_.canonical_frame_address) return false;
                push(*context_.canonical_frame_address);
                is_constant_ = false;
                return true;
            case DW_OP_entry_value:
            case DW_OP_GNU_entry_value:
                return push_entry_value(attribute, operation);
            case DW_OP_deref:
                return dereference(8);
            case DW_OP_deref_size:
                return dereference(operation.number);
            case DW_OP_plus_uconst: {
                const auto value = pop();
                if (value) push(*value + operation.number);
                return value.has_value();
            }
            case DW_OP_dup:
                return pick(0);
            case DW_OP_over:
                return pick(1);
            case DW_OP_pick:
                return pick(operation.number);
            case DW_OP_drop:
                return pop().has_value();
            case DW_OP_swap:
                if (stack_.size() < 2) return false;
                std::swap(stack_[stack_.size() - 1], stack_[stack_.size() - 2]);
                return true;
            case DW_OP_neg:
            case DW_OP_not:
            case DW_OP_abs:
                return unary(atom);
            case DW_OP_nop:
                return true;
            case DW_OP_stack_value:
                is_value_ = true;
                return true;
            case DW_OP_implicit_value: {
                Dwarf_Block block;
                if (dwarf_getlocation_implicit_value(attribute, &operation, &block) != 0 ||
                    block.length > largest_piece) {
                    return false;
                }
                const auto* begin = reinterpret_cast<const std::byte*>(block.data);
                implicit_.emplace(begin, begin + block.length);
                return true;
            }
            case DW_OP_piece:
                if (operation.number == 0 || operation.number > largest_piece) return false;
                finish_piece(operation.number);
                return true;
            default:
                return binary(atom);
        }
    }

    const LocationContext& context_;
    int depth_;
    std::vector<std::uint64_t> stack_;
    std::optional<std::uint64_t> register_;
    std::optional<std::vector<std::byte>> implicit_;
    bool is_register_ = false, is_value_ = false, is_constant_ = true;
    std::vector<LocationPiece> pieces_;
};

std::optional<LocationPiece> constant_value(Dwarf_Die die) {
    Dwarf_Attribute attribute;
    if (dwarf_attr_integrate(&die, DW_AT_const_value, &attribute) == nullptr) return std::nullopt;
    LocationPiece piece;
    piece.kind = LocationPiece::Kind::value;
    piece.is_constant = true;
    Dwarf_Sword number = 0;
    Dwarf_Block block;
    if (dwarf_formblock(&attribute, &block) == 0) {
        if (block.length > largest_piece) return std::nullopt;
        const auto* begin = reinterpret_cast<const std::byte*>(block.data);
        piece.bytes.assign(begin, begin + block.length);
    } else if (dwarf_formsdata(&attribute, &number) == 0) {
        piece.bytes = bytes_of(static_cast<std::uint64_t>(number));
    } else {
        return std::nullopt;
    }
    return piece;
}

}  // namespace

std::vector<LocationPiece> locate(Dwarf_Die die, const LocationContext& context) {
    Dwarf_Attribute attribute;
    if (dwarf_attr_integrate(&die, DW_AT_location, &attribute) == nullptr) {
        if (auto constant = constant_value(die)) return {std::move(*constant)};
        return {};
    }
    Dwarf_Op* operations = nullptr;
    std::size_t count = 0;
    if (dwarf_getlocation_addr(&attribute, context.pc, &operations, &count, 1) != 1 || count == 0) return {};
    return Evaluator(context, 0).run(&attribute, operations, count);
}

bool has_location(Dwarf_Die die, Dwarf_Addr pc) {
    Dwarf_Attribute attribute;
    if (dwarf_attr_integrate(&die, DW_AT_location, &attribute) == nullptr)
        return dwarf_attr_integrate(&die, DW_AT_const_value, &attribute) != nullptr;
    Dwarf_Op* operations = nullptr;
    std::size_t count = 0;
    return dwarf_getlocation_addr(&attribute, pc, &operations, &count, 1) == 1 && count > 0;
}

}  // namespace asyncdump

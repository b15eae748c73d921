// References between made-up coroutines, named after what they say of the two.
#pragma once

#include <cstdint>

#include "dump_builder.h"

namespace asyncdump::tests {

class ReferenceBuilder : public ObservationBuilder {
  public:
    using Origin = Reference::Origin;
    using Target = Reference::Target;

    std::uint32_t coroutine(CoroutineState state = CoroutineState::suspended) {
        MadeCoroutine made;
        made.state = state;
        return add(made);
    }

    /// The child's promise leads to the parent; nothing says that the word is a continuation. The reference
    /// stays valid until the next one is made.
    Reference& continuation(std::uint32_t child, std::uint32_t parent, Target target = Target::frame) {
        return refer(child, parent, Origin::promise, target, 16);
    }

    /// A local of the parent holds the child.
    Reference& holds(std::uint32_t parent, std::uint32_t child, Target target = Target::frame) {
        return refer(parent, child, Origin::elsewhere, target, 64);
    }

    /// The awaiter at which the parent is suspended holds the child.
    Reference& live_awaiter(std::uint32_t parent, std::uint32_t child) {
        return refer(parent, child, Origin::live_awaiter, Target::frame, 72);
    }

    /// A word of a frame whose promise nobody knows.
    Reference& unknown_word(std::uint32_t from, std::uint32_t to, std::uint32_t offset) {
        Reference& reference = refer(from, to, Origin::elsewhere, Target::frame, offset);
        reference.promise_known = false;
        return reference;
    }

    /// A path over one heap object.
    Reference& path(std::uint32_t from, std::uint32_t to, Origin origin) {
        Reference& reference = refer(from, to, origin, Target::frame, 24);
        reference.hops = 1;
        return reference;
    }

    /// Both refer to each other.
    void awaits(std::uint32_t parent, std::uint32_t child) {
        continuation(child, parent);
        holds(parent, child);
    }

  private:
    Reference& refer(std::uint32_t from, std::uint32_t to, Origin origin, Target target,
                     std::uint32_t offset) {
        Reference& reference = observation.references.emplace_back();
        reference.from = from;
        reference.to = to;
        reference.origin = origin;
        reference.target = target;
        reference.offset = offset;
        reference.promise_known = true;
        return reference;
    }
};

}  // namespace asyncdump::tests

#include "modules/unit_outline.h"

#include <dwarf.h>

#include <catch2/catch.hpp>
#include <set>
#include <tuple>

#include "modules/dwarf_walk.h"
#include "modules/unit_outlines.h"
#include "sample_process.h"

using namespace asyncdump;
using namespace asyncdump::test;

namespace {

/// What libdw says, walked without any shortcut.
struct Walk {
    using ScopeTuple = std::tuple<std::uint64_t, std::uint64_t, int, bool>;  // place, parent's place, ...
    std::vector<ScopeTuple> scopes;
    std::vector<std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>> code;
    Dwarf_Die root;

    std::uint64_t place_of(const Dwarf_Die& die) const {
        return static_cast<std::uint64_t>(static_cast<char*>(die.addr) - static_cast<char*>(root.addr));
    }

    void below(Dwarf_Die parent, std::uint64_t scope) {
        Dwarf_Die die;
        if (dwarf_child(&parent, &die) != 0) return;
        do {
            const int tag = dwarf_tag(&die);
            std::uint64_t own = scope;
            if (tag == DW_TAG_namespace || tag == DW_TAG_structure_type || tag == DW_TAG_class_type ||
                tag == DW_TAG_union_type || tag == DW_TAG_enumeration_type) {
                own = place_of(die);
                scopes.emplace_back(own, scope, tag, dwarf_hasattr(&die, DW_AT_declaration) != 0);
            }
            Dwarf_Addr base = 0, begin = 0, end = 0;
            if (tag == DW_TAG_subprogram) {
                for (ptrdiff_t at = 0; (at = dwarf_ranges(&die, at, &base, &begin, &end)) > 0;)
                    code.emplace_back(begin, end, place_of(die));
            }
            below(die, own);
        } while (go_to_sibling(die));
    }
};

Walk outlined(const UnitOutline& outline, Dwarf_Die root) {
    Walk result{{}, {}, root};
    for (const UnitOutline::Scope& scope : outline.scopes) {
        const std::uint64_t parent =
            scope.parent == UnitOutline::none ? 0 : outline.scopes[scope.parent].place;
        result.scopes.emplace_back(scope.place, parent, scope.tag, scope.is_declaration != 0);
    }
    for (const UnitOutline::Code& part : outline.code)
        result.code.emplace_back(part.begin, part.end, part.place);
    return result;
}

}  // namespace

TEST_CASE("An outline has the scopes and the functions' code that libdw finds") {
    std::size_t scopes = 0, code = 0;
    for (const Sample& sample : samples) {
        INFO(sample.path);
        const ModuleSet set = open_file(sample.path);
        for_each_unit(set.modules().front()->dwarf(), [&](Dwarf_Die root) {
            Walk walk{{}, {}, root};
            walk.below(root, 0);
            const Walk found = outlined(UnitOutline::read(root), root);
            CHECK(found.scopes == walk.scopes);
            CHECK(found.code == walk.code);
            scopes += walk.scopes.size();
            code += walk.code.size();
        });
    }
    CHECK(scopes > 1000);
    CHECK(code > 100);
}

TEST_CASE("An outline is read again from bytes, and nothing else is") {
    const ModuleSet set = open_file(samples.front().path);
    std::size_t units = 0;
    for_each_unit(set.modules().front()->dwarf(), [&](Dwarf_Die root) {
        const UnitOutline outline = UnitOutline::read(root);
        if (outline.scopes.size() < 2 || outline.code.empty() || units++ > 0) return;
        const auto bytes = outline.to_bytes(root);
        const auto again = UnitOutline::from_bytes(root, bytes);
        REQUIRE(again);
        CHECK(outlined(*again, root).scopes == outlined(outline, root).scopes);
        CHECK(outlined(*again, root).code == outlined(outline, root).code);

        for (std::size_t size = 0; size < bytes.size(); size += 7)
            CHECK_FALSE(UnitOutline::from_bytes(root, std::span(bytes).first(size)));
        UnitOutline wrong = outline;
        wrong.scopes.back().place = UnitOutline::none - 1;
        CHECK_FALSE(UnitOutline::from_bytes(root, wrong.to_bytes(root)));
        wrong = outline;
        wrong.scopes.back().parent = static_cast<std::uint32_t>(wrong.scopes.size());
        CHECK_FALSE(UnitOutline::from_bytes(root, wrong.to_bytes(root)));
        wrong = outline;
        wrong.code.back().place = ~0ULL;
        CHECK_FALSE(UnitOutline::from_bytes(root, wrong.to_bytes(root)));
    });
    CHECK(units > 0);
}

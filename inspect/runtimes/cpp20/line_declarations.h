// Which variables a line of source text declares before a statement on it: debug information tells the line
// of a declaration, clang's no column.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace asyncdump::cpp20 {

/// A name at a place where it may be declared.
struct DeclaredName {
    std::string name;
    std::uint32_t column = 0;  ///< as Token's
    bool is_visible = false;   ///< it stands before the statement, in a block that has not ended there
};

/// Of `line`, on which a statement begins at `statement_column`; also those in the statement and behind it.
/// Parameters of functions and lambdas are left out. More names are given than are declared: `a * b;` looks
/// like a declaration of b. It can be wrong where a comment or a literal began on an earlier line.
std::vector<DeclaredName> declared_names(std::string_view line, std::uint32_t statement_column);

/// Whether a variable of that name, declared at `column` (0: unknown) of the line, is visible at the
/// statement. Without the column, when every place where the name may be declared is.
bool is_visible_at_statement(const std::vector<DeclaredName>& names, std::string_view name,
                             std::uint32_t column);

}  // namespace asyncdump::cpp20

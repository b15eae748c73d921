// The one place where these tests parse JSON: the parser is expensive to compile.
#pragma once

#include <string>
#include <vector>

namespace asyncdump::tests {

/// One part of a document ("/threads/0/name"), in a form that compares and prints well.
std::string part(const std::string& document, const std::string& pointer);

/// A document in the form in which part() returns it.
std::string same(const std::string& document);

/// One member of each element of a list.
std::vector<std::string> each(const std::string& document, const std::string& list,
                              const std::string& member);

bool is_json(const std::string& text);

}  // namespace asyncdump::tests

#include "options.h"

#include <cstddef>

#include "system_calls.h"

namespace asyncdump::agent {
namespace {

/// Up to the next comma or the end.
struct Entry {
    const char* text;
    std::size_t length;
};

/// The entry's number when it is "name=number" within 0 to `highest`, -1 otherwise. `matches` tells about the
/// name.
int number_of(Entry entry, const char* name, int highest, bool& matches) {
    std::size_t i = 0;
    for (; name[i] != 0; ++i)
        if (i >= entry.length || entry.text[i] != name[i]) return -1;
    if (i >= entry.length || entry.text[i] != '=') return -1;
    matches = true;
    int value = 0;
    const std::size_t first_digit = ++i;
    for (; i < entry.length; ++i) {
        if (entry.text[i] < '0' || entry.text[i] > '9') return -1;
        value = value * 10 + (entry.text[i] - '0');
        if (value > highest) return -1;
    }
    return i == first_digit ? -1 : value;
}

void report(Entry entry) {
    constexpr char before[] = "asyncdump: ASYNCDUMP_AGENT: ignoring \"";
    constexpr char after[] = "\"; known are stack=0..32, malloc=0|1, children=0|1\n";
    constexpr std::size_t longest_shown = 64;
    char line[sizeof before + longest_shown + sizeof after];
    std::size_t length = 0;
    for (std::size_t i = 0; before[i] != 0; ++i) line[length++] = before[i];
    for (std::size_t i = 0; i < entry.length && i < longest_shown; ++i) {
        const char character = entry.text[i];
        line[length++] = character >= ' ' && character < 0x7f ? character : '?';
    }
    for (std::size_t i = 0; after[i] != 0; ++i) line[length++] = after[i];
    write_to_standard_error(line, length);
}

bool apply(Entry entry, Options& options) {
    bool matches = false;
    const int depth = number_of(entry, "stack", 32, matches);
    if (depth >= 0) options.stack_depth = static_cast<std::uint32_t>(depth);
    if (matches) return depth >= 0;
    const int malloc = number_of(entry, "malloc", 1, matches);
    if (malloc >= 0) options.malloc = malloc != 0;
    if (matches) return malloc >= 0;
    const int children = number_of(entry, "children", 1, matches);
    if (children >= 0) options.children = children != 0;
    return children >= 0;
}

Entry entry_at(const char* text) {
    Entry entry{text, 0};
    while (text[entry.length] != 0 && text[entry.length] != ',') ++entry.length;
    return entry;
}

bool is_equal(Entry a, Entry b) {
    if (a.length != b.length) return false;
    for (std::size_t i = 0; i < a.length; ++i)
        if (a.text[i] != b.text[i]) return false;
    return true;
}

/// The text itself remembers what was there: there is no heap to remember it in.
bool stands_before(const char* text, Entry entry) {
    while (text < entry.text) {
        const Entry earlier = entry_at(text);
        if (is_equal(earlier, entry)) return true;
        text += earlier.length + 1;
    }
    return false;
}

}  // namespace

Options parse_options(const char* text) {
    Options options;
    if (text == nullptr) return options;
    const char* rest = text;
    while (*rest != 0) {
        const Entry entry = entry_at(rest);
        const bool is_right = entry.length == 0 || apply(entry, options);
        if (!is_right && !stands_before(text, entry)) report(entry);
        rest += entry.length;
        if (*rest == ',') ++rest;
    }
    return options;
}

}  // namespace asyncdump::agent

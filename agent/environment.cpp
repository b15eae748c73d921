#include "environment.h"

#include <string.h>
#include <unistd.h>

#include <cstddef>

namespace asyncdump::agent {
namespace {

const char* file_name(const char* path, std::size_t length) {
    const char* name = path;
    for (std::size_t i = 0; i < length; ++i)
        if (path[i] == '/') name = path + i + 1;
    return name;
}

bool separates(char character) {
    return character == ':' || character == ' ';
}

/// Removes matching entries from a list; true when nothing is left.
bool remove_entry(char* list, const char* wanted) {
    const std::size_t wanted_length = strlen(wanted);
    char* write = list;
    const char* read = list;
    while (*read != 0) {
        while (separates(*read)) ++read;
        std::size_t length = 0;
        while (read[length] != 0 && !separates(read[length])) ++length;
        const char* name = file_name(read, length);
        const bool matches = static_cast<std::size_t>(read + length - name) == wanted_length &&
                             memcmp(name, wanted, wanted_length) == 0;
        if (!matches && length != 0) {
            if (write != list) *write++ = ':';
            memmove(write, read, length);
            write += length;
        }
        read += length;
    }
    // A reader that runs now (no other thread exists yet) would see the old tail: end the text last.
    *write = 0;
    return write == list;
}

}  // namespace

void remove_from_preload(const char* path) {
    constexpr char variable[] = "LD_PRELOAD=";
    constexpr std::size_t variable_length = sizeof variable - 1;
    if (environ == nullptr) return;
    char** write = environ;
    for (char** read = environ; *read != nullptr; ++read) {
        const bool is_preload = strncmp(*read, variable, variable_length) == 0;
        if (is_preload && remove_entry(*read + variable_length, file_name(path, strlen(path)))) continue;
        *write++ = *read;
    }
    *write = nullptr;
}

}  // namespace asyncdump::agent

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtimes/cpp20/coroutine_code.h"
#include "runtimes/cpp20/declared_pointers.h"
#include "runtimes/cpp20/suspend_point.h"
#include "runtimes/cpp20/user_knowledge.h"

namespace asyncdump::cpp20 {

/// A member of a frame as debug information describes it: GCC's `<ramp>.Frame`, clang's
/// `<ramp>.coro_frame_ty`.
struct FrameField {
    enum class Role : std::uint8_t {
        parameter,
        local,
        awaiter,        ///< of a co_await: GCC's Aw<n>
        yield_awaiter,  ///< of a co_yield: GCC's Yd<n>
        bookkeeping,    ///< the compiler's own: pointers, index, initial and final awaiters, unnamed spills
    };
    std::string name;  ///< as the user wrote it, without GCC's scope numbers
    Role role = Role::local;
    std::uint32_t offset = 0;
    std::uint32_t size = 0;
    std::uint32_t await_number = 0;  ///< n of Aw<n> and Yd<n>
    bool is_array = false;           ///< also a std::array; asked of parameters and locals
    Dwarf_Die type{};                ///< valid as long as the module

    AwaiterSlot slot() const { return {offset, offset + (size == 0 ? 1 : size)}; }
    bool is_awaiter() const { return role == Role::awaiter || role == Role::yield_awaiter; }
};

/// What a word of the promise is, by its declared type.
enum class PromiseWord : std::uint8_t {
    other,
    continuation,
    list_link,  ///< to a sibling
    result,     ///< may have no value yet: in a union, a variant, an optional, or raw bytes
};

/// How the frames of one coroutine function look. Everything may be unknown: debug information may be
/// missing, and clang 17 to 19 describe no frame above -O0 (the promise's type and place are known even
/// there).
struct FrameLayout {
    std::uint32_t size = 0;                            ///< 0 when unknown
    bool size_is_described = false;                    ///< by debug information; else read from the code
    std::uint32_t promise_begin = 0, promise_end = 0;  ///< equal when unknown
    std::optional<Dwarf_Die> promise_type;
    std::optional<std::uint32_t> self_handle;  ///< offset of GCC's handle to the frame itself
    std::optional<IndexField> index;           ///< GCC's resume index
    std::vector<FrameField> members;
    std::vector<PromiseWord> promise_words;           ///< by (offset - promise_begin) / 8
    std::vector<bool> plain_data_words, array_words;  ///< by offset / 8
    std::vector<std::uint32_t> pointee_bytes;         ///< by offset / 8
    std::optional<SourceLocation> declared_at;
    bool has_debug_info = false;

    PromiseWord promise_word(std::uint64_t offset) const {
        const std::uint64_t word = (offset - promise_begin) / 8;
        return offset >= promise_begin && word < promise_words.size() ? promise_words[word]
                                                                      : PromiseWord::other;
    }
    /// Of the object to which a word is declared to lead. 0: unknown, or it may be larger (a base class).
    std::uint32_t bytes_behind(std::uint64_t offset) const {
        return offset / 8 < pointee_bytes.size() ? pointee_bytes[offset / 8] : 0;
    }
    /// The word is declared as a pointer to characters or numbers: a buffer, in which handles may stand that
    /// were never written there.
    bool leads_to_plain_data(std::uint64_t offset) const {
        return offset / 8 < plain_data_words.size() && plain_data_words[offset / 8];
    }
    /// The word is declared to lead to an array, or to its end: where allocators put blocks side by side, a
    /// frame may begin there, to which it does not lead.
    bool leads_to_array(std::uint64_t offset) const {
        return offset / 8 < array_words.size() && array_words[offset / 8];
    }
    /// GCC's members for the awaiters of a class, by its readable name; "": of all.
    std::vector<const FrameField*> awaiters_of_class(std::string_view awaiter_type) const;
};

FrameLayout read_frame_layout(const CoroutineCode& code, const UserKnowledge& user,
                              DeclaredPointersOfTypes& pointers);

}  // namespace asyncdump::cpp20

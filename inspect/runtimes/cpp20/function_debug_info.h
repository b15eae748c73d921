// What DWARF says about one coroutine's resume function (or its ramp): lines, the calls inlined straight into
// it, the frame type, the labels of newer compilers. Read once a function.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "modules/line_table.h"
#include "modules/module.h"
#include "runtimes/cpp20/suspend_point.h"

namespace asyncdump::cpp20 {

/// A place in the source; file_index refers to FunctionDebugInfo::file().
struct SourcePosition {
    std::uint32_t line = 0;  ///< 0: none
    std::uint32_t column = 0;
    std::uint32_t file = 0;

    explicit operator bool() const { return line != 0; }
    friend auto operator<=>(const SourcePosition&, const SourcePosition&) = default;
};

/// The functions of the awaiter protocol, by their names.
enum class AwaitRole : std::uint8_t {
    none,
    await_ready,
    await_suspend,
    await_resume,
    await_transform,
    operator_co_await,
    yield_value,
    initial_suspend,
    final_suspend,
    other_promise_function,  ///< return_void, return_value, unhandled_exception, get_return_object, ...
};
AwaitRole await_role(std::string_view linkage_or_plain_name);

/// Clang 18 and later call each await_suspend through a function of their own,
/// `foo.__await_suspend_wrapper__yield3`.
bool is_suspend_wrapper(std::string_view function);
SuspendPoint::Kind suspend_wrapper_kind(std::string_view function);  ///< unknown when it is none

/// A call that was inlined into the coroutine's own code (not into another inlined call).
struct InlinedCall {
    AwaitRole role = AwaitRole::none;
    bool is_suspend_wrapper = false;
    SuspendPoint::Kind wrapper_kind = SuspendPoint::Kind::unknown;
    std::string function;  ///< linkage name, or the plain one where there is no other
    Dwarf_Die die{};       ///< of the call of that function
    SourcePosition called_at;
    std::vector<AddressRange> ranges;  ///< of the target

    bool covers(RemoteAddress address) const {
        for (const AddressRange& range : ranges) {
            if (range.contains(address)) return true;
        }
        return false;
    }
};

/// A variable of the frame that GCC lists in the block where it lives (`Aw2`, `Yd1`, `Is`, `Fs`).
struct AwaiterBlock {
    std::string variable;
    Dwarf_Die type{};  ///< valid when has_type
    bool has_type = false;
    std::vector<AddressRange> ranges;
};

/// A call instruction that DWARF names the callee of.
struct CallSite {
    RemoteAddress return_address;
    std::string function;
};

struct ResumeLabel {
    std::uint64_t index = 0;
    SourcePosition position;
};

class FunctionDebugInfo {
  public:
    /// Empty when DWARF does not know the function.
    static std::optional<FunctionDebugInfo> read(const Module& module, RemoteAddress entry);

    /// The line table's row for an address.
    SourcePosition line_at(RemoteAddress address) const;
    /// The place in the function itself: where code of an inlined call is called.
    SourcePosition statement_at(RemoteAddress address) const;
    /// The code there comes from a function that was inlined.
    bool is_inlined(RemoteAddress address) const;
    const std::string& file(std::uint32_t index) const { return files_[index]; }

    const std::vector<InlinedCall>& inlined_calls() const { return inlined_calls_; }
    const std::vector<AwaiterBlock>& awaiter_blocks() const { return awaiter_blocks_; }
    const std::vector<CallSite>& call_sites() const { return call_sites_; }
    const std::vector<ResumeLabel>& labels() const { return labels_; }
    std::optional<IndexField> index_field() const { return index_field_; }  ///< as the frame type says

    /// Whether the promise's initial_suspend() returns std::suspend_never (false) or std::suspend_always
    /// (true); empty for anything else. Known for clang only.
    std::optional<bool> suspends_initially() const { return suspends_initially_; }

    const std::string& name() const { return name_; }  ///< unqualified; "operator()" for a lambda
    SourcePosition declaration() const { return declaration_; }
    /// GCC's frame type is "declared" at the function's closing brace; empty when unknown.
    SourcePosition closing_brace() const { return closing_brace_; }
    /// Whether a variable of the user's (not the compiler's) lies over these bytes of the frame.
    bool user_variable_at(std::uint32_t offset, std::uint32_t width) const;

  private:
    struct Reader;
    const Module* module_ = nullptr;
    const LineTable* lines_ = nullptr;
    mutable std::deque<std::string> files_;                         ///< whose elements stay where they are
    mutable std::map<std::uint16_t, std::uint32_t> files_of_rows_;  ///< in files_, by LineTable::Row::file
    std::vector<InlinedCall> inlined_calls_;
    std::vector<InlinedCall> other_calls_;  // inlined calls that have nothing to do with awaiting
    std::vector<AwaiterBlock> awaiter_blocks_;
    std::vector<CallSite> call_sites_;
    std::vector<ResumeLabel> labels_;
    std::optional<IndexField> index_field_;
    std::vector<std::uint32_t> user_variable_offsets_;
    std::string name_;
    SourcePosition declaration_;
    SourcePosition closing_brace_;
    std::optional<bool> suspends_initially_;

    std::uint32_t file_index(std::string absolute) const;
};

}  // namespace asyncdump::cpp20

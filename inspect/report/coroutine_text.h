#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "report/report.h"
#include "report/source_names.h"

namespace asyncdump {

/// What the text report says of one coroutine, in printable words. Names and places are made once for all
/// coroutines of a function. Refers to the dump, which must outlive it.
class CoroutineText {
  public:
    CoroutineText(const Dump& dump, const TextStyle& style);

    const SourceNames& sources() const { return sources_; }

    const std::string& function(std::uint32_t coroutine) const;
    std::size_t function_columns(std::uint32_t coroutine) const;
    /// "at server.cpp:61", "near server.cpp:61, resumes at 63", "declared at server.cpp:55"; never empty.
    std::string place(std::uint32_t coroutine) const;
    /// "running on thread 4132", "created, not yet started"; empty for a suspended one, of which the place
    /// tells enough.
    std::string state(std::uint32_t coroutine) const;
    /// "awaiting async_wait on steady_timer, 997 s left"; empty when the coroutines that it awaits are shown
    /// and tell all. `for_example`: it stands for others whose numbers differ.
    std::string awaiting(std::uint32_t coroutine, bool awaited_are_shown, bool for_example) const;
    /// The same for a library's coroutine that is folded into the one that awaits it.
    std::string folded_wait(std::uint32_t coroutine, bool for_example) const;
    /// "created 51 s ago on thread 4132 at accept_loop(int) server.cpp:88"; empty when nothing is known.
    std::string creation(std::uint32_t coroutine) const;
    std::string age(std::uint32_t coroutine) const;  ///< "51 s"; empty when unknown
    /// As the program named this coroutine and what it says to be doing; empty when it did not.
    std::string name(std::uint32_t coroutine) const;
    std::string label(std::uint32_t coroutine) const;
    /// The awaiter at which it is suspended with its fields: "awaiter Event::Awaiter {extra = 7}"; "" when
    /// they are not known.
    std::string awaiter(std::uint32_t coroutine) const;

    /// "id = 3, name = "x""; empty when there are none. `left_out` more are counted.
    std::string variables(const std::vector<Variable>& variables, std::size_t left_out = 0) const;

    const CoroutineDetails& details(std::uint32_t coroutine) const;

    /// The dump's findings in the order in which they are shown: errors before warnings.
    const std::vector<std::uint32_t>& findings() const { return findings_; }
    /// The first finding that names the coroutine, as a place in findings(); no_index when there is none.
    std::uint32_t finding_of(std::uint32_t coroutine) const;

  private:
    std::string known_wait(std::uint32_t coroutine, bool for_example) const;
    std::string location(const SourceLocation& location, std::string_view exactly) const;
    const CoroutineFunction* function_of(std::uint32_t coroutine) const;
    std::string calls(const std::vector<StackPosition>& stack) const;
    std::string text(std::string_view from_target) const;

    struct FunctionText {
        std::string name;
        std::size_t columns = 0;
        std::string declared_at;
    };

    const Dump& dump_;
    TextStyle style_;
    SourceNames sources_;
    std::vector<FunctionText> functions_;  ///< the last one: an unknown function
    std::vector<std::string> locations_;
    std::vector<std::uint32_t> findings_;
    std::unordered_map<std::uint32_t, std::uint32_t> finding_of_;  ///< by coroutine
    std::unordered_map<std::uint32_t, std::string>
        running_at_;  ///< by coroutine: the line of its thread's frame
};

}  // namespace asyncdump

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "report/coroutine_text.h"
#include "report/selection.h"
#include "report/text_writer.h"

namespace asyncdump {

/// Prints the threads: each with its stack, innermost first; a coroutine on a stack is followed by those that
/// await it, so that the whole stack is seen as one. Threads of equal stacks are shown once unless the style
/// says all.
class ThreadText {
  public:
    ThreadText(const Dump& dump, const Selection& selection, const CoroutineText& text, TextWriter& writer)
        : dump_(dump), selection_(selection), text_(text), writer_(writer) {}

    void write();

  private:
    struct Group {
        const Thread* example = nullptr;
        std::vector<const Thread*> others;
    };

    struct Row {
        std::string introduction;  ///< before the function
        std::string function;
        std::string place;
        std::string notes;
        std::string variables;
    };

    std::vector<Group> groups() const;
    std::string key(const Thread& thread) const;
    void write_group(const Group& group);
    void write_stack(const Thread& thread);
    Row row_of(const ThreadFrame& frame) const;
    void append_awaiting_coroutines(const Thread& thread, std::uint32_t coroutine,
                                    std::vector<Row>& rows) const;
    std::string printed(std::string_view text) const { return printable(text, writer_.style().unicode); }

    const Dump& dump_;
    const Selection& selection_;
    const CoroutineText& text_;
    TextWriter& writer_;
};

}  // namespace asyncdump

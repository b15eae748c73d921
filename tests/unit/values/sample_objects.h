#pragma once

#include <functional>
#include <memory>
#include <string>

#include "modules/module.h"
#include "process/live_memory.h"
#include "values/value_writer.h"

namespace asyncdump::test {

/// Makes one object of every type that is known to the printers and shows them while they live. `expected` is
/// how it is to be written; {} stands for any text.
using VisitObject =
    std::function<void(const std::string& name, RemoteAddress object, const std::string& expected)>;
void with_sample_objects(const VisitObject& visit);

/// The test's own process as a target.
class OwnProcess {
  public:
    OwnProcess();
    /// The type of a variable of with_sample_objects.
    const ValueType& type_of(const std::string& variable);
    const Memory& memory() const { return live_; }

  private:
    MemoryMap map_;
    ModuleSet modules_;
    LiveMemory live_;
    TypeTable types_;
    std::unordered_map<std::string, Dwarf_Die> variables_;
};

bool is_like(const std::string& text, const std::string& expected);

}  // namespace asyncdump::test

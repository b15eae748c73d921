#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "modules/names.h"
#include "process/memory.h"
#include "process/memory_map.h"
#include "runtimes/cpp20/frames.h"
#include "runtimes/cpp20/hidden_holds.h"
#include "runtimes/cpp20/libraries/libraries.h"
#include "runtimes/cpp20/surroundings.h"
#include "runtimes/cpp20/user_knowledge.h"
#include "runtimes/observation.h"
#include "values/value_type.h"

namespace asyncdump::cpp20 {

/// C++20 coroutines of a process. Made once per process; knows nothing of stopping and copying: the caller
/// shows it memory, first of the running target (to plan), then of the snapshot (to explain).
class Cpp20Runtime {
  public:
    struct Options {
        NameStyle names;
        bool use_source_text = true;
        unsigned workers = 1;
        UserKnowledge user;
        /// Of how many coroutines parameters, locals and awaiters' fields are read: the first ones by
        /// address.
        std::size_t most_with_variables = 0;
    };
    Cpp20Runtime(const ModuleSet& modules, const Options& options);
    ~Cpp20Runtime();

    const CoroutineCatalog& catalog() const;
    LayoutCache& layouts();
    TypeTable& types();  ///< of the modules, for whoever prints values beside it

    /// Everything that can be said of `frames` (sorted by address) from `memory`. What it needs beyond them
    /// it reads from `memory` as well.
    Observation observe(const Memory& memory, std::vector<Frame> frames, const Surroundings& surroundings);

    /// See hidden_holds.h.
    std::vector<bool> find_hidden_holds(const HiddenHoldSources& sources,
                                        std::span<const AddressRange> frames) const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace asyncdump::cpp20

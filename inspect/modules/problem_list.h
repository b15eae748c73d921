#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "base/error.h"

namespace asyncdump {

/// What a module set could not do so far: one entry for each subject and code.
class ProblemList {
  public:
    void add(Problem problem) {
        const bool known = std::any_of(problems_.begin(), problems_.end(), [&](const Problem& other) {
            return other.code == problem.code && other.subject == problem.subject;
        });
        if (!known) problems_.push_back(std::move(problem));
    }
    const std::vector<Problem>& all() const { return problems_; }

  private:
    std::vector<Problem> problems_;
};

}  // namespace asyncdump

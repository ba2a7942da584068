#include "runtime/base/error.h"

#include <utility>

namespace tutti {

Error::Error(ExitCode code, std::string problem, std::string place, std::string remedy)
    : code_(code),
      problem_(std::move(problem)),
      place_(std::move(place)),
      remedy_(std::move(remedy)),
      message_(place_.empty() ? problem_ : place_ + ": " + problem_) {
  if (!remedy_.empty()) message_ += "\n  fix: " + remedy_;
}

Error Error::as_agreed() const {
  Error copy = *this;
  copy.agreed_ = true;
  return copy;
}

}  // namespace tutti

// What somebody who misspelt a name may have meant.
#pragma once

#include <span>
#include <string>

namespace tutti {

// The one of `known` with the fewest letters to insert, remove or replace; the first of equals, ""
// where none is known. Local.
std::string nearest_name(const std::string& name, std::span<const std::string> known);

}  // namespace tutti

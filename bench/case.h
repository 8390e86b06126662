// bench/case.h -- benchmark rows: a name, and a function that sets up data and returns the closure to be timed.
#pragma once
#include <functional>
#include <map>
#include <string>

namespace retort::bench {

/// One iteration of a row; returns a number that shows the work was done (a loss, an element of a result).
using Step = std::function<double()>;
using Prepare = std::function<Step()>;

/// All rows by name, in files ops.cpp, chunked.cpp and models.cpp; bench/peer.py has rows of the same names.
std::map<std::string, Prepare>& cases();

struct Register {
  Register(const std::string& name, Prepare prepare) { cases().emplace(name, std::move(prepare)); }
};

}  // namespace retort::bench

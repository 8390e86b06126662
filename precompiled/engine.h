// precompiled/engine.h -- what almost every file includes, parsed once per library. A file must compile without it all
// the same, and does so in `./dev sanitize`: it includes what it uses.
#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "tensor/primitive.h"

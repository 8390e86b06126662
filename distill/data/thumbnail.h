// distill/data/thumbnail.h -- pictures of a data set for reports.
#pragma once
#include <cstdint>
#include <vector>

#include "distill/data/dataset.h"

namespace retort {

/// Image `index` of the set as an encoded PNG of its own size.
std::vector<std::uint8_t> thumbnail_png(const Dataset& set, std::int64_t index);

}  // namespace retort

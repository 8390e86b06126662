// distill/train/nearest.h -- the nearest known name to a mistyped one, for error messages.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace retort {

/// Restricted Damerau-Levenshtein distance: insertions, deletions, substitutions and swaps of neighbours, each of cost
/// 1 (optimal string alignment). Case is ignored and '-' equals '_', since those are the usual slips in keys.
int edit_distance(std::string_view a, std::string_view b);

/// The candidate with the smallest edit distance to `name` (the first of equals); empty when there is none.
std::string nearest_name(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace retort

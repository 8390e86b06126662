// distill/data/clusters.h -- the members of a set that stand for the rest.
#pragma once
#include <vector>

#include "tensor/rng.h"
#include "tensor/tensor.h"

namespace retort {

/// k-means over rows of f [n, d] (first centres as k-means++ draws them, then Lloyd's iterations until nothing moves,
/// at most 50): for each cluster the row nearest to its centre, ascending and without repeats. All rows when k >= n.
std::vector<std::int64_t> nearest_to_centroids(const Tensor& f, std::int64_t k, const RngKey& key);

}  // namespace retort

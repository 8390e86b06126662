// distill/train/pixel_sets.h -- the first values of synthetic sets, and what a job says about roles whose weights are
// drawn.
#pragma once
#include "distill/train/setup.h"

namespace retort {

/// `roles.R.init` of synthetic sets: `noise`, or `real(SOURCE labels=ROLE)`: random images of each class of the
/// source's set, drawn from the job's seed, with `decode` each smaller tile an image of its own; learned labels begin
/// as one-hot vectors, or as what ROLE answers to those images. Also notes which values black and white pixels have in
/// the first source's set. Throws ConfigError.
void fill_pixel_sets(Config& method, Setup& setup, DType dtype);

/// `roles.R.params` where weights are drawn for each step: distill/train/drawn_params.h.
void read_drawn_params(Config& method, const NumberMap& numbers, Setup& setup);

/// Room for what the phases record: runs x points x weights for every store. Throws ConfigError for a store that
/// nothing records, or that records networks of two sizes.
void allocate_trajectories(Setup& setup, DType dtype);

/// `count` random images of each class, without repeats while there are enough: indices into the set, class after
/// class.
std::vector<std::int64_t> random_per_class(const Dataset& set, std::int64_t count, const RngKey& key);

}  // namespace retort

// distill/train/synthetic_source.h -- samples of a synthetic set, and real batches with the same number of each class.
#pragma once
#include "distill/train/source.h"

namespace retort {

/// `{kind: synthetic, role: R}`: rows of the role's set, all of its slots, or `batch` of them drawn anew each step
/// without repeats. x lives while an update trains the role; learned labels are the state "target".
std::unique_ptr<Source> synthetic_source(const std::string& name, const Role& role, std::int64_t batch);

/// `{kind: data, classes: even}`: batch / K rows of every class, class after class, each class in its own random order.
/// Throws ValueError when K does not divide `options.global_batch`.
std::unique_ptr<Source> even_source(const std::shared_ptr<const Dataset>& set, const LoaderOptions& options,
                                    Device device);

}  // namespace retort

// distill/objectives/scalar.h -- the term Scalar: a function of a few numbers per sample. GAN and ratio losses,
// rewards, regularisers.
#pragma once
#include "distill/diffusion/weights.h"
#include "distill/objectives/tables/scalar_functions.h"

namespace retort {

/// Sum over samples of w(t) fn(reads). Gradients flow into every read: a discriminator learns from it where it is
/// trained; where it is not, or the read says `grad: input`, the sample alone does, through weights that keep their
/// bits.
struct ScalarSpec {
  std::string name;
  StatePlan plan;
  std::vector<Read> reads;
  ScalarFunction fn;
  TimeWeight weight;  ///< of the time of the first read's state; empty: 1
  bool mean_within = false;
};

std::unique_ptr<Term> make_scalar(ScalarSpec spec);

/// Parses `terms.NAME` with `kind: scalar`: times, points, read (one, or the list that fn takes), fn, weight, reduce:
/// sum or mean over the numbers that a read has per sample, per sample. Throws ConfigError at the key that is wrong.
ScalarSpec parse_scalar(const std::string& name, Config& term, const NumberMap& numbers, const NoiseSchedule* schedule);

}  // namespace retort

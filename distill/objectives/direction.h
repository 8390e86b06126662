// distill/objectives/direction.h -- the term Direction: a descent direction for samples, made of predictions.
#pragma once
#include <optional>

#include "distill/diffusion/weights.h"
#include "distill/objectives/tables/directions.h"
#include "distill/objectives/tables/scalar_functions.h"

namespace retort {

/// h(r) of each sample, r = e^l of a read of logits l at the state of the sum, averaged over the numbers of a sample.
struct RatioWeight {
  FDivergence f;
  double bound = 10;            ///< l is limited to [-bound, bound] first
  double low = 0, high = 1e30;  ///< then r
  bool mean_one = false;        ///< h is divided by its mean over the batch
};

/// x <- x - g with g = w(t) / n * sum_i c_i prediction_i in one space at one state of the sample x. The signs are the
/// preset's: tracker - teacher in x0 and score, teacher - tracker in eps and v descend KL(student || teacher).
struct DirectionSpec {
  enum class Norm {
    none,
    l1
  };  ///< l1: mean |x - x0| of the sample, at least `floor`, detached; x0 is the
      ///< teacher's, under its condition where the sum reads that
  enum class Estimator { push, huber, identity, sim, expansion };
  struct Summand {
    Weight coefficient;
    TimeWeight share;  ///< in time beside; empty: 1
    std::size_t part = 0;
  };
  std::string name;
  StatePlan plan;
  Space space = Space::x0;
  std::vector<Read> reads;  ///< the summands, then those at the places below
  std::vector<Summand> summands;
  std::optional<std::size_t> scale_read, ratio_read, x_read;  ///< teacher's x0 (l1); logits; x, when batches are whole
  std::size_t parts = 1;
  Combine combine;    ///< of the parts; empty: there is one
  std::string state;  ///< where the first prediction is: the time of the weights
  TimeWeight weight;  ///< empty: 1
  Norm norm = Norm::none;
  double floor = 0;
  std::int64_t group = 1;  ///< of l1: the mean is over so many samples that follow each other
  std::optional<RatioWeight> ratio;
  Estimator estimator = Estimator::push;
  Weight a;  ///< of identity
  Weight c;  ///< of huber and sim
  std::vector<Filter> filters;
  bool mean_within = false;
};

/// push: |x - sg(x - g)|^2 / 2, whose derivative in x is g exactly; the predictions are constants.
/// huber(c): w / n sum sqrt((x - sg(x - y))^2 + c^2) - c per element, y the sum (TDM, 2503.06674).
/// identity(a): y is the sum, its first summand the tracker's x0 D_f: w / n sum [y (x - D_f) + (1 - a) y^2], everything
/// live in x (SiD, Zhou et al. 2024, with D_r - D_f = -y; a = 0 is the Fisher loss, a = 1 the score identity alone).
/// sim(c): w / n sum y / sqrt(|y|^2 + c^2) (own - D_f), own the sample's x seen in the term's space at its state, y and
/// D_f as above, everything live: the gradient of E d(y), d = sqrt(|y|^2 + c^2) - c, at samples held fixed (score
/// implicit matching, Luo et al. 2024; in scores own is -eps / sigma). As c grows, c times it is identity(1).
/// expansion(F): w sum 2 h(r) y (x - D_f) + (h - r h')(r) y^2, everything live in x, also r: the gradient of E h(r) y^2
/// with the samples' own law live, what an f-divergence loses per unit of noise (Uni-Instruct, Wang et al. 2025);
/// rkl is 2 identity(1/2).
/// With a ratio, g (or the value of identity and sim) is multiplied by h(r), constant (f-distill, Xu et al. 2025).
std::unique_ptr<Term> make_direction(DirectionSpec spec);

/// Parses `terms.NAME` with `kind: direction`: times, points, space, sum, weight, norm, estimator, filter (a call or a
/// list of calls, of push), ratio, reduce. `ratio` is {read: LOGITS, h: F, bound: 10, clip: [low, high], mean_one:
/// false}; of expansion, which names F itself, {read: LOGITS}. `sum` is [[c, read, weight in time = one], ...], or
/// {PART: such a list, ...} with `combine`. Throws ConfigError at the key that is wrong.
DirectionSpec parse_direction(const std::string& name, Config& term, const NumberMap& numbers,
                              const NoiseSchedule* schedule);

}  // namespace retort

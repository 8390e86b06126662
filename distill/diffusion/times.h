// distill/diffusion/times.h -- at which times a step looks (table `times`), drawn per sample from keyed numbers.
#pragma once
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "distill/diffusion/schedule.h"
#include "distill/train/numbers.h"
#include "tensor/rng.h"

namespace retort {

/// One sample that times are drawn for. Numbers come in the order in which they are asked for and depend on the key and
/// the sample alone.
class TimeDraw {
 public:
  TimeDraw(const RngKey& key, std::uint64_t sample, const Clock& now)
      : clock(now),
        progress(static_cast<double>(now.step) / static_cast<double>(std::max<std::int64_t>(now.steps, 1))),
        key_(key),
        sample_(sample) {}
  const Clock clock;                                   ///< where numbers are read
  const double progress;                               ///< share of the phase that is over, in [0, 1]
  std::map<std::string, double, std::less<>> earlier;  ///< times drawn so far, by name
  double uniform();                                    ///< in [0, 1)
  double normal();
  std::uint64_t index(std::uint64_t bound);  ///< in [0, bound)
  /// The same draw for another sample, from its beginning.
  TimeDraw of_sample(std::uint64_t sample) const;

 private:
  std::uint64_t next();
  RngKey key_;
  std::uint64_t sample_, drawn_ = 0;
};

/// An entry of the table: fills the times that it names.
struct TimeLaw {
  std::vector<std::string> names;  ///< of the times it draws; {""}: one, named by whoever uses it
  std::function<void(TimeDraw&, std::span<double>)> draw;
};

/// Laws of one time, in the schedule's coordinate; "fraction" is of the way from t_min to t_max:
///   a number                that time; so too the name of one of the preset's
///   frac(u0 u1)             fraction uniform in [u0, u1)
///   index(i0 i1)            a whole number, both ends included
///   lognormal(m s)          log(sigma / alpha) normal; atan_lognormal(m s) the same on a trig schedule, where it is
///                           t = atan(e^N / sigma_data) (Lu and Song 2024)
///   log_uniform(low high)   log(sigma / alpha) uniform between the logarithms of two levels
///   logit_normal(m s)       fraction sigmoid(N)
///   karras(u0 u1 rho sigma_min sigma_max)   sigma / alpha at the share u of Karras et al.'s levels, u uniform, 0 the
///                           cleanest
///   sqrt_anneal(u0 u1)      fraction u1 - (u1 - u0) sqrt(progress): not random
///   shift(gamma law)        fraction u of another law -> gamma u / (1 + (gamma - 1) u)
///   interval(a b)           uniform between two times: numbers, names or laws (refused unless a <= b)
///   later(t eta)            t + eta (t - t_min) U, at most t_max
///   earlier(t gap least)    t - gap, at least `least`, a number or name, which is clean unless given
///   recent(t share q=0)     t with probability q, else (1 - share U) t
///   past(t gap)             t + gap, at most t_max
///   between(a b share)      a + share (b - a)
///   until(share first then) of law `first` until that share of the run is over, then of the other
///   gap(t R)                t - R U, at least clean: never farther than R (DisCa)
///   capped(t u0 u1)         uniform below t, then limited to fractions [u0, u1]
///   shared(law)             one draw of another law for all samples of the step
///   reach(d scale u0 u1)    fraction uniform in [u0, u0 + (u1 - u0) min(d / scale, 1)), d the name of a number
/// Laws of several:
///   minmax(law q zero)      t and s, the larger and smaller of two draws; with probability q s = t, else with zero
///                           (share of all samples) s is clean
///   grid(n segments=1 end=edge over=GRID)   t and u, next to each other on a grid with n gaps, and s <= u: the
///                           beginning of t's segment (edge), uniform from there to u (random), or u (next). The grid
///                           has n + 1 times: karras on ve, else uniform; on vp subset(n) with index 0 in front. n and
///                           segments may be named numbers, rounded, unless `over` fixes n
///   growing(s0 s1)          the same to the cleanest time, on a grid whose number of gaps grows with progress p as
///                           ceil(sqrt(p ((s1 + 1)^2 - s0^2) + s0^2) - 1) (Song et al. 2023)
///   doubling(s0 s1 m s)     the same with s0 gaps that double in equal shares of the phase up to s1; a gap is as
///                           likely as log(sigma / alpha) ~ N(m, s^2) is to fall into it (Song and Dhariwal 2024)
///   dyadic(n)               t, m and s on a grid with n gaps, n a power of 2: t - s is one of 1, 1/2 .. 2/n of it,
///                           equally likely, s a multiple of that, m half way (shortcut models)
///   targets(n k0 k1 within eta=0)   t and u as grid(n) on vp; s = floor((1 - eta U) p), p uniform among the times p at
///                           which some sampler of k0 .. k1 equal steps begins one and that lie at most `within` below
///                           the last that is not after u (TDD)
/// ConfigError naming the nearest entry.
TimeLaw make_time_law(const Call& call, const NoiseSchedule& schedule, const NumberMap& numbers = {});

/// One entry of a preset's `times`: `t: frac(.02 .98)`.
struct NamedLaw {
  std::string name;
  TimeLaw law;
};
using Times = std::map<std::string, Tensor, std::less<>>;

/// Draws the laws in order, later ones may read earlier ones: times [n] of `dtype` (f32 or f64, computed in f64) on the
/// host, by name. samples i64 [n], global sample indices: the numbers of a sample depend on (rng, stream, law's name,
/// step, sample) alone, so splitting a batch changes nothing. A law of several names gives its own names.
/// Laws may also read the `known` times, [n] each.
Times draw_times(std::span<const NamedLaw> laws, const Rng& rng, const std::string& stream, std::uint32_t step,
                 const Tensor& samples, const Clock& clock = {}, DType dtype = DType::f64, const Times& known = {});

}  // namespace retort

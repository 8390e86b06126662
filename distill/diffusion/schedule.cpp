#include "distill/diffusion/schedule.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>

#include "autograd/level.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/index.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/shape.h"
#include "tensor/transfer.h"

namespace retort {

namespace {
// The formulas below are written once for doubles and tensors: these are the doubles' side of the ops.
double square(double x) { return x * x; }
double softplus(double x) { return std::max(x, 0.) + std::log1p(std::exp(-std::abs(x))); }
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double constant(double, double value) { return value; }
Tensor constant(const Tensor& t, double value) { return Tensor::full(t.shape(), value, DType::f64, t.device()); }

constexpr double kQuarterTurn = std::numbers::pi / 2;

double beta_at(const Betas& b, int j) {
  const auto signal2 = [&](double i) { return square(std::cos((i / b.steps + .008) / 1.008 * kQuarterTurn)); };
  const double u = b.steps > 1 ? static_cast<double>(j) / (b.steps - 1) : 0;
  switch (b.law) {
    case Betas::Law::linear:
      return b.begin + (b.end - b.begin) * u;
    case Betas::Law::scaled_linear:
      return square(std::lerp(std::sqrt(b.begin), std::sqrt(b.end), u));
    case Betas::Law::cosine:
      return std::min(1 - signal2(j + 1) / signal2(j), .999);
  }
  throw InternalError("schedule: unknown law of betas");
}
}  // namespace

NoiseSchedule NoiseSchedule::ve(double sigma_min, double sigma_max) {
  if (!(sigma_min > 0 && sigma_max > sigma_min))
    throw ValueError("ve: needs 0 < sigma_min < sigma_max; got {} and {}", sigma_min, sigma_max);
  return {Kind::ve, sigma_min, sigma_max};
}

NoiseSchedule NoiseSchedule::flow() { return {Kind::flow, 0, 1}; }

NoiseSchedule NoiseSchedule::trig(double sigma_data) {
  if (!(sigma_data > 0)) throw ValueError("trig: sigma_data is a standard deviation; got {}", sigma_data);
  return {Kind::trig, 0, kQuarterTurn, sigma_data};
}

NoiseSchedule NoiseSchedule::vp(const Betas& betas) {
  const bool bounded =
      betas.law == Betas::Law::cosine || (betas.begin > 0 && betas.end >= betas.begin && betas.end < 1);
  if (betas.steps < 2 || !bounded)
    throw ValueError("vp: needs at least 2 steps and 0 < begin <= end < 1; got {} steps, {} and {}", betas.steps,
                     betas.begin, betas.end);
  auto table = std::make_shared<std::vector<double>>(1, 0.);
  for (int j = 0; j < betas.steps; ++j) table->push_back(table->back() + .5 * std::log1p(-beta_at(betas, j)));
  NoiseSchedule schedule{Kind::vp, 0, betas.steps - 1.};
  schedule.log_signal_ = std::move(table);
  return schedule;
}

NoiseSchedule NoiseSchedule::vp_continuous(double beta_min, double beta_max) {
  if (!(beta_min > 0 && beta_max > beta_min))
    throw ValueError("vp_continuous: needs 0 < beta_min < beta_max; got {} and {}", beta_min, beta_max);
  return {Kind::vp_continuous, 1e-3, 1, beta_min, beta_max};
}

NoiseSchedule NoiseSchedule::cosine(double offset) {
  if (!(offset >= 0)) throw ValueError("cosine: the offset is at least 0; got {}", offset);
  return {Kind::cosine, 1e-4, 1 - 1e-4, offset};
}

void NoiseSchedule::check(double t) const {
  const bool limited = kind_ == Kind::flow || kind_ == Kind::vp || kind_ == Kind::trig;
  if (!(t >= clean()) || (limited && t > t_max_))
    throw ValueError("schedule: the time lies in [{}, {}]; got {}", clean(), t_max_, t);
}

/// log alpha and its derivative in t, of the variance-preserving kinds that have them in closed form or as a table.
template <class T>
SignalNoise<T> NoiseSchedule::log_signal(const T& t) const {
  if (kind_ == Kind::vp_continuous) {
    const double growth = b_ - a_;
    return {square(t) * (-growth / 4) - t * (a_ / 2), t * (-growth / 2) - a_ / 2};
  }
  const std::vector<double>& table = *log_signal_;
  const double last = static_cast<double>(table.size()) - 3;  // the last index at which a segment begins
  if constexpr (std::is_same_v<T, double>) {
    const double begin = std::clamp(std::floor(t), -1., last);
    const auto i = static_cast<std::size_t>(begin + 1);
    const double slope = table[i + 1] - table[i];
    return {table[i] + (t - begin) * slope, slope};
  } else {
    const Shape shape{static_cast<std::int64_t>(table.size())};
    const Tensor values =
        t.meta() ? Tensor::empty(shape, DType::f64, t.device()) : Tensor::from(table, shape, DType::f64);
    const Tensor begin = clamp(floor(stop_gradient(t)), -1, last);
    const Tensor here = index_select(values, 0, cast(begin + 1, DType::i64));
    const Tensor slope = index_select(values, 0, cast(begin + 2, DType::i64)) - here;
    return {here + (t - begin) * slope, slope};
  }
}

template <class T>
SignalNoise<T> NoiseSchedule::level(const T& t) const {
  using std::cos, std::exp, std::expm1, std::sin, std::sqrt;
  switch (kind_) {
    case Kind::ve:
      return {constant(t, 1), t};
    case Kind::flow:
      return {1 - t, t};
    case Kind::trig:
      return {cos(t), sin(t) * a_};
    case Kind::vp:
    case Kind::vp_continuous: {
      const T log_alpha = log_signal(t).signal;
      return {exp(log_alpha), sqrt(-expm1(log_alpha * 2))};
    }
    case Kind::cosine: {
      // 1 - alpha^2 as a product of sines: no cancellation near t = 0.
      const double turn = kQuarterTurn / (1 + a_), start = a_ * turn, top = std::cos(start);
      return {cos(t * turn + start) / top, sqrt(sin(t * turn) * sin(t * turn + 2 * start)) / top};
    }
  }
  throw InternalError("schedule: unknown kind");
}

template <class T>
SignalNoise<T> NoiseSchedule::slope(const T& t) const {
  using std::cos, std::sin;
  switch (kind_) {
    case Kind::ve:
      return {constant(t, 0), constant(t, 1)};
    case Kind::flow:
      return {constant(t, -1), constant(t, 1)};
    case Kind::trig:
      return {-sin(t), cos(t) * a_};
    default:
      break;
  }
  const SignalNoise<T> here = level(t);
  T signal = here.signal;
  if (kind_ == Kind::cosine) {
    const double turn = kQuarterTurn / (1 + a_), start = a_ * turn;
    signal = sin(t * turn + start) * (-turn / std::cos(start));
  } else {
    signal = here.signal * log_signal(t).noise;
  }
  return {signal, -signal * here.signal / here.noise};
}

SignalNoise<double> NoiseSchedule::at(double t) const {
  check(t);
  return level(t);
}
SignalNoise<Tensor> NoiseSchedule::at(const Tensor& t) const { return level(cast(t, DType::f64)); }
SignalNoise<double> NoiseSchedule::rate(double t) const {
  check(t);
  return slope(t);
}
SignalNoise<Tensor> NoiseSchedule::rate(const Tensor& t) const { return slope(cast(t, DType::f64)); }

double NoiseSchedule::log_snr(double t) const {
  const SignalNoise<double> here = at(t);
  return 2 * std::log(here.signal / here.noise);
}
Tensor NoiseSchedule::log_snr(const Tensor& t) const {
  const SignalNoise<Tensor> here = at(t);
  return log(here.signal / here.noise) * 2;
}

template <class T>
T NoiseSchedule::closed_inverse(const T& log_snr) const {
  using std::exp, std::sqrt;
  if (kind_ == Kind::ve) return exp(log_snr * -.5);
  if (kind_ == Kind::flow) return sigmoid(log_snr * -.5);
  // vp_continuous: the positive root of log alpha(t) = -softplus(-log_snr) / 2, in the form that does not cancel.
  const T wanted = softplus(-log_snr);
  return wanted / (sqrt(wanted * ((b_ - a_) / 2) + a_ * a_ / 4) + a_ / 2);
}

double NoiseSchedule::table_inverse(double log_signal) const {
  const std::vector<double>& table = *log_signal_;  // descending from 0
  const auto below = std::lower_bound(table.begin() + 1, table.end() - 1, log_signal, std::greater<>());
  const double high = *(below - 1), low = *below;
  const double share = std::clamp((log_signal - high) / (low - high), 0., 1.);
  return static_cast<double>(below - table.begin()) - 2 + share;
}

double NoiseSchedule::time_at(double log_snr) const {
  switch (kind_) {
    case Kind::trig:
      return std::atan(std::exp(-log_snr / 2) / a_);
    case Kind::vp:
      return table_inverse(-softplus(-log_snr) / 2);
    case Kind::cosine: {
      const double turn = kQuarterTurn / (1 + a_), start = a_ * turn;
      const double signal2 = sigmoid(log_snr), noise2 = sigmoid(-log_snr);
      const double sine = std::sqrt(noise2 + signal2 * square(std::sin(start)));
      return (std::atan2(sine, std::sqrt(signal2) * std::cos(start)) - start) / turn;
    }
    default:
      return closed_inverse(log_snr);
  }
}

Tensor NoiseSchedule::time_at(const Tensor& log_snr) const {
  const Tensor wanted = cast(log_snr, DType::f64);
  if (kind_ == Kind::ve || kind_ == Kind::flow || kind_ == Kind::vp_continuous) return closed_inverse(wanted);
  std::vector<double> times = stop_gradient(wanted).values();
  std::transform(times.begin(), times.end(), times.begin(), [this](double v) { return time_at(v); });
  const Tensor t = Tensor::from(times, wanted.shape(), DType::f64);
  if (!tracked(log_snr)) return t;
  const SignalNoise<Tensor> here = at(t), change = rate(t);
  const Tensor slope = (change.signal / here.signal - change.noise / here.noise) * 2;
  return t + (wanted - stop_gradient(wanted)) / slope;
}

NoiseSchedule make_schedule(const Call& call) {
  using Make = NoiseSchedule (*)(CallArgs&);
  static const std::map<std::string, Make, std::less<>> table{
      {"ve",
       [](CallArgs& a) {
         const double low = a.number("sigma_min", .002), high = a.number("sigma_max", 80);
         return NoiseSchedule::ve(low, high);
       }},
      {"flow", [](CallArgs&) { return NoiseSchedule::flow(); }},
      {"trig", [](CallArgs& a) { return NoiseSchedule::trig(a.number("sigma_data", .5)); }},
      {"vp",
       [](CallArgs& a) {
         static const std::map<std::string, Betas, std::less<>> laws{
             {"linear", {Betas::Law::linear, 1e-4, .02, 1000}},
             {"scaled_linear", {Betas::Law::scaled_linear, .00085, .012, 1000}},
             {"cosine", {Betas::Law::cosine, 0, 0, 1000}}};
         const auto law = a.optional_call("law");
         Betas betas = law ? lookup(laws, *law, "law of betas") : Betas{};
         if (betas.law != Betas::Law::cosine) {
           betas.begin = a.number("begin", betas.begin);
           betas.end = a.number("end", betas.end);
         }
         betas.steps = static_cast<int>(a.integer("steps", betas.steps, {.min = 2, .max = 1000000}));
         return NoiseSchedule::vp(betas);
       }},
      {"vp_continuous",
       [](CallArgs& a) {
         const double low = a.number("beta_min", .1), high = a.number("beta_max", 20);
         return NoiseSchedule::vp_continuous(low, high);
       }},
      {"cosine", [](CallArgs& a) { return NoiseSchedule::cosine(a.number("offset", .008)); }},
  };
  CallArgs args(call);
  const Make make = lookup(table, call, "noise schedule");
  try {
    NoiseSchedule schedule = make(args);
    args.done();
    return schedule;
  } catch (const ValueError& e) {
    call.fail(e.what());
  }
}

SignalNoise<Tensor> transition(const NoiseSchedule& schedule, const Tensor& t, const Tensor& s) {
  const SignalNoise<Tensor> late = schedule.at(t), early = schedule.at(s);
  const Tensor signal = late.signal / early.signal;
  return {signal, sqrt(square(late.noise) - square(signal * early.noise))};
}

Tensor per_sample(const Tensor& numbers, const Tensor& x) {
  if (numbers.rank() == 0) return constant_on(cast(numbers, x.dtype()), x.device());
  if (numbers.rank() != 1 || x.rank() < 1 || numbers.size(0) != x.size(0))
    throw ShapeError("per_sample: needs one number for each of the samples {}; got {}", x.str(), numbers.str());
  Shape column = Shape::filled(x.rank(), 1);
  column[0] = x.size(0);
  return reshape(constant_on(cast(numbers, x.dtype()), x.device()), column);
}

}  // namespace retort

#include "distill/diffusion/grid.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace retort {

double karras_level(double u, double sigma_min, double sigma_max, double rho) {
  return std::pow(std::lerp(std::pow(sigma_min, 1 / rho), std::pow(sigma_max, 1 / rho), u), rho);
}

std::vector<double> karras_levels(int n, double sigma_min, double sigma_max, double rho) {
  std::vector<double> levels = uniform_grid(n, 0, 1);
  for (double& v : levels) v = karras_level(v, sigma_min, sigma_max, rho);
  return levels;
}

std::vector<double> uniform_grid(int n, double begin, double end) {
  if (n < 2) throw ValueError("uniform_grid: needs at least 2 times; got {}", n);
  std::vector<double> times;
  for (int i = 0; i < n; ++i) times.push_back(std::lerp(begin, end, static_cast<double>(i) / (n - 1)));
  return times;
}

std::vector<double> subset_grid(int n, int steps) {
  if (n < 1 || steps % n != 0) throw ValueError("subset_grid: {} indices do not divide {} steps", n, steps);
  std::vector<double> times;
  for (int i = 1; i <= n; ++i) times.push_back(steps / n * i - 1);
  return times;
}

double shift_time(double u, double gamma) { return gamma * u / (1 + (gamma - 1) * u); }

namespace {
using Grid = std::vector<double>;
constexpr IntBounds kCount{.min = 2, .max = 1000000};

int count(CallArgs& args) { return static_cast<int>(args.integer("n", kCount)); }

Grid make_karras(CallArgs& args, const NoiseSchedule& schedule) {
  const bool ve = schedule.kind() == NoiseSchedule::Kind::ve;
  const int n = count(args);
  const double rho = args.number("rho", 7, {.above = 0});
  const double low = args.number("sigma_min", ve ? schedule.t_min() : .002, {.above = 0});
  const double high = args.number("sigma_max", ve ? schedule.t_max() : 80, {.above = low});
  Grid times = karras_levels(n, low, high, rho);
  for (double& t : times) t = schedule.time_at(-2 * std::log(t));
  return times;
}

Grid make_subset(CallArgs& args, const NoiseSchedule& schedule) {
  const Call call = args.call("n");
  if (schedule.kind() != NoiseSchedule::Kind::vp) call.fail("subset is of the indices of a vp schedule");
  const double n = call.number().value_or(0), steps = schedule.t_max() + 1;
  if (!(n >= 1 && std::fmod(steps, n) == 0)) call.fail(fmt::format("the number of indices divides {}", steps));
  return subset_grid(static_cast<int>(n), static_cast<int>(steps));
}

Grid make_shift(CallArgs& args, const NoiseSchedule& schedule) {
  const double gamma = args.number("gamma", {.above = 0});
  Grid times = make_grid(args.call("grid"), schedule);
  const double begin = schedule.t_min(), length = schedule.t_max() - begin;
  for (double& t : times) t = begin + length * shift_time((t - begin) / length, gamma);
  return times;
}

Grid make_ends(CallArgs& args, const NoiseSchedule& schedule) {
  Grid times = make_grid(args.call("grid"), schedule);
  if (times.front() > schedule.clean()) times.insert(times.begin(), schedule.clean());
  return times;
}
}  // namespace

Grid make_grid(const Call& call, const NoiseSchedule& schedule) {
  using Make = Grid (*)(CallArgs&, const NoiseSchedule&);
  static const std::map<std::string, Make, std::less<>> table{
      {"karras", make_karras},
      {"uniform",
       [](CallArgs& args, const NoiseSchedule& s) { return uniform_grid(count(args), s.t_min(), s.t_max()); }},
      {"subset", make_subset},
      {"shift", make_shift},
      {"ends", make_ends},
  };
  CallArgs args(call);
  Grid times = lookup(table, call, "time grid")(args, schedule);
  args.done();
  return times;
}

}  // namespace retort

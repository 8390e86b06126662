#include "distill/diffusion/times.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>

#include "distill/diffusion/grid.h"

namespace retort {

std::uint64_t TimeDraw::next() {
  // A block of four words each: a normal and a uniform never share bits.
  return 4 * drawn_++;
}
double TimeDraw::uniform() {
  double out = 0;
  fill_uniform(std::span(&out, 1), key_, sample_, next());
  return out;
}
double TimeDraw::normal() {
  double out = 0;
  fill_normal(std::span(&out, 1), key_, sample_, next());
  return out;
}
TimeDraw TimeDraw::of_sample(std::uint64_t sample) const {
  TimeDraw other(key_, sample, clock);
  other.earlier = earlier;
  return other;
}
std::uint64_t TimeDraw::index(std::uint64_t bound) { return uniform_int(key_, sample_, next(), bound); }

namespace {
/// An entry of the table being made.
struct Entry {
  const Call& call;
  CallArgs args;
  const NoiseSchedule& schedule;
  const NumberMap& numbers;

  /// A number, or the name of one.
  Weight number(const std::string& parameter) { return Weight::of(args.call(parameter), numbers); }
};

/// A law of one time.
using One = std::function<double(TimeDraw&)>;

TimeLaw law_of(One f) {
  return {{""}, [f = std::move(f)](TimeDraw& draw, std::span<double> out) { out[0] = f(draw); }};
}

double at_fraction(const NoiseSchedule& s, double u) { return std::lerp(s.t_min(), s.t_max(), u); }
double fraction_of(const NoiseSchedule& s, double t) { return (t - s.t_min()) / (s.t_max() - s.t_min()); }

/// A time given as a number or as the name of an earlier one.
One operand(const Call& call) {
  if (!call.args.empty()) call.fail("a time here is a number or the name of an earlier one");
  if (const auto number = call.number()) return [value = *number](TimeDraw&) { return value; };
  return [call](TimeDraw& draw) {
    const auto hit = draw.earlier.find(call.name);
    if (hit != draw.earlier.end()) return hit->second;
    std::vector<std::string> known;
    for (const auto& entry : draw.earlier) known.push_back(entry.first);
    throw ConfigError("{}: no time is called '{}' here; drawn so far: {}", call.where, call.name,
                      known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", ")));
  };
}

TimeLaw nested(Entry& entry, const std::string& parameter) {
  const Call call = entry.args.call(parameter);
  TimeLaw law = make_time_law(call, entry.schedule, entry.numbers);
  if (law.names.size() != 1) call.fail("a law of one time is wanted here");
  return law;
}
double drawn(const TimeLaw& law, TimeDraw& draw) {
  double out = 0;
  law.draw(draw, std::span(&out, 1));
  return out;
}

struct Bounds {
  double low, high;
};
Bounds fractions(CallArgs& args) {
  const double low = args.number("u0", {.min = 0, .max = 1});
  return {low, args.number("u1", {.min = low, .max = 1})};
}

TimeLaw make_frac(Entry& entry) {
  const Bounds u = fractions(entry.args);
  return law_of(
      [u, s = entry.schedule](TimeDraw& draw) { return at_fraction(s, std::lerp(u.low, u.high, draw.uniform())); });
}

TimeLaw make_index(Entry& entry) {
  const std::int64_t low = entry.args.integer("i0"), high = entry.args.integer("i1", {.min = low});
  const auto count = static_cast<std::uint64_t>(high - low) + 1;
  return law_of(
      [low, count](TimeDraw& draw) { return static_cast<double>(low + static_cast<std::int64_t>(draw.index(count))); });
}

struct Normal {
  double mean, deviation;
  double draw(TimeDraw& from) const { return mean + deviation * from.normal(); }
};
Normal normal_of(CallArgs& args) {
  const double mean = args.number("m");
  return {mean, args.number("s", {.min = 0})};
}

TimeLaw make_lognormal(Entry& entry) {
  return law_of(
      [n = normal_of(entry.args), s = entry.schedule](TimeDraw& draw) { return s.time_at(-2 * n.draw(draw)); });
}

TimeLaw make_log_uniform(Entry& entry) {
  const double low = entry.args.number("low", {.above = 0}), high = entry.args.number("high", {.min = low});
  return law_of([low, high, s = entry.schedule](TimeDraw& draw) {
    return s.time_at(-2 * std::lerp(std::log(low), std::log(high), draw.uniform()));
  });
}

TimeLaw make_atan_lognormal(Entry& entry) {
  if (entry.schedule.kind() != NoiseSchedule::Kind::trig)
    entry.call.fail("atan_lognormal is of a trig schedule; hint: lognormal is the same law on any");
  return make_lognormal(entry);
}

TimeLaw make_logit_normal(Entry& entry) {
  return law_of([n = normal_of(entry.args), s = entry.schedule](TimeDraw& draw) {
    return at_fraction(s, 1 / (1 + std::exp(-n.draw(draw))));
  });
}

TimeLaw make_karras(Entry& entry) {
  const Bounds u = fractions(entry.args);
  const double rho = entry.args.number("rho", 7, {.above = 0});
  const NoiseSchedule& s = entry.schedule;
  const bool ve = s.kind() == NoiseSchedule::Kind::ve;
  const double low = entry.args.number("sigma_min", ve ? s.t_min() : .002, {.above = 0});
  const double high = entry.args.number("sigma_max", ve ? s.t_max() : 80, {.above = low});
  return law_of([=](TimeDraw& draw) {
    return s.time_at(-2 * std::log(karras_level(std::lerp(u.low, u.high, draw.uniform()), low, high, rho)));
  });
}

TimeLaw make_sqrt_anneal(Entry& entry) {
  const Bounds u = fractions(entry.args);
  return law_of([u, s = entry.schedule](TimeDraw& draw) {
    return at_fraction(s, std::lerp(u.high, u.low, std::sqrt(draw.progress)));
  });
}

TimeLaw make_shift(Entry& entry) {
  const double gamma = entry.args.number("gamma", {.above = 0});
  return law_of([gamma, inner = nested(entry, "law"), s = entry.schedule](TimeDraw& draw) {
    return at_fraction(s, shift_time(fraction_of(s, drawn(inner, draw)), gamma));
  });
}

/// A number, the name of an earlier time, or a law of its own.
One drawn_or_named(Entry& entry, const std::string& parameter) {
  const Call call = entry.args.call(parameter);
  if (call.args.empty()) return operand(call);
  return [law = make_time_law(call, entry.schedule, entry.numbers)](TimeDraw& draw) { return drawn(law, draw); };
}

TimeLaw make_interval(Entry& entry) {
  const One a = drawn_or_named(entry, "a"), b = drawn_or_named(entry, "b");
  return law_of([a, b](TimeDraw& draw) {
    const double low = a(draw), high = b(draw);
    if (!(low <= high)) throw ValueError("times: interval needs a <= b; got {} and {}", low, high);
    return std::lerp(low, high, draw.uniform());
  });
}

TimeLaw make_later(Entry& entry) {
  const One t = operand(entry.args.call("t"));
  const double eta = entry.args.number("eta", {.min = 0});
  return law_of([t, eta, s = entry.schedule](TimeDraw& draw) {
    const double from = t(draw);
    return std::min(from + eta * (from - s.t_min()) * draw.uniform(), s.t_max());
  });
}

TimeLaw make_earlier(Entry& entry) {
  const One t = operand(entry.args.call("t"));
  const double gap = entry.args.number("gap", {.min = 0});
  const auto named = entry.args.optional_call("least");
  const double clean = entry.schedule.clean();
  if (named && named->number() && *named->number() < clean) named->fail(fmt::format("no time is before {}", clean));
  const One least = named ? operand(*named) : One([clean](TimeDraw&) { return clean; });
  return law_of([t, gap, least](TimeDraw& draw) { return std::max(t(draw) - gap, least(draw)); });
}

TimeLaw make_recent(Entry& entry) {
  const One t = operand(entry.args.call("t"));
  const Weight share = entry.number("share");
  const double same = entry.args.number("q", 0, {.min = 0, .max = 1});
  return law_of([t, share, same](TimeDraw& draw) {
    const double from = t(draw), which = draw.uniform(), u = draw.uniform();
    return which < same ? from : from * (1 - share.at(draw.clock) * u);
  });
}

TimeLaw make_past(Entry& entry) {
  const One t = operand(entry.args.call("t"));
  const double gap = entry.args.number("gap", {.min = 0});
  return law_of([t, gap, s = entry.schedule](TimeDraw& draw) { return std::min(t(draw) + gap, s.t_max()); });
}

TimeLaw make_between(Entry& entry) {
  const One a = operand(entry.args.call("a")), b = operand(entry.args.call("b"));
  const double share = entry.args.number("share", {.min = 0, .max = 1});
  return law_of([a, b, share](TimeDraw& draw) { return std::lerp(a(draw), b(draw), share); });
}

TimeLaw make_until(Entry& entry) {
  const double share = entry.args.number("share", {.min = 0, .max = 1});
  const TimeLaw first = nested(entry, "first"), then = nested(entry, "then");
  return law_of([=](TimeDraw& draw) { return drawn(draw.progress < share ? first : then, draw); });
}

TimeLaw make_gap(Entry& entry) {
  const One t = operand(entry.args.call("t"));
  const double R = entry.args.number("R", {.min = 0});
  return law_of(
      [t, R, s = entry.schedule](TimeDraw& draw) { return std::max(t(draw) - R * draw.uniform(), s.clean()); });
}

TimeLaw make_capped(Entry& entry) {
  const One t = operand(entry.args.call("t"));
  const Bounds u = fractions(entry.args);
  return law_of([t, u, s = entry.schedule](TimeDraw& draw) {
    return std::clamp(std::lerp(s.t_min(), t(draw), draw.uniform()), at_fraction(s, u.low), at_fraction(s, u.high));
  });
}

TimeLaw make_shared(Entry& entry) {
  return law_of([inner = nested(entry, "law")](TimeDraw& draw) {
    TimeDraw common = draw.of_sample(0);
    return drawn(inner, common);
  });
}

TimeLaw make_reach(Entry& entry) {
  const One d = operand(entry.args.call("d"));
  const double scale = entry.args.number("scale", {.above = 0});
  const Bounds u = fractions(entry.args);
  return law_of([=, s = entry.schedule](TimeDraw& draw) {
    const double far = std::lerp(u.low, u.high, std::min(d(draw) / scale, 1.));
    return at_fraction(s, std::lerp(u.low, far, draw.uniform()));
  });
}

TimeLaw make_minmax(Entry& entry) {
  const TimeLaw inner = nested(entry, "law");
  const double same = entry.args.number("q", 0, {.min = 0, .max = 1});
  const double zero = entry.args.number("zero", 0, {.min = 0, .max = 1 - same});
  return {{"t", "s"}, [=, clean = entry.schedule.clean()](TimeDraw& draw, std::span<double> out) {
            const double a = drawn(inner, draw), b = drawn(inner, draw), which = draw.uniform();
            out[0] = std::max(a, b);
            out[1] = which < same ? out[0] : which < same + zero ? clean : std::min(a, b);
          }};
}

/// Time i of n + 1 around n gaps.
double grid_time(std::int64_t i, std::int64_t n, const NoiseSchedule& s) {
  const double u = static_cast<double>(i) / static_cast<double>(n);
  if (s.kind() == NoiseSchedule::Kind::ve) return karras_level(u, s.t_min(), s.t_max());
  if (s.kind() != NoiseSchedule::Kind::vp) return std::lerp(s.t_min(), s.t_max(), u);
  const auto steps = static_cast<std::int64_t>(s.t_max()) + 1;
  if (steps % n != 0) throw ConfigError("times: the number of gaps divides {}; got {}", steps, n);
  return i == 0 ? 0 : static_cast<double>(steps / n * i - 1);
}

enum class End { edge, random, next };

/// t after u on a grid of n gaps, s where its segment begins, somewhere in it, or u.
template <class At>
void draw_pair(TimeDraw& draw, std::span<double> out, std::int64_t n, std::int64_t segments, End end, const At& at) {
  const auto gap = static_cast<std::int64_t>(draw.index(static_cast<std::uint64_t>(n)));
  // Segment j begins at floor(j n / segments); the one of this gap is the last that begins at or before it.
  const std::int64_t segment = ((gap + 1) * segments - 1) / n, edge = segment * n / segments;
  const std::int64_t choices = end == End::random ? gap - edge + 1 : 1;
  const std::int64_t chosen = static_cast<std::int64_t>(draw.index(static_cast<std::uint64_t>(choices)));
  out[0] = at(gap + 1);
  out[1] = at(gap);
  out[2] = end == End::next ? out[1] : at(edge + chosen);
}

TimeLaw make_grid_law(Entry& entry) {
  static const std::map<std::string, End, std::less<>> ends{
      {"edge", End::edge}, {"random", End::random}, {"next", End::next}};
  const Weight n = entry.number("n");
  const auto named_segments = entry.args.optional_call("segments");
  const Weight segments = named_segments ? Weight::of(*named_segments, entry.numbers) : Weight(1);
  const auto named = entry.args.optional_call("end"), over = entry.args.optional_call("over");
  const End end = named ? lookup(ends, *named, "end of a segment") : End::edge;
  const std::vector<double> grid = over ? make_grid(*over, entry.schedule) : std::vector<double>();
  const std::string where = entry.call.where;
  return {{"t", "u", "s"}, [=, s = entry.schedule](TimeDraw& draw, std::span<double> out) {
            const std::int64_t gaps = std::llround(n.at(draw.clock)), parts = std::llround(segments.at(draw.clock));
            if (gaps < 1 || parts < 1 || parts > gaps)
              throw ConfigError("{}: a grid of {} gaps has no {} segments", where, gaps, parts);
            if (!grid.empty() && static_cast<std::int64_t>(grid.size()) != gaps + 1)
              throw ConfigError("{}: {} gaps need a grid of {} times; got {}", where, gaps, gaps + 1, grid.size());
            draw_pair(draw, out, gaps, parts, end, [&](std::int64_t i) {
              return grid.empty() ? grid_time(i, gaps, s) : grid[static_cast<std::size_t>(i)];
            });
          }};
}

/// Gap 0 .. n - 1 of the grid, each as likely as a lognormal noise level is to fall into it.
std::int64_t lognormal_gap(TimeDraw& draw, std::int64_t n, const Normal& law, const NoiseSchedule& s) {
  const auto below = [&](std::int64_t i) {
    return std::erf((s.log_snr(grid_time(i, n, s)) * -.5 - law.mean) / (std::numbers::sqrt2 * law.deviation));
  };
  const double p = std::lerp(below(0), below(n), draw.uniform());
  std::int64_t low = 0, high = n;
  while (high - low > 1) (below((low + high) / 2) <= p ? low : high) = (low + high) / 2;
  return low;
}

TimeLaw make_doubling(Entry& entry) {
  const double first = entry.args.number("s0", {.min = 1}), last = entry.args.number("s1", {.min = first});
  const Normal law = normal_of(entry.args);
  if (!(law.deviation > 0)) entry.call.fail("the deviation is positive");
  return {{"t", "u", "s"}, [=, s = entry.schedule](TimeDraw& draw, std::span<double> out) {
            const double doublings = std::floor(draw.progress * (std::log2(last / first) + 1));
            const std::int64_t n = std::llround(std::min(first * std::exp2(doublings), last));
            const std::int64_t gap = lognormal_gap(draw, n, law, s);
            out[0] = grid_time(gap + 1, n, s);
            out[1] = grid_time(gap, n, s);
            out[2] = grid_time(0, n, s);
          }};
}

TimeLaw make_growing(Entry& entry) {
  const double first = entry.args.number("s0", {.min = 1}), last = entry.args.number("s1", {.min = first});
  return {{"t", "u", "s"}, [=, s = entry.schedule](TimeDraw& draw, std::span<double> out) {
            const double squares = draw.progress * ((last + 1) * (last + 1) - first * first) + first * first;
            const auto n = std::max<std::int64_t>(1, std::llround(std::ceil(std::sqrt(squares) - 1)));
            draw_pair(draw, out, n, 1, End::edge, [&](std::int64_t i) { return grid_time(i, n, s); });
          }};
}

TimeLaw make_targets(Entry& entry) {
  if (entry.schedule.kind() != NoiseSchedule::Kind::vp) entry.call.fail("targets are indices of a vp schedule");
  const auto steps = static_cast<std::int64_t>(entry.schedule.t_max()) + 1;
  const std::int64_t n = entry.args.integer("n", {.min = 1, .max = steps});
  if (steps % n != 0) entry.call.fail(fmt::format("the number of gaps divides {}", steps));
  const std::int64_t k0 = entry.args.integer("k0", {.min = 1, .max = steps});
  const std::int64_t k1 = entry.args.integer("k1", {.min = k0, .max = steps});
  const double within = entry.args.number("within", {.min = 0});
  const double eta = entry.args.number("eta", 0, {.min = 0, .max = 1});
  std::set<std::int64_t> samplers;  // times at which one of k0 .. k1 equal steps begins
  for (std::int64_t k = k0; k <= k1; ++k)
    for (std::int64_t i = 0; i < k; ++i) samplers.insert(steps * i / k);
  return {{"t", "u", "s"}, [=, s = entry.schedule](TimeDraw& draw, std::span<double> out) {
            const auto gap = static_cast<std::int64_t>(draw.index(static_cast<std::uint64_t>(n)));
            out[0] = grid_time(gap + 1, n, s);
            out[1] = grid_time(gap, n, s);
            const auto after = samplers.upper_bound(static_cast<std::int64_t>(out[1]));
            const double last = static_cast<double>(*std::prev(after));
            const auto first = samplers.lower_bound(static_cast<std::int64_t>(std::ceil(last - within)));
            const auto chosen = draw.index(static_cast<std::uint64_t>(std::distance(first, after)));
            const double target = static_cast<double>(*std::next(first, static_cast<std::ptrdiff_t>(chosen)));
            out[2] = std::floor((1 - draw.uniform() * eta) * target);
          }};
}

TimeLaw make_dyadic(Entry& entry) {
  const std::int64_t n = entry.args.integer("n", {.min = 2, .max = 1 << 20});
  if ((n & (n - 1)) != 0) entry.call.fail("the number of gaps is a power of 2");
  std::uint64_t sizes = 0;  // of jumps: n, n / 2, .., 2 gaps
  while ((n >> sizes) >= 2) ++sizes;
  return {{"t", "m", "s"}, [=, s = entry.schedule](TimeDraw& draw, std::span<double> out) {
            const auto half = n >> (draw.index(sizes) + 1);
            const auto which = static_cast<std::int64_t>(draw.index(static_cast<std::uint64_t>(n / (2 * half))));
            out[0] = grid_time((2 * which + 2) * half, n, s);
            out[1] = grid_time((2 * which + 1) * half, n, s);
            out[2] = grid_time(2 * which * half, n, s);
          }};
}
}  // namespace

TimeLaw make_time_law(const Call& call, const NoiseSchedule& schedule, const NumberMap& numbers) {
  using Make = TimeLaw (*)(Entry&);
  static const std::map<std::string, Make, std::less<>> table{
      {"frac", make_frac},
      {"index", make_index},
      {"lognormal", make_lognormal},
      {"log_uniform", make_log_uniform},
      {"atan_lognormal", make_atan_lognormal},
      {"logit_normal", make_logit_normal},
      {"karras", make_karras},
      {"sqrt_anneal", make_sqrt_anneal},
      {"shift", make_shift},
      {"interval", make_interval},
      {"later", make_later},
      {"earlier", make_earlier},
      {"gap", make_gap},
      {"recent", make_recent},
      {"capped", make_capped},
      {"shared", make_shared},
      {"reach", make_reach},
      {"past", make_past},
      {"between", make_between},
      {"until", make_until},
      {"minmax", make_minmax},
      {"grid", make_grid_law},
      {"doubling", make_doubling},
      {"growing", make_growing},
      {"dyadic", make_dyadic},
      {"targets", make_targets},
  };
  if (call.number()) return law_of(operand(call));
  if (call.args.empty() && numbers.contains(call.name))
    return law_of([number = Weight::of(call, numbers)](TimeDraw& draw) { return number.at(draw.clock); });
  Entry entry{call, CallArgs(call), schedule, numbers};
  TimeLaw law = lookup(table, call, "law of times")(entry);
  entry.args.done();
  return law;
}

Times draw_times(std::span<const NamedLaw> laws, const Rng& rng, const std::string& stream, std::uint32_t step,
                 const Tensor& samples, const Clock& clock, DType dtype, const Times& known) {
  const auto indices = samples.values<std::int64_t>();
  std::vector<RngKey> keys;
  for (const NamedLaw& entry : laws) keys.push_back(rng.stream(stream + "/" + entry.name, step));
  std::map<std::string, std::vector<double>, std::less<>> columns;
  std::map<std::string, std::vector<double>, std::less<>> given;
  for (const auto& [name, t] : known) given[name] = t.values();
  for (std::size_t row = 0; row < indices.size(); ++row) {
    std::map<std::string, double, std::less<>> earlier;
    for (const auto& [name, t] : given) earlier[name] = t.at(row);
    for (std::size_t k = 0; k < laws.size(); ++k) {
      const TimeLaw& law = laws[k].law;
      TimeDraw draw(keys[k], static_cast<std::uint64_t>(indices[row]), clock);
      draw.earlier = earlier;
      std::vector<double> out(law.names.size());
      law.draw(draw, out);
      for (std::size_t i = 0; i < out.size(); ++i) {
        const std::string& own = law.names[i].empty() ? laws[k].name : law.names[i];
        earlier[own] = out[i];
        columns[own].push_back(out[i]);
      }
    }
  }
  Times times;
  for (const auto& [name, values] : columns) {
    if (values.size() != indices.size()) throw ConfigError("times: '{}' is drawn by two laws", name);
    times.emplace(name, Tensor::from(values, {static_cast<std::int64_t>(values.size())}, dtype));
  }
  return times;
}

}  // namespace retort

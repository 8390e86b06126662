#include "distill/diffusion/oracle_net.h"

#include <cmath>
#include <map>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/shape.h"
#include "tensor/transfer.h"

namespace retort {

OracleNet::OracleNet(std::string arch, NoiseSchedule schedule, const Tensor& means, const Tensor& deviations,
                     Answer answer)
    : arch_(std::move(arch)),
      schedule_(std::move(schedule)),
      answer_(answer),
      means_(means),
      log_deviations_(log(deviations)),
      shift_(means.shape(), Init::constant(0), false),
      growth_(means.shape(), Init::constant(0), false) {}

namespace {
Tensor filled_like(const Tensor& t, double value) { return Tensor::full(t.shape(), value, t.dtype(), t.device()); }
}  // namespace

Tensor OracleNet::forward(const Tensor& x, const Conditions& given, Ctx& ctx) const {
  const Tensor shift = ctx(shift_), growth = ctx(growth_);
  const Tensor means = cast(means_.value, shift.dtype()) + shift;
  const ClosedForm law(means, exp((cast(log_deviations_.value, growth.dtype()) + growth) * 2.0));
  switch (answer_) {
    case Answer::mean:
      return law.predict(Space::x0, x, given.t, schedule_, given.label);
    case Answer::jump:
      return law.clean_of_flow(x, given.t, filled_like(given.t, schedule_.clean()), schedule_, given.label);
    case Answer::map:
      return law.clean_of_flow(x, given.t, given.s, schedule_, given.label);
    case Answer::straight: {
      const SignalNoise<Tensor> here = schedule_.at(given.t);
      const Tensor deviation = exp(cast(log_deviations_.value, growth.dtype()) + growth);
      const Tensor noise = (x - per_sample(here.signal, x) * means) /
                           (per_sample(here.signal, x) * deviation + per_sample(here.noise, x));
      return means + deviation * noise;
    }
    case Answer::log_ratio: {
      const auto density = [&](double component) {
        const Tensor label = Tensor::full({x.shape()[0]}, component, DType::i64, x.device());
        return law.log_density(x, given.t, schedule_, label);
      };
      return reshape(density(0) - density(1), {x.shape()[0], 1});
    }
  }
  throw InternalError("oracle: unknown answer");
}

void OracleNet::visit(Visitor& v) {
  v("means", means_);
  v("log_deviations", log_deviations_);
  v("shift", shift_);
  v("growth", growth_);
}

Tensor OracleNet::means() const { return on_host(means_.value) + cast(on_host(shift_.value), DType::f64); }
Tensor OracleNet::deviations() const {
  return exp(on_host(log_deviations_.value) + cast(on_host(growth_.value), DType::f64));
}

std::pair<Tensor, Tensor> OracleNet::draw(const Rng& rng, const std::string& stream, std::uint32_t step,
                                          const Tensor& samples) const {
  const std::vector<double> mean = means().values();
  const std::vector<double> deviation = deviations().values();
  const auto ids = samples.values<std::int64_t>();
  const auto d = static_cast<std::size_t>(size());
  const std::uint64_t components = mean.size() / d;
  const RngKey noise = rng.stream(stream, step), which = rng.stream(stream + "/component", step);
  std::vector<double> x(ids.size() * d);
  std::vector<std::int64_t> label;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto id = static_cast<std::uint64_t>(ids[i]);
    const std::uint64_t k = uniform_int(which, id, 0, components);
    label.push_back(static_cast<std::int64_t>(k));
    const std::span<double> row(x.data() + i * d, d);
    fill_normal(row, noise, id);
    for (std::size_t j = 0; j < d; ++j) row[j] = mean[k * d + j] + deviation[k * d + j] * row[j];
  }
  const auto n = static_cast<std::int64_t>(ids.size());
  return {Tensor::from(x, {n, size()}, DType::f64), Tensor::of<std::int64_t>(label, {n})};
}

namespace {
std::vector<double> numbers_of(const std::vector<Call>& calls) {
  std::vector<double> values;
  for (const Call& c : calls) {
    if (!c.number()) c.fail("expected a number");
    values.push_back(*c.number());
  }
  return values;
}

std::unique_ptr<Denoiser> build(CallArgs& args, const Call& call, const std::vector<std::vector<double>>& means) {
  const double std = args.number("std", 1.0, {.above = 0});
  const auto schedule = args.optional_call("schedule");
  static const std::map<std::string, OracleNet::Answer, std::less<>> answers{
      {"mean", OracleNet::Answer::mean},
      {"jump", OracleNet::Answer::jump},
      {"map", OracleNet::Answer::map},
      {"straight", OracleNet::Answer::straight},
      {"log_ratio", OracleNet::Answer::log_ratio}};
  const auto wanted = args.optional_call("answer");
  const OracleNet::Answer answer = wanted ? lookup(answers, *wanted, "answer") : OracleNet::Answer::mean;
  const std::size_t d = means.empty() ? 0 : means[0].size();
  std::vector<double> all;
  for (const auto& m : means) {
    if (m.size() != d || d == 0) call.fail("every component needs a mean of the same size");
    all.insert(all.end(), m.begin(), m.end());
  }
  if (answer == OracleNet::Answer::log_ratio && means.size() != 2) call.fail("a ratio is of two components");
  if (answer == OracleNet::Answer::straight && means.size() > 1) wanted->fail("straight paths are of one component");
  const Shape shape{static_cast<std::int64_t>(means.size()), static_cast<std::int64_t>(d)};
  return std::make_unique<OracleNet>(call.str(), schedule ? make_schedule(*schedule) : NoiseSchedule::vp(),
                                     Tensor::from(all, shape, DType::f64), Tensor::full(shape, std, DType::f64),
                                     answer);
}
}  // namespace

std::unique_ptr<Denoiser> build_gaussian(CallArgs& args, const Call& call) {
  const std::vector<double> mean = numbers_of(args.rest());
  if (mean.empty()) call.fail("expected the mean: gaussian(.7 -.3 std=1)");
  return build(args, call, {mean});
}

std::unique_ptr<Denoiser> build_mixture(CallArgs& args, const Call& call) {
  std::vector<std::vector<double>> means;
  for (const Call& at : args.rest()) {
    if (at.name != "at") at.fail("a component is at(m1 m2 ..)");
    CallArgs numbers(at);
    means.push_back(numbers_of(numbers.rest()));
  }
  if (means.empty()) call.fail("expected components: mixture(at(-1) at(1) std=.3)");
  return build(args, call, means);
}

AffineNet::AffineNet(std::int64_t size, double shift_value, double scale_value)
    : shift({size}, Init::constant(shift_value), false), scale({size}, Init::constant(scale_value), false) {}

Tensor AffineNet::forward(const Tensor& x, Ctx& ctx) const { return ctx(shift) + ctx(scale) * x; }

std::string AffineNet::arch() const {
  return fmt::format("affine(size={} shift={} scale={})", shift.value.size(0), shift.init.scale, scale.init.scale);
}

void AffineNet::visit(Visitor& v) {
  v("shift", shift);
  v("scale", scale);
}

}  // namespace retort

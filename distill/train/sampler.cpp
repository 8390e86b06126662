#include "distill/train/sampler.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "distill/diffusion/grid.h"
#include "distill/diffusion/noising.h"
#include "tensor/transfer.h"

namespace retort {

namespace {
/// The time of `to` at which states differ from those of `from` at t by a factor alone.
double meeting(double t, const NoiseSchedule& from, const NoiseSchedule& to) {
  if (t <= from.clean()) return to.clean();
  const double snr = from.log_snr(t);
  const bool shared = t > to.clean() && (to.kind() == from.kind()) && t <= to.t_max();
  return shared && to.log_snr(t) == snr ? t : to.time_at(snr);
}

class SamplerReader {
 public:
  SamplerReader(const NumberMap& numbers, const Roles& roles) : numbers_(numbers), roles_(roles) {}

  Sampler read(Config& node) {
    Sampler sampler;
    if (node.has("classes")) sampler.classes = count(node, "classes", 1 << 30);
    Config& stages = node.child("stages");
    for (Config& c : stages.items()) sampler.stages.push_back(stage(c, sampler));
    if (sampler.stages.empty()) stages.fail("a sampler needs at least one stage: [{role: student, levels: [80]}]");
    stop_at_next(sampler);
    const auto walks = [](const SamplerStage& s) { return s.times.size() != 1; };
    if (std::none_of(sampler.stages.begin(), sampler.stages.end(), walks)) stages.fail("none of them takes a step");
    return sampler;
  }

 private:
  SamplerStage stage(Config& node, const Sampler& sampler) {
    SamplerStage s;
    s.role = node.get<std::string>("role");
    const Role& role = role_named(s.role, node);
    const bool first = sampler.stages.empty();
    if (!role.diffusion) {
      if (!first || node.has("grid") || node.has("levels"))
        node.fail(fmt::format("role {} is no denoiser: its model needs a schedule to walk along", s.role));
      return s;
    }
    if (!first && sampler.stages.front().times.empty()) node.fail("what was made in one call is not walked on from");
    const NoiseSchedule& schedule = role.diffusion->schedule;
    s.times = times(node, schedule);
    const auto steps = static_cast<std::int64_t>(s.times.size()) - 1;
    if (first && node.has("skip")) node.child("skip").fail("there is no stage before this one");
    if (!first) s.times.resize(s.times.size() - static_cast<std::size_t>(count(node, "skip", steps)));
    const Call step = node.has("step") ? parse_call(node.child("step")) : Call{"ddim", {}, node.where()};
    if (step.name != "jump") {
      s.step = make_step(step);
      // A step of Heun to no noise is Euler's, which asks once.
      if (step.name == "heun" && s.times.front() == schedule.clean()) s.last = make_step({"euler", {}, step.where});
    }
    if (node.has("guide")) s.guide = guidance(node.child("guide"), sampler);
    if (node.has("correct")) s.correct = correction(node.child("correct"), s, schedule, sampler);
    return s;
  }

  std::vector<double> times(Config& node, const NoiseSchedule& schedule) {
    if (node.has("grid") == node.has("levels")) node.fail("expected either a grid or levels");
    if (node.has("grid")) return make_grid(with_numbers(parse_call(node.child("grid")), numbers_), schedule);
    auto levels = node.get<std::vector<double>>("levels");
    levels.push_back(schedule.clean());
    std::reverse(levels.begin(), levels.end());
    const bool falls = std::adjacent_find(levels.begin(), levels.end(), std::greater_equal<>()) == levels.end();
    if (levels.size() < 2 || !falls)
      node.child("levels").fail(fmt::format("expected descending times above {}", schedule.clean()));
    return levels;
  }

  Guidance guidance(Config& node, const Sampler& sampler) {
    const Guidance guide = make_guidance(literal(node));
    for (const std::string& name : guide.conditions)
      if (name != "cond" && name != "null") node.fail(fmt::format("samples have one label; there is no {}", name));
    if (!guide.numbers.empty()) node.fail(fmt::format("{} is no constant number", guide.numbers[0]));
    if (sampler.classes == 0) node.fail("guidance needs labels: set `classes` of the sampler");
    return guide;
  }

  Correction correction(Config& node, const SamplerStage& s, const NoiseSchedule& schedule, const Sampler& sampler) {
    Correction c;
    c.role = node.get<std::string>("by");
    if (!role_named(c.role, node).diffusion) node.fail(fmt::format("role {} is no denoiser", c.role));
    const Call share = literal(node.child("share"));
    c.share = share.number().value_or(-1);
    if (!(c.share >= 0 && c.share <= 1)) share.fail("expected a share in [0, 1]");
    if (!s.step || s.step->calls != 1) node.fail("a step that is corrected asks its network once, and does not jump");
    const auto steps = static_cast<std::int64_t>(s.times.size()) - 1;
    const bool clean = s.times.front() <= schedule.clean();  // no noise to add there
    c.steps = count(node, "steps", std::max<std::int64_t>(0, clean ? steps - 1 : steps));
    if (node.has("guide")) c.guide = guidance(node.child("guide"), sampler);
    return c;
  }

  /// A whole number in [0, most], or the name of one.
  std::int64_t count(Config& node, const char* key, std::int64_t most) {
    const Call call = literal(node.child(key));
    const double value = call.number().value_or(-1);
    if (!(value >= 0 && value <= static_cast<double>(most) && value == std::floor(value)))
      node.child(key).fail(fmt::format("expected a whole number from 0 to {}; got {}", most, call.str()));
    return static_cast<std::int64_t>(value);
  }

  Call literal(Config& node) {
    return with_numbers(Call{node.key(), {{"", parse_call(node)}}, node.where()}, numbers_).args[0].value;
  }

  const Role& role_named(const std::string& name, Config& at) {
    return lookup(roles_, Call{name, {}, at.where()}, "role");
  }

  /// Every stage but the last stops at its time nearest to where the next begins.
  void stop_at_next(Sampler& sampler) {
    for (std::size_t j = sampler.stages.size() - 1; j-- > 0;) {
      std::vector<double>& own = sampler.stages[j].times;
      const SamplerStage& next = sampler.stages[j + 1];
      const double begin = meeting(next.times.back(), roles_.at(next.role).diffusion->schedule,
                                   roles_.at(sampler.stages[j].role).diffusion->schedule);
      const auto nearer = [begin](double a, double b) { return std::abs(a - begin) < std::abs(b - begin); };
      own.erase(own.begin(), std::min_element(own.begin(), own.end(), nearer));
    }
  }

  const NumberMap& numbers_;
  const Roles& roles_;
};

/// One batch on its way from noise to samples.
class Walk {
 public:
  Walk(const Sampler& sampler, const Roles& roles, const SampleRequest& request)
      : sampler_(sampler), roles_(roles), request_(request) {
    pass_.training = false;
    for (const SamplerStage& s : sampler.stages)
      left_ += static_cast<std::int64_t>(std::max<std::size_t>(1, s.times.size())) - 1;
    drawn_.label = labels();
  }

  DrawnSamples run() {
    const SamplerStage& first = sampler_.stages.front();
    if (first.times.empty()) {
      drawn_.x = ask(roles_.at(first.role), begin_noise(), {}, {}, drawn_.label);
      return std::move(drawn_);
    }
    for (const SamplerStage& s : sampler_.stages) {
      if (s.times.size() < 2) continue;
      enter(s);
      for (std::size_t i = s.times.size() - 1; i-- > 0;) {
        --left_;
        if (s.times[i] < time_) advance(s, s.times[i], static_cast<std::int64_t>(s.times.size() - 2 - i), i == 0);
      }
    }
    return std::move(drawn_);
  }

 private:
  std::int64_t rows() const { return request_.indices.size(0); }
  Tensor times(double t) const { return Tensor::full({rows()}, t, DType::f64, host_of(request_.device)); }
  const NoiseSchedule& schedule(const std::string& role) const { return roles_.at(role).diffusion->schedule; }

  Tensor labels() const {
    if (sampler_.classes == 0) return {};
    if (request_.indices.meta()) return Tensor::empty({rows()}, DType::i64, request_.device);
    std::vector<std::int64_t> y = request_.indices.values<std::int64_t>();
    for (std::int64_t& i : y) i %= sampler_.classes;
    return Tensor::of<std::int64_t>(y, {rows()});
  }

  Tensor begin_noise() const {
    Shape shape{rows()};
    for (int i = 0; i < request_.sample.rank(); ++i) shape.push_back(request_.sample[i]);
    return request_.noise("sampler/noise")(Tensor::empty(shape, request_.dtype, request_.device), 0);
  }

  /// The state becomes one of the stage's schedule.
  void enter(const SamplerStage& s) {
    const NoiseSchedule& own = schedule(s.role);
    if (!drawn_.x.defined()) {
      time_ = s.times.back();
      drawn_.x = begin_noise() * own.at(time_).noise;
    } else {
      std::tie(drawn_.x, time_) = carried(drawn_.x, time_, schedule(at_), own);
    }
    at_ = s.role;
  }

  /// A state of one schedule as one of another, with its time there.
  static std::pair<Tensor, double> carried(const Tensor& x, double t, const NoiseSchedule& from,
                                           const NoiseSchedule& to) {
    const double there = meeting(t, from, to);
    if (there == t && from.kind() == to.kind()) return {x, t};
    const bool clean = t <= from.clean();
    return {x * (clean ? to.at(there).signal / from.at(t).signal : to.at(there).noise / from.at(t).noise), there};
  }

  Tensor ask(const Role& role, const Tensor& x, const Tensor& t, const Tensor& s, const Tensor& label) {
    ++drawn_.calls;
    return role.net->eval({x, t, label, {}, request_.indices, s}, {}, Grad::None, pass_).out;
  }

  /// The clean sample that takes x from t to s by the role's boundary.
  Tensor predicted(const Role& role, const std::optional<Guidance>& guide, const Tensor& x, const Tensor& t,
                   const Tensor& s) {
    const auto one = [&](const Tensor& label) {
      return role.diffusion->output.read(Space::x0, ask(role, x, t, s, label), x, t, role.diffusion->schedule);
    };
    if (!guide) return one(drawn_.label);
    NamedTensors predictions;
    for (const std::string& name : guide->conditions) predictions[name] = one(name == "cond" ? drawn_.label : Tensor());
    return guide->apply(predictions, {});
  }

  /// Where the role's jump to the clean end lands.
  Tensor clean(const Role& role, const std::optional<Guidance>& guide, const Tensor& x, const Tensor& t) {
    const Tensor end = times(role.diffusion->schedule.clean());
    return role.diffusion->boundary.jump(predicted(role, guide, x, t, end), x, t, end, role.diffusion->schedule);
  }

  Tensor corrected(const Tensor& x0, const Correction& c, double s, const NoiseSchedule& own) {
    const Tensor noise = request_.noise(fmt::format("sampler/{}/correct", left_))(x0, 0);
    const auto [x, t] = carried(add_noise(x0, noise, times(s), own), s, own, schedule(c.role));
    return x0 * (1 - c.share) + clean(roles_.at(c.role), c.guide, x, times(t)) * c.share;
  }

  /// One step to s, the stage's `done`-th from 0.
  void advance(const SamplerStage& stage, double s, std::int64_t done, bool last) {
    const Role& role = roles_.at(stage.role);
    const NoiseSchedule& own = role.diffusion->schedule;
    const Tensor t_rows = times(time_), s_rows = times(s);
    time_ = s;
    if (!stage.step) {
      const Tensor x0 = predicted(role, stage.guide, drawn_.x, t_rows, s_rows);
      drawn_.x = role.diffusion->boundary.jump(x0, drawn_.x, t_rows, s_rows, own);
      return;
    }
    const bool correct = stage.correct && done < stage.correct->steps;
    const Predictor net{Space::x0, [&](const Tensor& x, const Tensor& t) {
                          const Tensor x0 = clean(role, stage.guide, x, t);
                          return correct ? corrected(x0, *stage.correct, s, own) : x0;
                        }};
    const Step& step = last && stage.last ? *stage.last : *stage.step;
    drawn_.x = step.run(net, drawn_.x, t_rows, s_rows, own, request_.noise(fmt::format("sampler/{}", left_)));
  }

  const Sampler& sampler_;
  const Roles& roles_;
  const SampleRequest& request_;
  Pass pass_;
  DrawnSamples drawn_;
  std::string at_;  ///< the role whose schedule the state is of
  double time_ = 0;
  std::int64_t left_ = 0;  ///< steps after the running one
};
}  // namespace

Sampler parse_sampler(Config& node, const NumberMap& numbers, const Roles& roles) {
  return SamplerReader(numbers, roles).read(node);
}

Samplers parse_samplers(Config& section, const NumberMap& numbers, const Roles& roles) {
  Samplers all;
  for (Config& node : section.items()) all[node.key()] = parse_sampler(node, numbers, roles);
  return all;
}

SampleRequest keyed_samples(const Rng& rng, std::int64_t first, std::int64_t n, const Shape& sample, DType dtype,
                            Device device) {
  SampleRequest request{sample, {}, dtype, device, {}};
  if (device.kind == DeviceKind::meta) {
    request.indices = Tensor::empty({n}, DType::i64, device);
    request.noise = [](const std::string&) -> StepNoise {
      return [](const Tensor& like, int) { return Tensor::empty(like.shape(), like.dtype(), like.device()); };
    };
    return request;
  }
  std::vector<std::int64_t> indices(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < indices.size(); ++i) indices[i] = first + static_cast<std::int64_t>(i);
  const Tensor ids = Tensor::of<std::int64_t>(indices, {n});
  request.indices = ids;
  request.noise = [rng, ids](const std::string& stream) { return keyed_noise(rng, stream, 0, ids); };
  return request;
}

DrawnSamples draw_samples(const Sampler& sampler, const Roles& roles, const SampleRequest& request) {
  return Walk(sampler, roles, request).run();
}

}  // namespace retort

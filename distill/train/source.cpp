#include "distill/train/source.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/create.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/index.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/diffusion/noising.h"
#include "distill/diffusion/oracle_net.h"
#include "distill/diffusion/step.h"
#include "distill/train/models.h"
#include "tensor/transfer.h"

namespace retort {

namespace {
std::vector<std::int64_t> sample_indices(const DrawRequest& r, std::int64_t batch) {
  std::vector<std::int64_t> indices(static_cast<std::size_t>(r.rows));
  for (std::int64_t i = 0; i < r.rows; ++i) indices[static_cast<std::size_t>(i)] = r.step * batch + r.first + i;
  return indices;
}

Shape batch_shape(std::int64_t rows, const Shape& sample) {
  Shape shape{rows};
  for (int i = 0; i < sample.rank(); ++i) shape.push_back(sample[i]);
  return shape;
}

class DataSource final : public Source {
 public:
  DataSource(std::shared_ptr<const Dataset> set, std::shared_ptr<Loader> loader, Device device)
      : set_(std::move(set)), loader_(std::move(loader)), device_(device) {}
  Batch draw(const DrawRequest& r, const Roles&, Pass&) const override {
    const bool meta = device_.kind == DeviceKind::meta;
    const DataBatch b = meta ? loader_->meta_batch(r.rows) : loader_->prefetched(r.phase_step, r.first, r.rows);
    // Indices are keys of draws and rows of tables: they stay on the host.
    return {to(b.x, device_), to(b.y, device_), to(b.y2, device_), to(b.lambda, device_), b.index, b.sample};
  }
  std::int64_t steps_per_epoch() const override { return loader_->steps_per_epoch(); }
  std::shared_ptr<const Dataset> set() const override { return set_; }

 private:
  std::shared_ptr<const Dataset> set_;
  std::shared_ptr<Loader> loader_;
  Device device_;
};

class LawSource final : public Source {
 public:
  /// `law` is a role's own, or kept here.
  LawSource(const OracleNet& law, std::unique_ptr<Denoiser> kept, DType dtype, Device device)
      : law_(law), kept_(std::move(kept)), dtype_(dtype), device_(device) {}
  Batch draw(const DrawRequest& r, const Roles&, Pass& pass) const override {
    const auto ids = sample_indices(r, batch);
    const Tensor sample = Tensor::of<std::int64_t>(ids, {r.rows});
    Batch b;
    b.sample = b.index = sample;
    if (device_.kind == DeviceKind::meta) {
      b.x = Tensor::empty({r.rows, law_.size()}, dtype_, device_);
      return b;
    }
    auto [x, label] = law_.draw(pass.rng, r.stream, static_cast<std::uint32_t>(r.step), sample);
    b.x = to(cast(x, dtype_), device_);
    b.y = to(label, device_);
    return b;
  }

 private:
  const OracleNet& law_;
  std::unique_ptr<Denoiser> kept_;
  DType dtype_;
  Device device_;
};

class RolloutSource final : public Source {
 public:
  explicit RolloutSource(RolloutSpec spec) : spec_(std::move(spec)) {}
  const std::string& role() const override { return spec_.role; }
  std::vector<std::string> states() const override {
    std::vector<std::string> names{"x_in"};
    for (const auto& [state, role] : spec_.beside) names.push_back(state);
    for (const auto& [state, source] : spec_.references) names.push_back(state);
    if (!spec_.through.empty()) names.emplace_back("shift");
    return names;
  }

  Batch draw(const DrawRequest& r, const Roles& roles, Pass& pass) const override {
    const Role& role = roles.at(spec_.role);
    const auto ids = sample_indices(r, batch);
    Batch b;
    const bool meta = spec_.device.kind == DeviceKind::meta;
    b.sample = b.index =
        meta ? Tensor::empty({r.rows}, DType::i64, spec_.device) : Tensor::of<std::int64_t>(ids, {r.rows});
    if (spec_.classes > 0) b.y = meta ? Tensor::empty({r.rows}, DType::i64, spec_.device) : classes(r, ids, pass);
    for (const auto& [name, label] : spec_.conditions)
      (name == "given" ? b.y : b.labels[name]) =
          Tensor::full({r.rows}, static_cast<double>(label), DType::i64, spec_.device);
    const Tensor like = Tensor::empty(batch_shape(r.rows, spec_.sample), spec_.dtype, spec_.device);
    const auto noise = [&](int draw) {
      if (meta) return like;
      return keyed_noise(pass.rng, r.stream, static_cast<std::uint32_t>(r.step), b.sample)(like, draw);
    };
    for (const auto& [state, other] : spec_.beside)
      b.more[state] =
          stop_gradient(roles.at(other).net->eval({noise(0), {}, b.y, b.index, b.sample}, {}, Grad::None, pass).out);
    for (const auto& [state, source] : spec_.references) {
      Pass untracked{pass.step, pass.rng, pass.training, nullptr, nullptr};
      DrawRequest same = r;
      same.stream = fmt::format("{}/{}", r.stream, state);
      const Batch reference = source->draw(same, roles, untracked);
      b.more[state] = stop_gradient(reference.x);
      if (state == spec_.cond) b.y = reference.y;
    }
    const Grad grad = pass.leaves ? Grad::Train : Grad::None;
    // A role that jumps is asked for the clean end.
    const auto ask = [&](const Tensor& x, const Tensor& t, Grad how) {
      Query query{x, t, b.y, b.index, b.sample};
      if (!t.defined()) return role.net->eval(query, {}, how, pass).out;
      const auto& [schedule, output, boundary] = *role.diffusion;
      query.s = Tensor::full(t.shape(), schedule.clean(), t.dtype(), t.device());
      const Tensor raw = role.net->eval(query, {}, how, pass).out;
      return boundary.jump(output.read(Space::x0, raw, x, t, schedule), x, t, query.s, schedule);
    };
    if (!spec_.levels.empty() || spec_.random.count > 0)
      walk(b, r, role.diffusion->schedule, noise, ask, pass);
    else
      b.more["x_in"] = spec_.input.empty() ? noise(0) : b.more.at(spec_.input);
    const auto t_in = b.more.find("t_in");
    b.x = ask(b.more.at("x_in"), t_in == b.more.end() ? Tensor() : t_in->second, grad);
    if (!spec_.gap.empty()) {
      const Tensor gap = mean(reshape(abs(stop_gradient(b.x) - b.more.at(spec_.gap)), {r.rows, -1}), {1});
      b.more["gap"] = cast(on_host(gap), DType::f64);
    }
    if (spec_.through.empty()) return b;
    b.more["shift"] = b.x;
    const Grad onward = pass.leaves ? Grad::InputLive : Grad::None;
    const Tensor moved = b.more.at("x_in") + b.x;
    b.x = roles.at(spec_.through).net->eval({moved, {}, b.y, b.index, b.sample}, {}, onward, pass).out;
    return b;
  }

 private:
  /// The input and time of the live call, without gradient.
  template <class Noise, class Ask>
  void walk(Batch& b, const DrawRequest& r, const NoiseSchedule& schedule, const Noise& noise, const Ask& ask,
            const Pass& pass) const {
    const std::vector<double> levels = levels_of(r, schedule, pass);
    const auto exits = exit_levels(levels.size(), r, b.sample, pass);
    const std::size_t last = *std::max_element(exits.begin(), exits.end());
    const auto at = [&](std::size_t level) {
      const double t = level < levels.size() ? levels[level] : schedule.clean();
      return Tensor::full({r.rows}, t, DType::f64, host_of(spec_.device));
    };
    const auto chosen = [&](std::size_t level) { return exit_mask(exits, level); };
    const bool forced = !spec_.input.empty();
    Tensor x =
        forced ? add_noise(b.more.at(spec_.input), noise(0), at(0), schedule) : noise(0) * schedule.at(levels[0]).noise;
    Tensor x_in = x, t_in = at(0), t_out = at(1);
    for (std::size_t level = 1; level <= last; ++level) {
      if (forced) {
        x = add_noise(b.more.at(spec_.input), noise(0), at(level), schedule);
      } else {
        const Tensor x0 = stop_gradient(ask(x, at(level - 1), Grad::None));
        const Tensor eps = spec_.between == RolloutSpec::Between::renoise
                               ? noise(static_cast<int>(level))
                               : convert(Space::x0, Space::eps, x0, x, at(level - 1), schedule);
        x = add_noise(x0, eps, at(level), schedule);
      }
      const Tensor here = chosen(level), row = reshape(here, {r.rows});
      x_in = where(to(here, x.device()), x, x_in);
      t_in = where(row, at(level), t_in);
      t_out = where(row, at(level + 1), t_out);
    }
    if (spec_.ahead) {
      const Tensor x0 = stop_gradient(ask(x_in, t_in, Grad::None));
      const Tensor eps = convert(Space::x0, Space::eps, x0, x_in, t_in, schedule);
      t_in = levels_ahead(r, b.sample, schedule, pass);
      x_in = add_noise(x0, eps, t_in, schedule);
    }
    b.more["x_in"] = x_in;
    b.more["t_in"] = t_in;
    b.more["t_out"] = t_out;
  }

  static double at_fraction(const NoiseSchedule& s, double u) { return std::lerp(s.t_min(), s.t_max(), u); }

  /// Descending; one list for the whole step.
  std::vector<double> levels_of(const DrawRequest& r, const NoiseSchedule& schedule, const Pass& pass) const {
    if (spec_.random.count == 0) return spec_.levels;
    const RngKey key = pass.rng.stream(r.stream + "/levels", static_cast<std::uint32_t>(r.step));
    const std::uint64_t k = 1 + uniform_int(key, 0, 0, static_cast<std::uint64_t>(spec_.random.count));
    std::vector<double> levels(k);
    fill_uniform(std::span(levels), key, 1);
    for (double& u : levels) u = at_fraction(schedule, std::lerp(spec_.random.low, spec_.random.high, u));
    levels[0] = schedule.t_max();
    std::sort(levels.begin(), levels.end(), std::greater<>());
    return levels;
  }

  /// Where the last call is moved to, [rows].
  Tensor levels_ahead(const DrawRequest& r, const Tensor& sample, const NoiseSchedule& schedule,
                      const Pass& pass) const {
    if (spec_.device.kind == DeviceKind::meta) return Tensor::empty({r.rows}, DType::f64, spec_.device);
    const RngKey key = pass.rng.stream(r.stream + "/ahead", static_cast<std::uint32_t>(r.step));
    std::vector<double> times;
    for (const std::int64_t id : sample.values<std::int64_t>()) {
      double u = 0;
      fill_uniform(std::span(&u, 1), key, static_cast<std::uint64_t>(id));
      times.push_back(at_fraction(schedule, std::lerp(spec_.ahead->first, spec_.ahead->second, u)));
    }
    return Tensor::from(times, {r.rows}, DType::f64);
  }

  /// Which samples leave at a level, [rows, 1, ..].
  Tensor exit_mask(const std::vector<std::size_t>& exits, std::size_t level) const {
    Shape shape = batch_shape(static_cast<std::int64_t>(exits.size()), spec_.sample);
    for (int i = 1; i < shape.rank(); ++i) shape[i] = 1;
    if (spec_.device.kind == DeviceKind::meta) return Tensor::empty(shape, DType::boolean, spec_.device);
    std::vector<std::int64_t> mask;
    for (const std::size_t e : exits) mask.push_back(e == level);
    return cast(Tensor::of<std::int64_t>(mask, shape), DType::boolean);
  }

  std::vector<std::size_t> exit_levels(std::size_t n, const DrawRequest& r, const Tensor& sample,
                                       const Pass& pass) const {
    std::vector<std::size_t> exits(static_cast<std::size_t>(r.rows), n - 1);
    if (spec_.exit == RolloutSpec::Exit::last || sample.meta()) return exits;
    const RngKey key = pass.rng.stream(r.stream + "/exit", static_cast<std::uint32_t>(r.step));
    const auto ids = sample.values<std::int64_t>();
    for (std::size_t i = 0; i < exits.size(); ++i) {
      const std::uint64_t who = spec_.exit == RolloutSpec::Exit::shared ? 0 : static_cast<std::uint64_t>(ids[i]);
      exits[i] = uniform_int(key, who, 0, n);
    }
    return exits;
  }

  Tensor classes(const DrawRequest& r, const std::vector<std::int64_t>& ids, const Pass& pass) const {
    const RngKey key = pass.rng.stream(r.stream + "/class", static_cast<std::uint32_t>(r.step));
    std::vector<std::int64_t> y;
    for (const std::int64_t id : ids) {
      const std::int64_t which = id / spec_.per_condition;
      y.push_back(spec_.in_turn ? which % spec_.classes
                                : static_cast<std::int64_t>(uniform_int(key, static_cast<std::uint64_t>(which), 0,
                                                                        static_cast<std::uint64_t>(spec_.classes))));
    }
    return to(Tensor::of<std::int64_t>(y, {r.rows}), spec_.device);
  }

  RolloutSpec spec_;
};
}  // namespace

const std::string& Source::role() const {
  static const std::string none;
  return none;
}

std::unique_ptr<Source> data_source(std::shared_ptr<const Dataset> set, std::shared_ptr<Loader> loader, Device device) {
  return std::make_unique<DataSource>(std::move(set), std::move(loader), device);
}
std::unique_ptr<Source> law_source(Config& node, const Roles& roles, DType dtype, Device device) {
  Config& what = node.child(node.has("law") ? "law" : "from");
  const Call call = parse_call(what);
  auto kept = node.has("law") ? build_denoiser(call, {}) : nullptr;
  const auto* law = dynamic_cast<const OracleNet*>(kept ? kept.get() : lookup(roles, call, "role").model.get());
  if (!law) what.fail("only a closed form (gaussian, mixture) can be drawn from");
  return std::make_unique<LawSource>(*law, std::move(kept), dtype, device);
}
std::unique_ptr<Source> rollout_source(RolloutSpec spec) { return std::make_unique<RolloutSource>(std::move(spec)); }

}  // namespace retort

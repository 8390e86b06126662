#include "distill/train/drawn_params.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/image.h"
#include "autograd/ops/index.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/data/pixel_set.h"
#include "distill/objectives/match.h"
#include "nn/init.h"
#include "tensor/write.h"

namespace retort {

namespace {
std::vector<NamedParameter> weights_of(const Role& role) { return parameters_of(*role.model); }

void set_weights(Role& role, const Tensor& flat) {
  std::int64_t at = 0;
  for (const NamedParameter& p : weights_of(role)) {
    const std::int64_t n = p.parameter->value.numel();
    assign_(p.parameter->value, reshape(slice(flat, 0, at, at + n), p.parameter->value.shape()), "params");
    if (p.parameter->shadow.defined()) assign_(p.parameter->shadow, p.parameter->value, "params");
    at += n;
  }
}

Tensor flat_weights(const Role& role) {
  Tensors flat;
  for (const NamedParameter& p : weights_of(role)) flat.push_back(reshape(p.parameter->value, {-1}));
  return concat(flat, 0);
}

/// A key's step is no part of `key`, so the stream's name tells the steps apart.
Rng fresh_rng(const Role& role, const DrawStep& at, std::int64_t member = 0) {
  return Rng(Rng(at.seed).stream(fmt::format("fresh/{}/{}/{}", role.name, member, at.step)).key);
}

class Fresh final : public DrawnParams {
 public:
  explicit Fresh(std::int64_t every) : every_(every) {}
  void begin(Role& role, const DrawStep& at) override {
    if (at.phase_step % every_ == 0) initialize(*role.model, fresh_rng(role, at));
  }

 private:
  std::int64_t every_;
};

class Pool final : public DrawnParams {
 public:
  Pool(const Role& role, std::int64_t size, std::int64_t age) : oldest_(age), members_(members_of(role, size)) {
    // -1: not started yet. Ages at first are spread, so that networks of all ages are met from the beginning.
    ages_ = Tensor::full({size}, -1, DType::i64);
  }
  void begin(Role& role, const DrawStep& at) override {
    const std::int64_t k = member(at), age = ages_.values<std::int64_t>()[static_cast<std::size_t>(k)];
    if (age < 0 || age >= oldest_) {
      initialize(*role.model, fresh_rng(role, at, k));
      const std::int64_t first = age < 0 ? k * oldest_ / members_.size(0) : 0;
      put(flat_weights(role), k, first);
    }
    set_weights(role, select(members_, 0, k));
  }
  void end(const Role& role, const DrawStep& at) override {
    const std::int64_t k = member(at);
    put(flat_weights(role), k, ages_.values<std::int64_t>()[static_cast<std::size_t>(k)] + 1);
  }
  void visit_state(const std::function<void(const std::string&, Tensor&)>& visit) override {
    visit("members", members_);
    visit("ages", ages_);
  }

 private:
  std::int64_t member(const DrawStep& at) const {
    const RngKey key = Rng(at.seed).stream("pool", static_cast<std::uint32_t>(at.step));
    return static_cast<std::int64_t>(uniform_int(key, 0, 0, static_cast<std::uint64_t>(members_.size(0))));
  }
  static Tensor members_of(const Role& role, std::int64_t size) {
    const Tensor& like = weights_of(role)[0].parameter->value;
    return Tensor::zeros({size, parameter_count(*role.model)}, like.dtype(), like.device());
  }
  void put(const Tensor& flat, std::int64_t k, std::int64_t age) {
    assign_(select(members_, 0, k), flat, "pool");
    assign_(slice(ages_, 0, k, k + 1), Tensor::full({1}, static_cast<double>(age), DType::i64), "pool");
  }

  std::int64_t oldest_;
  Tensor members_, ages_;
};

/// Which run, and a uniform draw, of a store at a step: the same for all roles.
struct RunDraw {
  std::int64_t run = 0, point = 0;
  double share = 0;
};
RunDraw draw_run(const std::string& store, const Trajectories& t, const DrawStep& at, std::int64_t first,
                 std::int64_t last) {
  const RngKey key = Rng(at.seed).stream("trajectory/" + store, static_cast<std::uint32_t>(at.step));
  RunDraw d;
  d.run = static_cast<std::int64_t>(uniform_int(key, 0, 0, static_cast<std::uint64_t>(t.runs())));
  d.point = first + static_cast<std::int64_t>(uniform_int(key, 1, 0, static_cast<std::uint64_t>(last - first + 1)));
  fill_uniform(std::span(&d.share, 1), key, 2);
  return d;
}

class AtPoint final : public DrawnParams {
 public:
  struct Window {
    std::int64_t first, last, ahead;
    std::int64_t from, over;  ///< the window's end grows from `from` to `last` over so many steps
    std::int64_t end(std::int64_t step) const {
      return over > 0 && step < over ? from + (last - from) * step / over : last;
    }
  };
  AtPoint(std::string store, const Trajectories& runs, const Window& window, double noise)
      : store_(std::move(store)), runs_(runs), window_(window), noise_(noise) {}
  void begin(Role& role, const DrawStep& at) override {
    if (window_.last + window_.ahead >= runs_.points())
      throw ConfigError("role {}: store {} holds points 0 to {} of each run; {} is beyond", role.name, store_,
                        runs_.points() - 1, window_.last + window_.ahead);
    const RunDraw d = draw_run(store_, runs_, at, window_.first, window_.end(at.phase_step));
    set_weights(role, select(select(runs_.table, 0, d.run), 0, d.point + window_.ahead));
    if (noise_ > 0) disturb(role, at);
  }

 private:
  void disturb(Role& role, const DrawStep& at) const {
    std::uint64_t number = 0;
    for (const NamedParameter& p : weights_of(role)) {
      const Tensor& value = p.parameter->value;
      if (value.rank() != 4) continue;
      std::vector<double> draws(static_cast<std::size_t>(value.numel()));
      fill_normal(std::span<double>(draws), Rng(at.seed).stream("disturb", static_cast<std::uint32_t>(at.step)),
                  number++);
      const Tensor d = Tensor::from(draws, value.shape(), value.dtype());
      assign_(value, value + value * d * (noise_ / std::sqrt(sum(d * d).item())), "params");
    }
  }

  std::string store_;
  const Trajectories& runs_;
  Window window_;
  double noise_;
};

class BetweenPoints final : public DrawnParams {
 public:
  BetweenPoints(std::string store, const Trajectories& runs) : store_(std::move(store)), runs_(runs) {}
  void begin(Role& role, const DrawStep& at) override {
    const RunDraw d = draw_run(store_, runs_, at, 0, 0);
    const Tensor run = select(runs_.table, 0, d.run);
    set_weights(role, select(run, 0, 0) * d.share + select(run, 0, runs_.points() - 1) * (1 - d.share));
  }

 private:
  std::string store_;
  const Trajectories& runs_;
};
class Critical final : public DrawnParams {
 public:
  Critical(const Role& teacher, double floor, TapId tap) : teacher_(teacher), floor_(floor), tap_(std::move(tap)) {}
  void begin(Role& role, const DrawStep&) override {
    auto& set = dynamic_cast<PixelSet&>(*role.model);
    Pass pass;
    pass.training = false;
    const Query query{set.x.value, {}, {}, {}, {}};
    const Tensor f = teacher_.net->eval(query, {.out = false, .taps = {tap_}}, Grad::None, pass).taps[0];
    const Shape& image = set.config.image;
    const Tensor cam = resize2d(class_activation(f, weight(), set.labels()), image[1], image[2]);
    assign_(set.mask.value, maximum(floor_ - cam, 0.0), "mask");
  }

 private:
  const Tensor& weight() const {
    for (const NamedParameter& p : weights_of(teacher_))
      if (p.name == "head.weight") return p.parameter->value;
    throw ConfigError("role {}: a class activation map needs a linear layer `head`", teacher_.name);
  }

  const Role& teacher_;
  double floor_;
  TapId tap_;
};
}  // namespace

Tensor class_activation(const Tensor& features, const Tensor& weight, const Tensor& label) {
  const Tensor w = index_select(weight, 0, label);
  const Tensor cam = sum(features * reshape(w, {w.size(0), w.size(1), 1, 1}), {1}, true);
  const Tensor low = min(cam, {1, 2, 3}, true), high = max(cam, {1, 2, 3}, true);
  return (cam - low) / maximum(high - low, 1e-12);
}

void Trajectories::record(const Role& role, std::int64_t run, std::int64_t point) {
  if (table.meta()) return;
  assign_(select(select(table, 0, run), 0, point), flat_weights(role), "trajectory");
}

bool is_drawn(const Call& call) {
  for (const char* name : {"fresh", "pool", "trajectory", "between", "critical"})
    if (call.name == name) return true;
  return false;
}

std::unique_ptr<DrawnParams> make_drawn_params(const Call& call, const Role& role,
                                               const std::map<std::string, Trajectories>& stores, const Roles& roles) {
  if (!is_drawn(call)) return nullptr;
  CallArgs args(call);
  std::unique_ptr<DrawnParams> drawn;
  if (call.name == "fresh") {
    drawn = std::make_unique<Fresh>(args.integer("every", 1, {.min = 1}));
  } else if (call.name == "pool") {
    const auto size = args.integer("size", 10, {.min = 1});
    drawn = std::make_unique<Pool>(role, size, args.integer("age", 100, {.min = 1}));
  } else if (call.name == "critical") {
    const auto* set = dynamic_cast<const PixelSet*>(role.model.get());
    if (!set || !set->config.masked) call.fail("of a synthetic set only: net: pixels(.. masked=true)");
    const Role& teacher = lookup(roles, Call{args.word("teacher"), {}, call.where}, "role");
    const double floor = args.number("floor");
    drawn = std::make_unique<Critical>(teacher, floor, parse_tap(args.word("tap")));
  } else {
    const std::string store = args.word("store");
    const Trajectories& runs = lookup(stores, Call{store, {}, call.where}, "store");
    if (call.name == "between") {
      drawn = std::make_unique<BetweenPoints>(store, runs);
    } else {
      const auto first = args.integer("first", 0, {.min = 0}), last = args.integer("last", first, {.min = first});
      const auto ahead = args.integer("ahead", 0, {.min = 0});
      const auto from = args.integer("from", last, {.min = first, .max = last}),
                 over = args.integer("over", 0, {.min = 0});
      const AtPoint::Window window{first, last, ahead, from, over};
      drawn = std::make_unique<AtPoint>(store, runs, window, args.number("noise", 0.0, {.min = 0}));
    }
  }
  args.done();
  return drawn;
}

}  // namespace retort

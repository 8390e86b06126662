#include "distill/train/controller.h"

#include <algorithm>
#include <optional>

#include "tensor/write.h"

namespace retort {

Controller::Controller(std::vector<double> first)
    : state_(Tensor::from(first, {static_cast<std::int64_t>(first.size())}, DType::f64)) {}

void Controller::set(const std::vector<double>& values) {
  assign_(state_, Tensor::from(values, state_.shape(), DType::f64), "controller");
}

namespace {
std::optional<double> value_of(const Metrics& metrics, const std::string& name) {
  for (const auto& [metric, value] : metrics)
    if (metric == name) return value;
  return {};
}

class Dual final : public Controller {
 public:
  explicit Dual(CallArgs& args)
      : Controller({0}),
        metric_("loss/" + args.word("term")),
        target_(args.number("target")),
        rate_(args.number("rate", {.above = 0})) {
    set({args.number("start", 0.0, {.min = 0})});
  }
  void update(const Metrics& metrics, const Clock&) override {
    if (const auto shown = value_of(metrics, metric_)) set({std::max(0.0, number() + rate_ * (*shown - target_))});
  }

 private:
  std::string metric_;
  double target_, rate_;
};

class Climb final : public Controller {
 public:
  explicit Climb(CallArgs& args)
      : Controller({1, 0, 0, 0}),
        metric_("loss/" + args.word("term")),
        layers_(args.integer("layers", {.min = 1})),
        threshold_(args.number("threshold")),
        patience_(args.number("patience", {.above = 0})),
        rate_(args.number("rate", 1.0, {.max = 1, .above = 0})) {}
  void update(const Metrics& metrics, const Clock& clock) override {
    auto [layer, average, since, started] = state_of(values());
    if (started == 0) {
      layer = most_similar(metrics);
      since = clock.epoch;
      started = 1;
    }
    if (const auto similar = similarity(metrics, layer)) average = rate_ * *similar + (1 - rate_) * average;
    const bool done = average >= threshold_ || clock.epoch - since >= patience_;
    if (done && layer < static_cast<double>(layers_)) {
      layer += 1;
      average = 0;
      since = clock.epoch;
    }
    set({layer, average, since, started});
  }

 private:
  struct State {
    double layer, average, since, started;
  };
  static State state_of(const std::vector<double>& v) { return {v[0], v[1], v[2], v[3]}; }
  std::optional<double> similarity(const Metrics& metrics, double layer) const {
    const auto shown = value_of(metrics, fmt::format("{}{:.0f}", metric_, layer));
    return shown ? std::optional(1 - *shown) : std::nullopt;
  }
  double most_similar(const Metrics& metrics) const {
    double best = 1, most = -1;
    for (std::int64_t i = 1; i <= layers_; ++i) {
      const auto similar = similarity(metrics, static_cast<double>(i));
      if (!similar || *similar <= most) continue;
      best = static_cast<double>(i);
      most = *similar;
    }
    return best;
  }

  std::string metric_;
  std::int64_t layers_;
  double threshold_, patience_, rate_;
};
}  // namespace

std::shared_ptr<Controller> make_controller(const Call& call) {
  static const std::map<std::string, std::shared_ptr<Controller> (*)(CallArgs&), std::less<>> table{
      {"dual", [](CallArgs& args) -> std::shared_ptr<Controller> { return std::make_shared<Dual>(args); }},
      {"climb", [](CallArgs& args) -> std::shared_ptr<Controller> { return std::make_shared<Climb>(args); }},
      {"off_policy", make_off_policy},
      {"domain_share", make_domain_share},
  };
  CallArgs args(call);
  auto controller = lookup(table, call, "controller")(args);
  args.done();
  return controller;
}

}  // namespace retort

#include "distill/train/controller.h"

#include <algorithm>

#include "tensor/write.h"

namespace retort {

Controller::Controller(std::vector<double> first)
    : state_(Tensor::from(first, {static_cast<std::int64_t>(first.size())}, DType::f64)) {}

void Controller::set(const std::vector<double>& values) {
  assign_(state_, Tensor::from(values, state_.shape(), DType::f64), "controller");
}

namespace {
class Dual final : public Controller {
 public:
  explicit Dual(CallArgs& args)
      : Controller({0}),
        metric_("loss/" + args.word("term")),
        target_(args.number("target")),
        rate_(args.number("rate", {.above = 0})) {
    set({args.number("start", 0.0, {.min = 0})});
  }
  void update(const Metrics& metrics) override {
    for (const auto& [name, shown] : metrics)
      if (name == metric_) set({std::max(0.0, number() + rate_ * (shown - target_))});
  }

 private:
  std::string metric_;
  double target_, rate_;
};
}  // namespace

std::shared_ptr<Controller> make_controller(const Call& call) {
  static const std::map<std::string, std::shared_ptr<Controller> (*)(CallArgs&), std::less<>> table{
      {"dual", [](CallArgs& args) -> std::shared_ptr<Controller> { return std::make_shared<Dual>(args); }},
  };
  CallArgs args(call);
  auto controller = lookup(table, call, "controller")(args);
  args.done();
  return controller;
}

}  // namespace retort

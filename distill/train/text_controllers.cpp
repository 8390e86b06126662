// distill/train/text_controllers.cpp -- controllers of what language models are trained on: the share of their own
// responses, the shares of domains.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "distill/train/controller.h"

namespace retort {

namespace {
/// A running mean of one metric between decisions.
std::optional<double> metric(const Metrics& metrics, const std::string& name) {
  for (const auto& [key, value] : metrics)
    if (key == name) return value;
  return {};
}

class OffPolicy final : public Controller {
 public:
  explicit OffPolicy(CallArgs& args)
      : Controller({0, 0, 0, INFINITY}),
        metric_("loss/" + args.word("term")),
        every_(args.number("every", {.min = 1})),
        tolerance_(args.number("tolerance", 0.0)),
        step_(args.number("step", .1, {.above = 0})) {
    set({args.number("start", 0.0, {.min = 0, .max = 1}), 0, 0, INFINITY});
  }
  void update(const Metrics& metrics, const Clock&) override {
    const auto shown = metric(metrics, metric_);
    if (!shown) return;
    std::vector<double> v = values();  // share, sum and count since the last decision, the mean before that
    v[1] += *shown;
    v[2] += 1;
    if (v[2] >= every_) {
      const double now = v[1] / v[2];
      if (now >= v[3] + tolerance_) v[0] = std::min(v[0] + step_, 1.0);
      v = {v[0], 0, 0, now};
    }
    set(v);
  }

 private:
  std::string metric_;
  double every_, tolerance_, step_;
};

class DomainShare final : public Controller {
 public:
  explicit DomainShare(CallArgs& args)
      : Controller({0}),
        domain_(static_cast<std::size_t>(args.integer("domain", {.min = 0}))),
        domains_(static_cast<std::size_t>(args.integer("domains", {.min = 1}))),
        student_("loss/" + args.word("student")),
        teacher_("loss/" + args.word("teacher")),
        every_(args.number("every", {.min = 1})),
        mix_(args.number("mix", .5, {.min = 0, .max = 1})) {
    if (domain_ >= domains_) throw ConfigError("domain_share: domain {} of {}", domain_, domains_);
    const double even = 1 / static_cast<double>(domains_);
    std::vector<double> v(3 + 2 * domains_, even);  // own share, steps since, begun; all shares; sums of log-ratios
    v[1] = v[2] = 0;
    std::fill(v.end() - static_cast<std::ptrdiff_t>(domains_), v.end(), 0);
    set_state(v);
  }
  void update(const Metrics& metrics, const Clock&) override {
    std::vector<double> v = values();
    for (std::size_t i = 0; i < domains_; ++i) {
      const auto s = metric(metrics, fmt::format("{}{}", student_, i)),
                 t = metric(metrics, fmt::format("{}{}", teacher_, i));
      if (!s || !t) return;
      v[3 + domains_ + i] += *s - *t;
    }
    v[1] += 1;
    if (v[1] >= every_) decide(v);
    set(v);
  }

 private:
  void set_state(const std::vector<double>& v) {
    state() = Tensor::from(v, {static_cast<std::int64_t>(v.size())}, DType::f64);
  }

  /// r <- softmax(ratio) at first, then a psi / sum psi + (1 - a) / N with psi = r e^ratio.
  void decide(std::vector<double>& v) const {
    const bool begun = v[2] > 0;
    std::vector<double> psi;
    for (std::size_t i = 0; i < domains_; ++i)
      psi.push_back((begun ? v[3 + i] : 1) * std::exp(std::exp(v[3 + domains_ + i] / v[1])));
    const double total = std::accumulate(psi.begin(), psi.end(), 0.0);
    for (std::size_t i = 0; i < domains_; ++i) {
      v[3 + i] = begun ? mix_ * psi[i] / total + (1 - mix_) / static_cast<double>(domains_) : psi[i] / total;
      v[3 + domains_ + i] = 0;
    }
    v[0] = v[3 + domain_];
    v[1] = 0;
    v[2] = 1;
  }

  std::size_t domain_, domains_;
  std::string student_, teacher_;
  double every_, mix_;
};
}  // namespace

std::shared_ptr<Controller> make_off_policy(CallArgs& args) { return std::make_shared<OffPolicy>(args); }
std::shared_ptr<Controller> make_domain_share(CallArgs& args) { return std::make_shared<DomainShare>(args); }

}  // namespace retort

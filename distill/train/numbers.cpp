#include "distill/train/numbers.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "distill/train/number.h"

namespace retort {

Number Number::parse(Config& node) {
  if (node.is_scalar()) return Number(node.as<double>());
  Number n;
  if (node.has("for")) {
    node.get<std::string>("for");
    n.loop_ = true;
    return n;
  }
  static const std::map<std::string, By> positions{
      {"step", By::step}, {"epoch", By::epoch}, {"fraction", By::fraction}, {"epoch_share", By::epoch_share}};
  static const std::map<std::string, Form> forms{
      {"linear", Form::linear}, {"cosine", Form::cosine}, {"sqrt", Form::sqrt}, {"gaussian", Form::gaussian}};
  n.by_ = positions.at(node.get_choice("by", {"step", "epoch", "fraction", "epoch_share"}, "step"));
  n.form_ = forms.at(node.get_choice("shape", {"linear", "cosine", "sqrt", "gaussian"}, "linear"));
  n.points_.clear();
  for (Config& point : node.child("ramp").items()) {
    const auto pair = point.as<std::vector<double>>();
    if (pair.size() != 2) point.fail("a point of a ramp is [position, value]");
    if (!n.points_.empty() && pair[0] < n.points_.back().first) point.fail("positions of a ramp do not decrease");
    n.points_.emplace_back(pair[0], pair[1]);
  }
  if (n.points_.empty()) node.child("ramp").fail("a ramp needs at least one [position, value]");
  return n;
}

double Number::position(const Clock& clock) const {
  switch (by_) {
    case By::epoch:
      return clock.epoch;
    case By::fraction:
      return static_cast<double>(clock.step) / static_cast<double>(std::max<std::int64_t>(clock.steps, 1));
    case By::epoch_share:
      return (std::floor(clock.epoch) + 1) / std::ceil(clock.epochs);
    default:
      return static_cast<double>(clock.step);
  }
}

double Number::shaped(double f) const {
  switch (form_) {
    case Form::cosine:
      return .5 - .5 * std::cos(std::numbers::pi * f);
    case Form::sqrt:
      return std::sqrt(f);
    case Form::gaussian:
      return std::exp(-5 * (1 - f) * (1 - f));
    default:
      return f;
  }
}

double Number::at(const Clock& clock) const {
  if (source_) return source_();
  if (loop_) return clock.loop;
  const double x = position(clock);
  if (x < points_.front().first) return points_.front().second;
  for (std::size_t i = 1; i < points_.size(); ++i) {
    const auto [x0, y0] = points_[i - 1];
    const auto [x1, y1] = points_[i];
    if (x < x1) return y0 + (y1 - y0) * shaped((x - x0) / (x1 - x0));
  }
  return points_.back().second;
}

Call with_numbers(Call call, const NumberMap& numbers) {
  for (Arg& arg : call.args)
    if (const auto found = numbers.find(arg.value.name); found != numbers.end() && arg.value.args.empty())
      arg.value.name = format_number(found->second.at({}));
  return call;
}

Weight Weight::of(const Call& call, const NumberMap& numbers) {
  Weight w;
  const auto literal = call.number();
  w.factors_.push_back(literal ? Number(*literal) : lookup(numbers, call, "number"));
  return w;
}

Weight Weight::parse(Config& node, const NumberMap& numbers) {
  if (!node.is_list()) return of(parse_call(node), numbers);
  Weight w;
  for (Config& c : node.items()) w.factors_.push_back(of(parse_call(c), numbers).factors_[0]);
  return w;
}

bool Number::is_zero() const {
  const auto zero = [](const auto& point) { return point.second == 0; };
  return !source_ && !loop_ && std::all_of(points_.begin(), points_.end(), zero);
}

bool Weight::is_zero() const {
  return std::any_of(factors_.begin(), factors_.end(), [](const Number& n) { return n.is_zero(); });
}

double Weight::at(const Clock& clock) const {
  double product = 1;
  for (const Number& n : factors_) product *= n.at(clock);
  return product;
}

}  // namespace retort

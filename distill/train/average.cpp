#include "distill/train/average.h"

#include "tensor/write.h"

namespace retort {

AverageSpec parse_average(Config& node, const std::string& role) {
  AverageSpec spec;
  spec.of = role;
  EmaDecay& d = spec.decay;
  const bool constant = node.has("decay"), half_life = node.has("halflife"), power = node.has("power");
  if (constant + half_life + power != 1) node.fail("expected exactly one of decay, halflife (in samples) and power");
  if (constant) {
    d = EmaDecay::constant(node.get_real("decay", {.min = 0, .max = 1}));
    d.warmup = node.get_real("warmup", 0.0, {.min = 0});
  } else if (half_life) {
    d = EmaDecay::half_life(node.get_real("halflife", {.above = 0}));
    d.rampup = node.get_real("rampup", 0.0, {.min = 0});
  } else {
    d = EmaDecay::power(node.get_real("power", {.min = 0}));
  }
  d.start = node.get_int("start", 0, {.min = 0});
  const bool copies = node.get_choice("buffers", {"average", "copy"}, "average") == "copy";
  spec.buffers = copies ? EmaBuffers::copy : EmaBuffers::average;
  return spec;
}

Averager::Averager(const AverageSpec& spec, Module& average, const Module& source)
    : spec_(spec), average_(average), source_(source), counters_(Tensor::zeros({2}, DType::i64)) {}

void Averager::follow(std::int64_t samples) {
  const auto before = counters_.values<std::int64_t>();
  const std::int64_t update = before[0] + 1, seen = before[1] + samples;
  ema_update(average_, source_, spec_.decay.at(update, samples, seen), spec_.buffers);
  assign_(counters_, Tensor::of<std::int64_t>(std::vector<std::int64_t>{update, seen}, {2}), "ema");
}

}  // namespace retort

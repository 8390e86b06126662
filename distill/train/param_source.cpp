#include "distill/train/param_source.h"

#include "nn/init.h"
#include "tensor/write.h"

namespace retort {

FollowSpec parse_average(Config& node, const std::string& role) {
  FollowSpec spec;
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

FollowSpec parse_params(const Call& call) {
  CallArgs args(call);
  FollowSpec spec;
  spec.of = args.word("of");
  if (call.name == "copy" || call.name == "fresh") {
    spec.fresh = call.name == "fresh";
    spec.every = args.integer("every", 1, {.min = 1});
  } else if (call.name == "ema") {
    if (const auto half_life = args.optional_call("halflife")) {
      if (!half_life->number() || *half_life->number() <= 0) half_life->fail("expected a positive number of samples");
      spec.decay = EmaDecay::half_life(*half_life->number());
      spec.decay.rampup = args.number("rampup", 0.0, {.min = 0});
    } else {
      spec.decay = EmaDecay::constant(args.number("decay", {.min = 0, .max = 1}));
      spec.decay.warmup = args.number("warmup", 0.0, {.min = 0});
    }
    spec.decay.start = args.integer("start", 0, {.min = 0});
  } else {
    fail_lookup(call, "source of parameters", {"ema", "copy", "fresh"});
  }
  args.done();
  return spec;
}

Follower::Follower(const FollowSpec& spec, Module& follower, const Module& source)
    : spec_(spec), follower_(follower), source_(source), counters_(Tensor::zeros({2}, DType::i64)) {}

void Follower::follow(std::int64_t samples) {
  const auto before = counters_.values<std::int64_t>();
  const std::int64_t update = before[0] + 1, seen = before[1] + samples;
  if (spec_.every == 0)
    ema_update(follower_, source_, spec_.decay.at(update, samples, seen), spec_.buffers);
  else if (update % spec_.every == 0 && spec_.fresh)
    initialize(follower_, Rng(Rng(spec_.seed).stream("fresh", static_cast<std::uint32_t>(update)).key));
  else if (update % spec_.every == 0)
    ema_update(follower_, source_, 0.0, EmaBuffers::copy);
  assign_(counters_, Tensor::of<std::int64_t>(std::vector<std::int64_t>{update, seen}, {2}), "params");
}

}  // namespace retort

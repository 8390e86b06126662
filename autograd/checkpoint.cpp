#include "autograd/checkpoint.h"

#include "autograd/rule.h"

namespace retort {

namespace {
struct Checkpoint : Fused<Checkpoint> {
  static constexpr std::string_view name = "checkpoint";
  static constexpr int outputs = kMaxOutputs;
  static Tensors decompose(std::span<const Tensor> in, const AttrBox& attrs) {
    Tensors out = attrs.as<CheckpointFunction>()(in);
    if (out.size() > kMaxOutputs) throw ValueError("checkpoint: at most {} results; got {}", kMaxOutputs, out.size());
    out.resize(kMaxOutputs);
    return out;
  }
};
REGISTER_OP(Checkpoint);

/// A result lifted twice to one level, or to a deeper one below an outer one, got there past the inputs.
bool tracked_past_inputs(const Tensor& t) {
  for (const LevelLift* l = lift_of(t); l;) {
    const LevelLift* inner = lift_of(l->below);
    if (inner && inner->level->depth() >= l->level->depth()) return true;
    l = inner;
  }
  return false;
}
}  // namespace

Tensors checkpoint(CheckpointFunction f, std::span<const Tensor> inputs) {
  Tensors out(kMaxOutputs);
  apply(op_of<Checkpoint>(), inputs, AttrBox::of(std::move(f)), out);
  for (const Tensor& t : out)
    if (tracked_past_inputs(t))
      throw AutogradError("checkpoint: {} depends on a tracked tensor that is not an input; hint: pass it as one",
                          t.str());
  while (!out.empty() && !out.back().defined()) out.pop_back();
  return out;
}

}  // namespace retort

#include "autograd/checkpoint.h"

#include "autograd/rule.h"

namespace retort {

namespace {
struct CheckpointAttrs {
  CheckpointFunction f;
  std::size_t outputs;
};

struct Checkpoint : Fused<Checkpoint> {
  static constexpr std::string_view name = "checkpoint";
  static constexpr int outputs = 0;  // as many as the call says
  static Saves saves(std::uint32_t, const AttrBox&) { return {~0u, 0, 0}; }
  static Tensors decompose(std::span<const Tensor> in, const AttrBox& attrs) {
    const auto& a = attrs.as<CheckpointAttrs>();
    Tensors out = a.f(in);
    if (out.size() != a.outputs)
      throw ValueError("checkpoint: the function gives {} results where {} are expected", out.size(), a.outputs);
    return out;
  }
};
REGISTER_OP(Checkpoint);

/// True for a result that is lifted twice to one level, or to a deeper level below an outer one: it was tracked inside
/// the function already, by a tensor that is not among the inputs.
bool tracked_past_inputs(const Tensor& t) {
  for (const LevelLift* l = lift_of(t); l;) {
    const LevelLift* inner = lift_of(l->below);
    if (inner && inner->level->depth() >= l->level->depth()) return true;
    l = inner;
  }
  return false;
}
}  // namespace

Tensors checkpoint(CheckpointFunction f, std::span<const Tensor> inputs, std::size_t outputs) {
  Tensors out(outputs);
  apply(op_of<Checkpoint>(), inputs, AttrBox::of(CheckpointAttrs{std::move(f), outputs}), out);
  for (const Tensor& t : out)
    if (tracked_past_inputs(t))
      throw AutogradError("checkpoint: {} depends on a tracked tensor that is not an input; hint: pass it as one",
                          t.str());
  return out;
}

}  // namespace retort

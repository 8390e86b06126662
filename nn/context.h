// nn/context.h -- what a forward pass is told and what it reports: how parameters are tracked, which taps are wanted,
// the keys of its random draws, new running statistics.
#pragma once
#include <unordered_map>

#include "autograd/tape.h"
#include "nn/module.h"
#include "tensor/rng.h"

namespace retort {

/// The lifted parameters of one step: every forward of a role under one tape shares them, so that its gradients meet.
class Leaves {
 public:
  explicit Leaves(Tape& tape) : tape_(tape) {}
  /// The tracked value of `p` (its shadow when `low` is set and it has one).
  Tensor of(const Parameter& p, bool low);
  /// The parameter of a leaf, or null for leaves that are not parameters.
  const Parameter* parameter(int leaf) const;
  Tape& tape() const { return tape_; }

 private:
  Tape& tape_;
  std::unordered_map<const Parameter*, Tensor> lifted_;
  std::vector<const Parameter*> by_leaf_;
};

/// Other values for some parameters of a module, possibly tracked by any level: the module is called as a function of
/// them. Keys are the addresses of the parameters they stand for.
using ParamValues = std::unordered_map<const Parameter*, Tensor>;

/// Where in a model a signal is read: module path and port. "blocks.1" out, "blocks.1" in, pre_act, attn, ...
struct TapId {
  std::string path;
  std::string port = "out";
  bool operator==(const TapId&) const = default;
};

/// New running statistics of a batch norm, applied once per optimiser step by the trainer.
struct StatUpdate {
  Buffer* buffer;
  Tensor value;  ///< the batch's statistic
  double momentum;
};
/// buffer = (1 - momentum) buffer + momentum * the mean of its values in `updates` (one per micro-batch).
void apply_statistics(std::span<const StatUpdate> updates);

struct Conditions;  // nn/denoiser.h

class Ctx {
 public:
  bool training = false;
  Leaves* leaves = nullptr;                 ///< trainable parameters become leaves; null: all are constants
  const ParamValues* substitute = nullptr;  ///< looked up before `leaves`
  DType compute = DType::f32;               ///< the role's compute dtype: shadows are read when it is 16-bit
  Rng rng{0};                               ///< random draws of the forward are keyed by it, `step` and `samples`
  std::uint32_t step = 0;
  Tensor samples;                            ///< i64 [N], global sample indices of the batch; undefined: 0..N-1
  const Conditions* given = nullptr;         ///< what a denoiser is told beside its input; null: nothing
  std::vector<TapId> wanted;                 ///< taps to deliver, in order of `tapped`
  bool recompute = false;                    ///< models recompute their blocks in the backward walk: nn/checkpoint.h
  bool stop_after_taps = false;              ///< the model may stop once every wanted tap was delivered
  std::vector<StatUpdate>* stats = nullptr;  ///< where batch norms report; null: they do not

  std::vector<Tensor> tapped;  ///< parallel to `wanted` after the forward

  /// The value a layer computes with: substituted, lifted, or plain.
  Tensor operator()(const Parameter& p);
  /// True when the trainer asked for this port: what only a tap needs is computed only then.
  bool wants(const Module& at, std::string_view port) const;
  /// Called by modules at each port: records the value when it is wanted.
  void tap(const Module& at, std::string_view port, const Tensor& value);
  /// True when the rest of the model is not needed.
  bool finished() const;
};

/// Calls `forward` with other values for the module's parameters: by name, all others as they are.
/// Throws ValueError naming a parameter the module does not have, ShapeError on a misfit.
ParamValues with_params(Module& m, const std::vector<std::pair<std::string, Tensor>>& values);

}  // namespace retort

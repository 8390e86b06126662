// nn/optim/optimizer.h -- what every optimiser is: in-place steps on masters and shadows, state by name.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "nn/module.h"

namespace retort {

/// Updates f32 or f64 masters from gradients of the same dtype, writing 16-bit shadows with them. The state is a list
/// of named tensors per parameter, usually one like the master for each slot. Parameters with trainable = false are
/// left alone; `decays` says which ones weight decay applies to.
class Optimizer {
 public:
  virtual ~Optimizer() = default;

  /// Allocates the state (zeros) for these parameters. `step` does so at first use; a loader calls it before it
  /// visits the state. Throws DTypeError for masters that are neither f32 nor f64.
  void prepare(std::span<const NamedParameter> parameters);

  /// One update with learning rate `lr`; `grads` is parallel to `parameters`, which are those of `prepare`, in order.
  /// A parameter whose gradient is undefined is left alone. Throws ShapeError when a gradient or a parameter does not
  /// fit, naming it.
  void step(std::span<const NamedParameter> parameters, std::span<const Tensor> grads, double lr);

  /// Whether an update of some elements of a parameter needs nothing of the others: what ZeRO-1 asks for.
  virtual bool elementwise() const { return true; }

  /// All state by name: "step" (i64, the number of updates made) and "<slot>/<parameter name>".
  void visit_state(const std::function<void(const std::string& name, Tensor& value)>& visit);

 protected:
  struct Slot {
    std::string name;
    Tensor value;
  };
  /// Names of the state's slots ("momentum"; "m", "v").
  virtual std::vector<std::string> slots() const = 0;
  /// The state of a parameter before its first update: zeros like the master for each of `slots`, unless overridden.
  virtual std::vector<Slot> initial_state(const Parameter& p) const;
  /// Updates one parameter; `state` holds the slots of `initial_state`, `t` counts updates from 1.
  virtual void update(Parameter& p, const Tensor& grad, std::span<const Tensor> state, double lr, std::int64_t t) = 0;

  /// What `step` does before it updates: prepares at first use, checks every defined gradient, counts. Returns t.
  std::int64_t begin_step(std::span<const NamedParameter> parameters, std::span<const Tensor> grads);
  /// Throws ShapeError when the defined gradients do not fit the parameters, or these the state.
  void check(std::span<const NamedParameter> parameters, std::span<const Tensor> grads) const;
  std::span<const Tensor> state_of(std::size_t parameter) const { return entries_[parameter].state; }

 private:
  struct Entry {
    std::string name;
    std::vector<std::string> slots;
    std::vector<Tensor> state;
  };
  std::vector<Entry> entries_;
  Tensor steps_;
};

}  // namespace retort

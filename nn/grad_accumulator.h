// nn/grad_accumulator.h -- sums the gradients of a list of parameters over tapes and micro-batches.
#pragma once
#include <functional>
#include <unordered_map>

#include "nn/context.h"

namespace retort {

/// A GradSink with one buffer per parameter, in the master's dtype and memory order, to which every contribution is
/// added in place (16-bit ones are widened). The parameters must stay where they are while it lives.
class GradAccumulator final : public GradSink {
 public:
  explicit GradAccumulator(std::vector<NamedParameter> parameters);

  /// Whose leaves the next walks pull back to. Leaves of other parameters, or of no parameter, are ignored.
  void attach(const Leaves& leaves) { leaves_ = &leaves; }
  /// Throws AutogradError before `attach`, ShapeError when a contribution does not fit.
  void add(int leaf, const Tensor& contribution) override;
  void done(int leaf) override;

  /// Starts a new sum.
  void zero();
  /// Multiplies all sums (1 / denominator, loss scale).
  void scale(double factor);
  /// Parallel to `parameters()`; zeros for parameters that no walk reached. Valid until the next `add` or `zero`.
  const std::vector<Tensor>& grads();
  /// Its sum for parameter i, to be summed over ranks in place: what no walk reached here may have been reached
  /// elsewhere, and counts as reached from now on.
  const Tensor& shared_grad(std::size_t i);
  /// Called with the number of each parameter that has its last contribution of a walk; empty: nobody listens.
  void listen(std::function<void(std::size_t)> final) { final_ = std::move(final); }
  /// The same, but undefined for parameters that no walk reached.
  std::vector<Tensor> reached() const;
  const std::vector<NamedParameter>& parameters() const { return parameters_; }

 private:
  std::vector<NamedParameter> parameters_;
  std::unordered_map<const Parameter*, std::size_t> index_;
  std::vector<Tensor> sums_;
  /// Old values are overwritten by the first contribution; zeros were asked for before any came.
  enum class Holds : std::uint8_t { old, zeros, sum };
  std::vector<Holds> holds_;
  const Leaves* leaves_ = nullptr;
  std::function<void(std::size_t)> final_;
};

}  // namespace retort

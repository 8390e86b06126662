// tests/nn/reference.h -- compares models with the results of reference implementations, stored in tests/fixtures.
//
// A fixture holds no weights: tests/fixtures/dump.py and this file draw parameters, inputs and cotangents from the
// keyed generator by name. What is compared: the output in evaluation, tapped values on the way, the output in training
// mode (without dropout), the gradient of sum(output * cotangent) for every parameter, and running statistics after
// that forward. Large tensors are compared by their digest: norm and four sums with random signs.
#pragma once
#include <nlohmann/json_fwd.hpp>

#include "nn/model.h"

namespace retort::testing {

/// Largest relative differences of each kind, in units of the reference's norm per tensor. A parameter whose exact
/// gradient is zero (a bias before batch norm) is measured against the norm of the whole gradient.
struct Disagreement {
  double output = 0, taps = 0, gradients = 0, statistics = 0;
  std::string worst;  ///< what differs most
  double most() const;
};

/// A parameter as the reference's library saves it.
struct ForeignTensor {
  std::string name, ours;
  Tensor value;  ///< f32, dense, in that library's order
};

/// The network as a function of the fixture's inputs.
using ReferenceForward = std::function<Tensor(std::span<const Tensor> inputs, Ctx& ctx)>;

class Reference {
 public:
  /// Reads tests/fixtures/NAME.json. Throws IoError.
  explicit Reference(const std::string& name);
  ~Reference();

  /// The expression of the architecture.
  std::string arch() const;
  /// The model that `arch` names, filled, in f64 or f32.
  std::unique_ptr<Model> model(DType dtype = DType::f64) const;
  /// Fills every parameter and buffer of `m`. Throws ShapeError naming the tensors that only one side has, or whose
  /// shapes differ.
  void fill(Module& m) const;
  /// What the reference's library would save, of fixtures with a configuration.
  std::vector<ForeignTensor> foreign() const;
  /// The text of its config.json.
  std::string configuration() const;
  /// In the order of the fixture; those in -1 .. 1 have `dtype`, whole numbers are i64.
  std::vector<Tensor> inputs(DType dtype) const;

  /// Runs `m`, which keeps its values, and compares. The dtype is that of its parameters. A Model takes one input. In
  /// f32 the gradients of a network with kinks (ReLU, max pooling) are left out: one sign that rounding changes moves
  /// them by that unit's share.
  Disagreement compare(Module& m, const ReferenceForward& forward) const;
  Disagreement compare(Model& m) const;
  /// Evaluation alone: the output and the taps.
  Disagreement compare_evaluation(Model& m) const;

 private:
  std::unique_ptr<nlohmann::ordered_json> json_;
};

/// The difference of outputs after `change` to the fixture's model, which must be noticed.
template <class Net, class Change>
double after(const std::string& fixture, Change change) {
  const Reference reference(fixture);
  const auto model = reference.model();
  change(dynamic_cast<Net&>(*model));
  return reference.compare_evaluation(*model).output;
}

/// The model of fixture NAME agrees to 1e-9 in f64 and to 1e-4 in f32, also when it recomputes its blocks (f64).
void check_reference(const std::string& name);

}  // namespace retort::testing

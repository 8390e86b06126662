// nn/models/mlp.h -- a multilayer perceptron over flattened inputs.
#pragma once
#include "nn/layers/activation.h"
#include "nn/layers/dropout.h"
#include "nn/layers/linear.h"
#include "nn/model.h"

namespace retort {

struct MlpConfig {
  std::int64_t in = 784, classes = 10;
  std::vector<int> widths = {256, 256};  ///< hidden layers; none gives a linear model
  Activation act = Activation::relu;
  double dropout = 0;  ///< after each hidden layer
};

/// x [n, ...] with `in` values a sample -> logits [n, classes]. Taps: "layers.i" in, pre_act and out (after the
/// activation), "head" in and out.
struct MlpNet final : Model {
  /// One hidden layer: linear, activation, dropout.
  struct Layer : Module {
    Linear linear;
    Activation act;
    Dropout dropout;
    Layer(std::int64_t in, std::int64_t out, Activation activation, double p);
    Tensor operator()(const Tensor& x, Ctx& ctx) const;
    void visit(Visitor& v) override;
  };

  MlpConfig config;
  std::vector<Layer> layers;
  Linear head;

  explicit MlpNet(const MlpConfig& how);
  Tensor forward(const Tensor& x, Ctx& ctx) const override;
  std::unique_ptr<Model> clone() const override { return std::make_unique<MlpNet>(*this); }
  std::string arch() const override;
  void visit(Visitor& v) override;
};

}  // namespace retort

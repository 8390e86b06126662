// distill/objectives/heads/alignment.h -- heads that bring a student's features to a teacher's sizes.
#pragma once
#include <optional>

#include "distill/objectives/net.h"
#include "nn/layers/conv2d.h"
#include "nn/layers/dropout.h"
#include "nn/layers/linear.h"
#include "nn/layers/norm.h"

namespace retort {

/// A head whose copies are plain copies of the struct.
template <class Self>
struct CopyableHead : HeadModule {
  std::unique_ptr<HeadModule> clone() const override { return std::make_unique<Self>(static_cast<const Self&>(*this)); }
};

/// A 1x1 convolution without bias for every map [c, h, w] of a list onto the width of its counterpart, then batch norm
/// where asked for.
struct ConvEach final : CopyableHead<ConvEach> {
  std::vector<Conv2d> convs;
  std::vector<BatchNorm2d> norms;  ///< empty: none
  ConvEach(const std::vector<Shape>& from, const std::vector<Shape>& to, bool norm);
  Tensors forward(const Tensors& in, Ctx& ctx) const override;
  void visit(Visitor& v) override;
};

/// One linear map, shared by every tensor [.., from] of a list -> [.., to]. With `unit` the results have unit length.
struct SharedLinear final : CopyableHead<SharedLinear> {
  Linear map;
  bool unit;
  SharedLinear(std::int64_t from, std::int64_t to, bool unit_results = false) : map(from, to), unit(unit_results) {}
  Tensors forward(const Tensors& in, Ctx& ctx) const override;
  void visit(Visitor& v) override { v("map", map); }
};

/// The mean of several projectors relu(W_i x + b_i) (PEFD, Chen et al. 2022): [from] -> [to].
struct ProjectorEnsemble final : CopyableHead<ProjectorEnsemble> {
  std::vector<Linear> maps;
  ProjectorEnsemble(std::int64_t from, std::int64_t to, int count);
  Tensors forward(const Tensors& in, Ctx& ctx) const override;
  void visit(Visitor& v) override { v("maps", maps); }
};

/// Batch norm, dropout of one half, a linear map; nothing at all where widths agree (KD++, Wang et al. 2023).
struct NormedLinear final : CopyableHead<NormedLinear> {
  std::optional<BatchNorm2d> norm;
  Dropout dropout;
  std::optional<Linear> map;
  NormedLinear(std::int64_t from, std::int64_t to);
  Tensors forward(const Tensors& in, Ctx& ctx) const override;
  void visit(Visitor& v) override;
};

/// A convolutional bottleneck (1x1, 3x3, 1x1, each with batch norm and ReLU, width to / 2) onto the teacher's last map,
/// then the teacher's own classifier on its mean over positions, fixed: the results are the map and the logits (SimKD,
/// Chen et al. 2022). A map larger than the teacher's is pooled first.
struct ReusedClassifier final : CopyableHead<ReusedClassifier> {
  std::vector<Conv2d> convs;
  std::vector<BatchNorm2d> norms;
  Buffer weight, bias;  ///< of the classifier
  std::int64_t height, width;
  ReusedClassifier(const Shape& from, const Shape& to, const Tensor& classifier_weight, const Tensor& classifier_bias);
  Tensors forward(const Tensors& in, Ctx& ctx) const override;
  void visit(Visitor& v) override;
};

}  // namespace retort

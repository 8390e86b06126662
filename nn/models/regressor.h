// nn/models/regressor.h -- heads that map a student's tap onto a teacher's.
#pragma once
#include "nn/layers/conv2d.h"
#include "nn/layers/linear.h"
#include "nn/layers/norm.h"
#include "nn/model.h"

namespace retort {

/// FitNet's regressor (Romero et al. 2015, in the form of later toolkits): one convolution that changes channels and
/// extent, then batch norm and ReLU. From [c, h, w] to [c', h', w']: equal extents 1x1; half of it 3x3 stride 2;
/// smaller by d a kernel of 1 + d without padding. Throws ShapeError for other pairs.
struct ConvRegressor final : Model {
  Shape from, to;
  Conv2d conv;
  BatchNorm2d norm;
  ConvRegressor(const Shape& from_shape, const Shape& to_shape);
  Tensor forward(const Tensor& x, Ctx& ctx) const override;
  std::unique_ptr<Model> clone() const override { return std::make_unique<ConvRegressor>(*this); }
  std::string arch() const override;
  void visit(Visitor& v) override;
};

/// [from] -> [to] by one linear map.
struct LinearRegressor final : Model {
  std::int64_t from, to;
  Linear map;
  LinearRegressor(std::int64_t from_width, std::int64_t to_width)
      : from(from_width), to(to_width), map(from_width, to_width) {}
  Tensor forward(const Tensor& x, Ctx& ctx) const override { return map(x, ctx); }
  std::unique_ptr<Model> clone() const override { return std::make_unique<LinearRegressor>(*this); }
  std::string arch() const override;
  void visit(Visitor& v) override { v("map", map); }
};

}  // namespace retort

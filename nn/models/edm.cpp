#include "nn/models/edm.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/shape.h"

namespace retort {

EdmDenoiser::EdmDenoiser(std::unique_ptr<Denoiser> inner, double data_deviation)
    : sigma_data(data_deviation), net(std::move(inner)) {
  if (!(sigma_data > 0)) throw ConfigError("edm: sigma_data is a standard deviation; got {}", sigma_data);
  name_modules(*this);
}

Tensor EdmDenoiser::forward(const Tensor& x, const Conditions& given, Ctx& ctx) const {
  if (x.rank() < 1 || !given.t.defined() || !(given.t.shape() == Shape{x.size(0)}))
    throw ShapeError("edm: needs a sigma for each of the samples {}; got {}", x.str(),
                     given.t.defined() ? given.t.str() : "none");
  if (given.s.defined()) throw ConfigError("edm: it takes one time; got an end time {}", given.s.str());
  Shape column = Shape::filled(x.rank(), 1);
  column[0] = x.size(0);
  const Tensor sigma = cast(given.t, x.dtype());
  const Tensor total = square(sigma) + sigma_data * sigma_data, root = sqrt(total);
  const Tensor c_skip = sigma_data * sigma_data / total, c_out = sigma * sigma_data / root;
  Conditions inner = given;
  inner.t = log(sigma) * 0.25;
  const Tensor f = net->forward(x / reshape(root, column), inner, ctx);
  if (!f.defined()) return {};
  return reshape(c_skip, column) * x + reshape(c_out, column) * f;
}

std::string EdmDenoiser::arch() const { return fmt::format("edm(net={} sigma_data={})", net->arch(), sigma_data); }

}  // namespace retort

#include "distill/train/shared_heads.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/shape.h"
#include "nn/models/exit_branch.h"

namespace retort {

namespace {
class Discriminator final : public HeadModule {
 public:
  Discriminator(std::int64_t classes, bool reverse) : reverse_(reverse) {
    const std::int64_t middle = std::max<std::int64_t>(classes / 8, 2), low = std::max<std::int64_t>(classes / 64, 2);
    layers_.emplace_back(classes, middle);
    layers_.emplace_back(middle, low);
    layers_.emplace_back(low, 2);
  }
  Tensors forward(const Tensors& in, Ctx& ctx) const override {
    const Tensor own = reverse_ ? stop_gradient(in.at(0)) * 2.0 - in[0] : in.at(0);
    Tensor others = in.at(1);
    for (std::size_t k = 2; k < in.size(); ++k) others = others + in[k];
    return {answer(own, ctx), answer(others / static_cast<double>(in.size() - 1), ctx)};
  }
  std::unique_ptr<HeadModule> clone() const override { return std::make_unique<Discriminator>(*this); }
  void visit(Visitor& v) override { v("layers", layers_); }

 private:
  Tensor answer(Tensor z, Ctx& ctx) const {
    for (const Linear& layer : layers_) z = relu(layer(z, ctx));
    return z;
  }

  std::vector<Linear> layers_;
  bool reverse_;
};

class Prototypes final : public HeadModule {
 public:
  Prototypes(std::int64_t from, std::int64_t width, std::int64_t count, std::int64_t classes)
      : project_(from, width, 1), inject_(width, width), classifier_(width, classes) {
    bank_ = Parameter({count, width}, Init::normal(1));
  }
  Tensors forward(const Tensors& in, Ctx& ctx) const override {
    const Tensor own = project_(in.at(0), ctx), found = inject_(nearest(own, ctx), ctx);
    const Tensor enriched = own + as_map(found, own);
    return {as_map(nearest(in.at(1), ctx), in[1]), enriched, classifier_(global_average(enriched), ctx)};
  }
  std::unique_ptr<HeadModule> clone() const override { return std::make_unique<Prototypes>(*this); }
  void visit(Visitor& v) override {
    v("bank", bank_);
    v("project", project_);
    v("inject", inject_);
    v("classifier", classifier_);
  }

 private:
  /// [n, d, h, w] -> [n, h w, d]: every position as the bank describes it.
  Tensor nearest(const Tensor& map, Ctx& ctx) const {
    const Tensor positions = transpose(reshape(map, {map.size(0), map.size(1), -1}), 1, 2), bank = ctx(bank_);
    const double scale = 1 / std::sqrt(static_cast<double>(map.size(1)));
    return matmul(softmax(matmul(positions, bank, false, true) * scale, 2), bank);
  }
  static Tensor as_map(const Tensor& positions, const Tensor& like) {
    return reshape(transpose(positions, 1, 2), like.shape());
  }

  Parameter bank_;
  Conv2d project_;
  Linear inject_;
  Linear classifier_;
};

class FixedNorm final : public HeadModule {
 public:
  FixedNorm(const Tensor& weight, const Tensor& bias) : weight_(weight), bias_(bias) {}
  Tensors forward(const Tensors& in, Ctx&) const override {
    Tensors out;
    for (const Tensor& x : in) out.push_back(layer_norm(x, weight_.value, bias_.value));
    return out;
  }
  std::unique_ptr<HeadModule> clone() const override { return std::make_unique<FixedNorm>(*this); }
  void visit(Visitor& v) override {
    v("weight", weight_);
    v("bias", bias_);
  }

 private:
  Buffer weight_, bias_;
};
}  // namespace

std::unique_ptr<HeadModule> build_discriminator(CallArgs& args, const Call& call, const HeadSizes& sizes) {
  if (sizes.from.size() < 2)
    call.fail("expected the role's output and with=ROLE, the teacher whose logits it sees too");
  for (const Shape& shape : sizes.from)
    if (shape.rank() != 1 || shape[0] != sizes.from[0][0])
      throw ShapeError("discriminator: expected logits of the same classes; got {} and {}", sizes.from[0].str(),
                       shape.str());
  const std::string reverse = args.word("reverse", "false");
  if (reverse != "true" && reverse != "false") call.fail("reverse is true or false");
  return std::make_unique<Discriminator>(sizes.from[0][0], reverse == "true");
}

std::unique_ptr<HeadModule> build_prototypes(CallArgs& args, const Call& call, const HeadSizes& sizes) {
  if (sizes.from.size() != 2 || sizes.from[0].rank() != 3 || sizes.from[1].rank() != 3)
    call.fail("expected one feature map and with=ROLE.TAP, the one that the prototypes describe");
  return std::make_unique<Prototypes>(sizes.from[0][0], sizes.from[1][0], args.integer("count", 8, {.min = 1}),
                                      sizes.classes);
}

std::unique_ptr<HeadModule> build_fixed_norm(CallArgs& args, const Call& call, const HeadSizes& sizes) {
  if (sizes.from.empty()) call.fail("name the taps it reads");
  const std::string norm = args.word("norm");
  return std::make_unique<FixedNorm>(sizes.value(norm + ".weight"), sizes.value(norm + ".bias"));
}

}  // namespace retort

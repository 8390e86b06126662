#include "distill/train/head_table.h"
#include "distill/train/logit_heads.h"
#include "distill/train/shared_heads.h"
#include "nn/models/regressor.h"

namespace retort {

namespace {
/// A network of one input and one output as a head.
class ModelHead final : public HeadModule {
 public:
  explicit ModelHead(std::unique_ptr<Model> model) : model_(std::move(model)) {}
  Tensors forward(const Tensors& in, Ctx& ctx) const override { return {model_->forward(in.at(0), ctx)}; }
  std::unique_ptr<HeadModule> clone() const override { return std::make_unique<ModelHead>(model_->clone()); }
  void visit(Visitor& v) override { model_->visit(v); }

 private:
  std::unique_ptr<Model> model_;
};

std::unique_ptr<HeadModule> head_of(std::unique_ptr<Model> model) {
  return std::make_unique<ModelHead>(std::move(model));
}

std::unique_ptr<HeadModule> conv_reg(CallArgs&, const Call& call, const HeadSizes& sizes) {
  expect(call, sizes, 1, 1);
  return head_of(std::make_unique<ConvRegressor>(sizes.from[0], sizes.like[0]));
}

std::unique_ptr<HeadModule> linear(CallArgs&, const Call& call, const HeadSizes& sizes) {
  expect(call, sizes, 1, 1);
  const Shape &from = sizes.from[0], &to = sizes.like[0];
  if (from.rank() != 1 || to.rank() != 1)
    throw ShapeError("linear head: expected two vectors; got {} and {}", from.str(), to.str());
  return head_of(std::make_unique<LinearRegressor>(from[0], to[0]));
}
}  // namespace

void expect(const Call& call, const HeadSizes& sizes, std::size_t inputs, std::size_t like) {
  if (sizes.from.size() != inputs) call.fail(fmt::format("expected {} taps; got {}", inputs, sizes.from.size()));
  if (sizes.like.size() != like)
    call.fail(like == 0 ? "takes no like=" : "expected like=ROLE.TAP, or like=ROLE for several taps");
}

std::unique_ptr<HeadModule> build_head(CallArgs& args, const Call& call, const HeadSizes& sizes) {
  static const HeadTable table = [] {
    HeadTable all{{"conv_reg", conv_reg},
                  {"linear", linear},
                  {"classifier", build_classifier},
                  {"exits", build_exits},
                  {"discriminator", build_discriminator},
                  {"prototypes", build_prototypes},
                  {"fixed_norm", build_fixed_norm}};
    for (const HeadTable* more : {&feature_heads(), &discriminator_heads()}) all.insert(more->begin(), more->end());
    return all;
  }();
  auto head = lookup(table, call, "head")(args, call, sizes);
  name_modules(*head);
  return head;
}

}  // namespace retort

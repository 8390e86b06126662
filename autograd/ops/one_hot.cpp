// autograd/ops/one_hot.cpp -- one_hot(ids, classes): 1 at each id, 0 elsewhere.
#include "autograd/ops/create.h"
#include "autograd/rule.h"
#include "tensor/attrs.h"

namespace retort {

namespace {
struct OneHot : NonDifferentiable<OneHot> {
  static constexpr std::string_view name = "one_hot";
  static void infer(InferCall& call) {
    const auto& a = call.attrs.as<OneHotAttrs>();
    infer::require_index(call, 0);
    Shape shape = call.in[0].shape();
    shape.push_back(a.classes);
    call.output(shape, a.dtype);
  }
};
REGISTER_OP(OneHot);
}  // namespace

Tensor one_hot(const Tensor& ids, std::int64_t classes, DType dtype) {
  return apply_with<OneHot>(AttrBox::of(OneHotAttrs{classes, dtype}), ids);
}

}  // namespace retort

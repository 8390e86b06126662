#include "distill/objectives/heads/token_mlp.h"

#include "autograd/ops/elementwise.h"

namespace retort {

TokenMlp::TokenMlp(std::int64_t from, std::int64_t to, int layers) : last(from, to) {
  for (int i = 0; i < layers; ++i) {
    maps.emplace_back(from, from);
    norms.emplace_back(from, 1e-5, i + 1 < layers);
  }
}

Tensors TokenMlp::forward(const Tensors& in, Ctx& ctx) const {
  Tensors out;
  for (Tensor h : in) {
    for (std::size_t i = 0; i < maps.size(); ++i) h = gelu(norms[i](maps[i](h, ctx), ctx));
    out.push_back(last(h, ctx));
  }
  return out;
}

void TokenMlp::visit(Visitor& v) {
  v("maps", maps);
  v("norms", norms);
  v("last", last);
}

}  // namespace retort

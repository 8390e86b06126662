// distill/objectives/heads/token_mlp.h -- a perceptron over every token.
#pragma once
#include "distill/objectives/heads/alignment.h"

namespace retort {

/// `layers` times a linear map of the same width, layer norm (the last without scale and shift) and GELU, then a linear
/// map (DMJD, Ma et al. 2023, 2301.00230): [.., from] -> [.., to].
struct TokenMlp final : CopyableHead<TokenMlp> {
  std::vector<Linear> maps;
  std::vector<LayerNorm> norms;
  Linear last;
  TokenMlp(std::int64_t from, std::int64_t to, int layers);
  Tensors forward(const Tensors& in, Ctx& ctx) const override;
  void visit(Visitor& v) override;
};

}  // namespace retort

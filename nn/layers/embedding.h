// nn/layers/embedding.h -- rows of a learned table.
#pragma once
#include "autograd/ops/index.h"
#include "nn/context.h"
#include "tensor/transfer.h"

namespace retort {

/// ids i64 [..] in [0, entries) -> [.., width]; weight [entries, width], starts from a normal law of deviation `std`.
/// Throws ValueError for an id outside the table. Ids may lie on the host: they are copied to where the table is.
struct Embedding : Module {
  Parameter weight;
  Embedding(std::int64_t entries, std::int64_t width, double std = 0.02)
      : weight({entries, width}, Init::normal(std)) {}
  Tensor operator()(const Tensor& ids, Ctx& ctx) const {
    return embedding(ctx(weight), to(ids, weight.value.device()));
  }
  void visit(Visitor& v) override { v("weight", weight); }
};

}  // namespace retort

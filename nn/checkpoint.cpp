#include "nn/checkpoint.h"

#include "autograd/checkpoint.h"

namespace retort {

namespace {
bool is_inside(const std::string& path, const std::string& block) {
  return block.empty() || path == block || path.starts_with(block + ".");
}
}  // namespace

Tensor checkpoint(const Module& block, BlockForward forward, const Tensor& x, Ctx& ctx) {
  const auto run = [forward = std::move(forward)](std::span<const Tensor> in, Ctx& inner) {
    return forward(in[0], inner);
  };
  return checkpoint(block, ManyForward(run), std::span(&x, 1), ctx);
}

Tensor checkpoint(const Module& block, ManyForward forward, std::span<const Tensor> given, Ctx& ctx) {
  Tensors inputs(given.begin(), given.end());
  const std::size_t count = given.size();
  std::vector<const Parameter*> owners;
  // visit is non-const because most visitors write; parameters are only read here.
  for (const auto& [name, p] : parameters_of(const_cast<Module&>(block))) {
    owners.push_back(p);
    inputs.push_back(ctx(*p));
  }
  Ctx inner = ctx;
  inner.wanted.clear();
  inner.tapped.clear();
  inner.stop_after_taps = false;
  inner.recompute = false;  // once is enough: regions inside this one would run three times
  std::vector<std::size_t> taps;
  for (std::size_t i = 0; i < ctx.wanted.size(); ++i)
    if (is_inside(ctx.wanted[i].path, block.path())) {
      taps.push_back(i);
      inner.wanted.push_back(ctx.wanted[i]);
    }
  // A tied parameter from outside the block still resolves to its tracked value, which the op then refuses: reading its
  // plain value instead would lose its gradient without a word.
  const ParamValues outside = ctx.substitute ? *ctx.substitute : ParamValues();
  const auto stats = std::make_shared<std::vector<StatUpdate>*>(ctx.stats);
  const auto run = [=](std::span<const Tensor> in) {
    ParamValues values = outside;
    for (std::size_t i = 0; i < owners.size(); ++i) values.insert_or_assign(owners[i], in[count + i]);
    Ctx c = inner;
    c.substitute = &values;
    c.stats = *stats;
    Tensors out{forward(in.first(count), c)};
    c.tapped.resize(c.wanted.size());
    out.insert(out.end(), c.tapped.begin(), c.tapped.end());
    return out;
  };
  Tensors out = checkpoint(CheckpointFunction(run), inputs, taps.size() + 1);
  *stats = nullptr;  // recomputation must not report again
  for (std::size_t i = 0; i < taps.size(); ++i) {
    if (!out[i + 1].defined()) continue;
    ctx.tapped.resize(ctx.wanted.size());
    ctx.tapped[taps[i]] = out[i + 1];
  }
  return out[0];
}

}  // namespace retort

// nn/models/conv_classifier.h -- what convolutional classifiers share: stages of blocks, pooled features, a head.
#pragma once
#include "nn/checkpoint.h"
#include "nn/layers/dropout.h"
#include "nn/layers/linear.h"
#include "nn/model.h"

namespace retort {

/// While it lives, a wanted tap `from` is delivered by the module at `to` instead: where a port of one module is by
/// definition a port of another. One of them stands for as many wanted taps as name `from`.
class TapAlias {
 public:
  TapAlias(Ctx& ctx, const TapId& from, const TapId& to) : ctx_(ctx), asked_(ctx.wanted) {
    for (TapId& id : ctx.wanted)
      if (id == from) id = to;
  }
  ~TapAlias() { ctx_.wanted = asked_; }
  TapAlias(const TapAlias&) = delete;
  TapAlias& operator=(const TapAlias&) = delete;

 private:
  Ctx& ctx_;
  std::vector<TapId> asked_;
};

/// Runs x through `parts` in order, each of which may let go of its input; undefined as soon as ctx is finished. With
/// `recompute` only what goes into a part is stored, and the part runs again in the backward walk.
template <class Part>
Tensor through(const std::vector<Part>& parts, Tensor x, Ctx& ctx, bool recompute = false) {
  for (const Part& part : parts) {
    x = recompute ? checkpoint(part, x, ctx) : part(std::move(x), ctx);
    if (ctx.finished()) return {};
  }
  return x;
}

/// Blocks one after another, usually of one extent, each recomputed with ctx.recompute. Taps: out, and pre_act, which
/// is that of the last block.
template <class Block>
struct Stage : Module {
  std::vector<Block> blocks;
  Tensor operator()(Tensor x, Ctx& ctx) const {
    const TapAlias pre_act(ctx, {path(), "pre_act"}, {blocks.back().path(), "pre_act"});
    const Tensor h = through(blocks, std::move(x), ctx, ctx.recompute);
    if (h.defined()) ctx.tap(*this, "out", h);
    return h;
  }
  void visit(Visitor& v) override { v("blocks", blocks); }
};

/// [n, c, h, w] -> [n, c], the mean over positions. Tap: out.
struct GlobalAverage : Module {
  Tensor operator()(const Tensor& x, Ctx& ctx) const;
  void visit(Visitor&) override {}
};

/// x [n, in, h, w] -> logits [n, classes]: a trunk of convolutions, the mean over positions, dropout, a linear map.
/// Taps: "features" out (the pooled vector), "head" in and out, and those of the trunk.
struct ConvClassifier : Model {
  GlobalAverage features;
  Dropout dropout;
  Linear head;

  ConvClassifier(std::int64_t width, std::int64_t classes, double p = 0) : dropout(p), head(width, classes) {}
  Tensor forward(const Tensor& x, Ctx& ctx) const final;
  void visit(Visitor& v) final;

 protected:
  /// The last feature map [n, width, h', w']; undefined when ctx is finished.
  virtual Tensor trunk(const Tensor& x, Ctx& ctx) const = 0;
  virtual void visit_trunk(Visitor& v) = 0;
};

/// The laws of a head: weight and bias [classes] uniform within 1 / sqrt(width), as PyTorch's linear layers start.
void set_uniform_head(Linear& head);

}  // namespace retort

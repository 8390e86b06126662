// nn/layers/residual.h -- residual blocks of convolutions.
#pragma once
#include <optional>

#include "nn/layers/conv_block.h"

namespace retort {

/// act(body(x) + shortcut(x)), x [n, in, h, w] (He, Zhang, Ren, Sun 2016). The body's blocks run one after another, its
/// last without activation; the shortcut is x itself, one block, or absent (then act(body(x)), as in MobileNetV2 where
/// the shape changes). Taps: pre_act (the sum), out.
struct Residual : Module {
  std::vector<ConvBlock> body;
  std::optional<ConvBlock> shortcut;
  Activation act = Activation::relu;
  bool adds = true;  ///< false: no shortcut of any kind
  Tensor operator()(const Tensor& x, Ctx& ctx) const;
  void visit(Visitor& v) override;
};

/// Two 3x3 convolutions, the first with the stride; the shortcut is a 1x1 convolution where the shape changes.
Residual basic_residual(std::int64_t in, std::int64_t out, std::int64_t stride);
/// 1x1 to `width` channels, 3x3 with the stride, 1x1 to `out` channels; the shortcut as above.
Residual bottleneck_residual(std::int64_t in, std::int64_t width, std::int64_t out, std::int64_t stride);
/// MobileNetV2's block (Sandler et al. 2018): 1x1 to `expanded` channels (left out when `expand` is false, then
/// `expanded` is `in`), 3x3 depthwise with the stride, 1x1 to `out`, nothing after it; x is added where shapes agree.
Residual inverted_residual(std::int64_t in, std::int64_t expanded, std::int64_t out, std::int64_t stride, bool expand,
                           Activation act);

}  // namespace retort

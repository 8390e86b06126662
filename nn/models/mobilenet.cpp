#include "nn/models/mobilenet.h"

namespace retort {

namespace {
struct Row {
  std::int64_t expansion, channels;
  int blocks;
  std::int64_t stride;
};
/// Table 2 of the paper.
constexpr Row kRows[] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                         {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};

std::int64_t scaled(std::int64_t channels, double factor, bool cifar) {
  const double exact = static_cast<double>(channels) * factor;
  if (cifar) {
    if (exact < 1) throw ConfigError("mobilenet_v2_cifar: width {} leaves no channels", factor);
    return static_cast<std::int64_t>(exact);
  }
  // To the nearest multiple of 8, but never down by more than a tenth.
  const std::int64_t rounded = std::max<std::int64_t>(8, static_cast<std::int64_t>(exact + 4) / 8 * 8);
  return static_cast<double>(rounded) < 0.9 * exact ? rounded + 8 : rounded;
}

std::int64_t last_width(const MobileNetV2Config& how) { return scaled(1280, std::max(1.0, how.width), how.cifar); }

Activation act_of(const MobileNetV2Config& how) { return how.cifar ? Activation::relu : Activation::relu6; }
}  // namespace

MobileNetV2::MobileNetV2(const MobileNetV2Config& how)
    : ConvClassifier(last_width(how), how.classes, how.dropout),
      config(how),
      stem(how.in_channels, scaled(32, how.width, how.cifar), {.stride = 2, .act = act_of(how)}),
      tail(scaled(kRows[6].channels, how.width, how.cifar), last_width(how), {.kernel = 1, .act = act_of(how)}) {
  std::int64_t in = scaled(32, how.width, how.cifar);
  for (const Row& row : kRows) {
    const std::int64_t out = scaled(row.channels, how.width, how.cifar);
    std::int64_t stride = how.cifar && row.channels == 24 ? 1 : row.stride;
    auto& blocks = stages.emplace_back().blocks;
    for (int i = 0; i < row.blocks; ++i) {
      blocks.push_back(
          inverted_residual(in, row.expansion * in, out, stride, how.cifar || row.expansion > 1, act_of(how)));
      in = out;
      stride = 1;
    }
  }
  set_kernel_init(*this, he_normal_of_outputs);
  head.weight.init = Init::normal(0.01);
  name_modules(*this);
}

Tensor MobileNetV2::trunk(const Tensor& x, Ctx& ctx) const {
  Tensor h = stem(x, ctx);
  if (ctx.finished()) return {};
  const Tensor y = through(stages, std::move(h), ctx);
  return y.defined() ? tail(y, ctx) : y;
}

void MobileNetV2::visit_trunk(Visitor& v) {
  v("stem", stem);
  v("stages", stages);
  v("tail", tail);
}

std::string MobileNetV2::arch() const {
  return fmt::format("{}(in={} classes={} width={} dropout={})", config.cifar ? "mobilenet_v2_cifar" : "mobilenet_v2",
                     config.in_channels, config.classes, config.width, config.dropout);
}

}  // namespace retort

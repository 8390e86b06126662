// distill/data/mix.cpp -- mixup and CutMix.
#include "distill/data/mix.h"

#include <algorithm>
#include <cmath>

#include "tensor/error.h"

namespace retort {
namespace {

/// The logarithm of a Gamma(alpha, 1) number; different samples are independent.
double draw_log_gamma(double alpha, RngKey key, std::uint64_t sample) {
  // Below 1 the method works on alpha + 1 and comes down by U^(1 / alpha).
  const bool boosted = alpha < 1;
  const double d = (boosted ? alpha + 1 : alpha) - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  for (;; ++key.attempt) {
    double normal = 0, uniform[2];
    fill_normal(std::span(&normal, 1), key, sample, 0);
    fill_uniform(std::span(uniform), key, sample, 4);
    for (double& u : uniform) u += 0x1p-25;  // the middle of the grid's cell: the logarithm is finite
    const double v = std::pow(1 + c * normal, 3);
    if (v <= 0 || std::log(uniform[0]) >= 0.5 * normal * normal + d * (1 - v + std::log(v))) continue;
    return std::log(d * v) + (boosted ? std::log(uniform[1]) / alpha : 0);
  }
}

/// The elements of sample 0 that decide about a step; samples 1 and 2 are for the Beta draw. Whole numbers start at 1
/// (see AugmentDraw).
enum Element : std::uint64_t { kChoice = 0, kShift = 1, kBoxY = 2, kBoxX = 3 };

}  // namespace

Box clipped_box(int y, int x, int height, int width, const FloatImage& image) {
  const int top = y - height / 2, left = x - width / 2;
  const int bottom = std::min(top + height, image.height), right = std::min(left + width, image.width);
  Box box{std::max(top, 0), std::max(left, 0), 0, 0};
  box.height = std::max(0, bottom - box.top);
  box.width = std::max(0, right - box.left);
  return box;
}

double draw_beta(double alpha, const RngKey& key) {
  if (!(alpha > 0)) throw ValueError("draw_beta: alpha must be positive; got {}", alpha);
  return 1 / (1 + std::exp(draw_log_gamma(alpha, key, 2) - draw_log_gamma(alpha, key, 1)));
}

MixDraw draw_mix(const Mixing& mixing, const RngKey& key, std::int64_t batch, const FloatImage& image) {
  MixDraw draw;
  if (!mixing.enabled()) return draw;
  if (batch < 2) throw ValueError("mixup, cutmix: a global batch needs two images to mix; got {}", batch);
  double choice = 0;
  fill_uniform(std::span(&choice, 1), key, 0, kChoice);
  const double mixup = mixing.mixup ? mixing.mixup->p : 0, cutmix = mixing.cutmix ? mixing.cutmix->p : 0;
  if (choice >= mixup + cutmix) return draw;
  draw.kind = choice < mixup ? MixDraw::Kind::mixup : MixDraw::Kind::cutmix;
  draw.shift = 1 + static_cast<std::int64_t>(uniform_int(key, 0, kShift, static_cast<std::uint64_t>(batch - 1)));
  if (draw.kind == MixDraw::Kind::mixup) {
    draw.lambda = static_cast<float>(draw_beta(mixing.mixup->alpha, key));
    return draw;
  }
  const double side = std::sqrt(1 - draw_beta(mixing.cutmix->alpha, key));
  const int y = static_cast<int>(uniform_int(key, 0, kBoxY, static_cast<std::uint64_t>(image.height)));
  const int x = static_cast<int>(uniform_int(key, 0, kBoxX, static_cast<std::uint64_t>(image.width)));
  draw.box = clipped_box(y, x, static_cast<int>(side * image.height), static_cast<int>(side * image.width), image);
  const double area = static_cast<double>(draw.box.height) * draw.box.width;
  draw.lambda = static_cast<float>(1 - area / (static_cast<double>(image.height) * image.width));
  return draw;
}

void mix(FloatImage image, const float* partner, const MixDraw& draw) {
  if (draw.kind == MixDraw::Kind::mixup) {
    const float own = draw.lambda, other = 1 - draw.lambda;
    for (std::size_t i = 0; i < image.size(); ++i) image.pixels[i] = own * image.pixels[i] + other * partner[i];
  } else if (draw.kind == MixDraw::Kind::cutmix) {
    const std::ptrdiff_t pitch = std::ptrdiff_t{image.width} * image.channels;
    for (int y = draw.box.top; y < draw.box.top + draw.box.height; ++y) {
      const std::ptrdiff_t at = y * pitch + std::ptrdiff_t{draw.box.left} * image.channels;
      std::copy_n(partner + at, std::ptrdiff_t{draw.box.width} * image.channels, image.pixels + at);
    }
  }
}

}  // namespace retort

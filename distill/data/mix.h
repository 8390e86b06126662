// distill/data/mix.h -- mixup and CutMix: each image of a batch blended with another one of the same batch.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>

#include "tensor/rng.h"

namespace retort {

/// A float image in somebody's memory: rows from the top, `channels` interleaved values a pixel.
struct FloatImage {
  float* pixels = nullptr;
  int height = 0, width = 0, channels = 0;
  std::size_t size() const {
    return static_cast<std::size_t>(height) * static_cast<std::size_t>(width) * static_cast<std::size_t>(channels);
  }
};

struct Box {
  int top = 0, left = 0, height = 0, width = 0;
  bool operator==(const Box&) const = default;
};
/// The rectangle of `height` x `width` whose pixel (height / 2, width / 2) is (y, x), clipped to the image.
Box clipped_box(int y, int x, int height, int width, const FloatImage& image);

/// mixup(alpha=1 p=1), Zhang et al. 2018: x = lambda x + (1 - lambda) x', with lambda from Beta(alpha, alpha).
/// cutmix(alpha=1 p=1), Yun et al. 2019: a box of the partner covering 1 - lambda of the image is pasted over.
/// As in both papers' programs, a whole global batch shares one lambda, and one box. A step takes either with its
/// probability p, never both: the sum of the two is at most 1.
struct Mixing {
  struct Rule {
    double alpha = 1, p = 0;
  };
  std::optional<Rule> mixup, cutmix;
  bool enabled() const { return mixup || cutmix; }
};

/// What happens to the batch of one step.
struct MixDraw {
  enum class Kind { none, mixup, cutmix };
  Kind kind = Kind::none;
  float lambda = 1;        ///< weight of the image's own label; for cutmix 1 - area(box) / area(image), exactly
  Box box;                 ///< cutmix: what is taken from the partner
  std::int64_t shift = 0;  ///< the partner of row r is row (r + shift) % batch: never itself, each row once

  std::int64_t partner(std::int64_t row, std::int64_t batch) const { return (row + shift) % batch; }
};

/// A pure function of its arguments. `key` carries the step; `batch` is the global batch, at least 2; pixels of `image`
/// are not read.
MixDraw draw_mix(const Mixing& mixing, const RngKey& key, std::int64_t batch, const FloatImage& image);

/// Applies the draw to one image; `partner` holds an image of the same size.
void mix(FloatImage image, const float* partner, const MixDraw& draw);

/// One number from the symmetric Beta distribution, alpha > 0, as the ratio of two Gamma draws (Marsaglia and Tsang
/// 2000), in logarithms so that small alphas do not underflow. It takes samples 1 and 2 of the key.
double draw_beta(double alpha, const RngKey& key);

}  // namespace retort

// distill/data/augment.h -- random changes of one image, each a pure function of (seed, name, step, row of the batch).
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "distill/data/mix.h"
#include "distill/train/config.h"
#include "tensor/rng.h"
#include "tensor/shape.h"

namespace retort {

/// What an augmentation knows besides the pixels: its own stream of random numbers at this step, the row in the global
/// batch, and the data set's mean colour.
struct AugmentDraw {
  RngKey key;
  std::uint64_t row = 0;
  std::span<const float> mean;

  /// Uniform in [0, 1) and whole number in [0, bound). Both read the same random words: an augmentation that wants both
  /// has elements 0 to 3 for uniforms and from 1 on for whole numbers.
  float uniform(std::uint64_t element) const;
  int integer(std::uint64_t element, int bound) const;
};

// The augmentations. Images come in with values in [0, 1], before normalisation.

/// flip(p): mirrors left and right with probability p.
struct Flip {
  static constexpr const char* name = "flip";
  double p = 0.5;
  void operator()(FloatImage image, const AugmentDraw& draw) const;
};

/// What lies outside an image: black (0), or the image mirrored at its outermost pixels, which are not repeated.
enum class Padding { black, reflect };

/// crop(pad padding=black|reflect): pads every side by `pad` pixels and cuts the original size out at a random place.
struct PaddedCrop {
  static constexpr const char* name = "crop";
  int pad = 0;
  Padding padding = Padding::black;
  void operator()(FloatImage image, const AugmentDraw& draw) const;
};

/// cutout(size p=1 fill=mean|black): with probability p a square around a uniformly drawn pixel, clipped at the border,
/// takes the data set's mean colour (0 after normalisation, as in DeVries and Taylor 2017) or black.
struct Cutout {
  static constexpr const char* name = "cutout";
  enum class Fill { mean, black };
  int size = 0;
  double p = 1;
  Fill fill = Fill::mean;
  void operator()(FloatImage image, const AugmentDraw& draw) const;
};

/// jitter(brightness=0 contrast=0 saturation=0 hue=0 p=1): with probability p, in this order, factors uniform in
/// [max(0, 1 - a), 1 + a] and a turn of the hue uniform in [-hue, hue] (1 is the full circle; hue <= 0.5). Every step
/// clamps to [0, 1]. Saturation and hue leave gray images as they are.
struct ColourJitter {
  static constexpr const char* name = "jitter";
  double brightness = 0, contrast = 0, saturation = 0, hue = 0, p = 1;
  void operator()(FloatImage image, const AugmentDraw& draw) const;
};

using Augmentation = std::variant<Flip, PaddedCrop, Cutout, ColourJitter>;

/// A job's `augment` list: what happens to each image, in order, and then to the batch.
struct AugmentPlan {
  std::vector<Augmentation> images;
  Mixing mixing;
};

/// Reads a list of calls, `[flip(p=0.5), crop(pad=2), cutout(size=8 p=0.5), mixup(alpha=0.2 p=0.5)]`; null is the empty
/// plan. Throws ConfigError.
AugmentPlan parse_augment(Config& list);

/// A list of augmentations with their streams: the n-th of a kind draws from "PREFIX/KIND", "PREFIX/KIND.2", ..., so
/// adding one of another kind changes no draw of the rest.
class Augmenter {
 public:
  /// Throws ValueError when an augmentation does not suit images of `image_shape` [C, H, W].
  Augmenter(std::vector<Augmentation> list, const Rng& rng, const std::string& prefix, const Shape& image_shape,
            std::vector<float> mean);
  void operator()(FloatImage image, std::uint32_t step, std::uint64_t row) const;

 private:
  std::vector<Augmentation> list_;
  std::vector<RngKey> keys_;
  std::vector<float> mean_;
};

// The changes themselves, without chance.

void flip_horizontal(FloatImage image);
/// Pixel (y, x) becomes what was at (y + dy, x + dx). Padding::reflect needs |dy| < height and |dx| < width.
void shift(FloatImage image, int dy, int dx, Padding padding);
/// Paints the box, which lies inside the image, in one colour of `channels` values.
void fill_box(FloatImage image, const Box& box, std::span<const float> colour);
/// Multiplies by `factor`.
void adjust_brightness(FloatImage image, float factor);
/// mean + factor (v - mean), with the mean of the image's luma (0.299 R + 0.587 G + 0.114 B).
void adjust_contrast(FloatImage image, float factor);
/// luma + factor (v - luma), pixel by pixel; gray images stay.
void adjust_saturation(FloatImage image, float factor);
/// Adds `turn` (1 is the full circle) to the hue of the HSV hexagon; gray images stay.
void adjust_hue(FloatImage image, float turn);

}  // namespace retort

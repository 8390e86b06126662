// tests/distill/toy_images.h -- a small data set whose images tell their index.
#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "distill/data/dataset.h"

namespace retort::test {

/// `count` images of [channels, height, width]; image i has byte (31 i + 7 y + 3 x + c) % 251 at (y, x, c), label i
/// % 3.
class ToyImages : public Dataset {
 public:
  ToyImages(std::int64_t count, Shape image_shape) : Dataset(count, image_shape, {"a", "b", "c"}) {}
  static std::uint8_t byte(std::int64_t i, std::int64_t y, std::int64_t x, std::int64_t c) {
    return static_cast<std::uint8_t>((31 * i + 7 * y + 3 * x + c) % 251);
  }

 protected:
  void read_image_at(std::int64_t index, std::span<std::uint8_t> hwc) const override {
    const Shape& s = image_shape();
    std::size_t at = 0;
    for (std::int64_t y = 0; y < s[1]; ++y)
      for (std::int64_t x = 0; x < s[2]; ++x)
        for (std::int64_t c = 0; c < s[0]; ++c) hwc[at++] = byte(index, y, x, c);
  }
  int label_at(std::int64_t index) const override { return static_cast<int>(index % 3); }
};

}  // namespace retort::test

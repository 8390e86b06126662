#include "distill/data/image_grid.h"

#include <algorithm>
#include <cmath>

#include "io/image.h"

namespace retort {

std::vector<std::uint8_t> image_grid_png(const Tensor& images, const std::vector<double>& black,
                                         const std::vector<double>& white, std::int64_t columns, int scale) {
  if (images.rank() != 4 || (images.size(1) != 1 && images.size(1) < 3))
    throw ShapeError("image_grid: expected images [n, 1 or 3, h, w]; got {}", images.str());
  const std::int64_t n = images.size(0), stored = images.size(1), channels = stored == 1 ? 1 : 3;
  const std::int64_t h = images.size(2), w = images.size(3), cell_h = h * scale + 1, cell_w = w * scale + 1;
  Image image;
  image.channels = static_cast<int>(channels);
  image.height = static_cast<int>(cell_h * ((n + columns - 1) / columns));
  image.width = static_cast<int>(cell_w * columns);
  image.pixels.assign(static_cast<std::size_t>(image.height) * static_cast<std::size_t>(image.width) *
                          static_cast<std::size_t>(channels),
                      255);
  const std::vector<double> values = images.values();
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t c = 0; c < channels; ++c)
      for (std::int64_t r = 0; r < h * scale; ++r)
        for (std::int64_t k = 0; k < w * scale; ++k) {
          const auto from = static_cast<std::size_t>(((i * stored + c) * h + r / scale) * w + k / scale);
          const auto ch = static_cast<std::size_t>(c);
          const double v = (values[from] - black[ch]) / (white[ch] - black[ch]);
          const std::int64_t row = i / columns * cell_h + r, column = i % columns * cell_w + k;
          image.pixels[static_cast<std::size_t>((row * image.width + column) * channels + c)] =
              static_cast<std::uint8_t>(std::lround(255 * std::min(1.0, std::max(0.0, v))));
        }
  return encode_png(image);
}

}  // namespace retort

// io/resize.cpp -- separable resampling: a table of weights for each axis, down the columns, then along the rows.
#include "io/resize.h"

#include <algorithm>
#include <cmath>

#include "tensor/error.h"

namespace retort {
namespace {

/// For each target position the first source index and `taps` weights (trailing ones may be 0).
struct Weights {
  int taps = 0;
  std::vector<int> first;
  std::vector<float> weight;  ///< [target][taps]
};

double bilinear_weight(double distance, double scale) { return std::max(0.0, 1.0 - std::abs(distance) / scale); }

Weights make_weights(int source, int target, ResizeFilter filter) {
  const double s = static_cast<double>(source) / target, scale = std::max(s, 1.0);
  const double support = filter == ResizeFilter::bilinear ? scale : 0.5 * s;
  Weights w;
  w.taps = std::min(source, static_cast<int>(std::ceil(2 * support)) + 1);
  w.first.resize(static_cast<std::size_t>(target));
  w.weight.resize(static_cast<std::size_t>(target) * static_cast<std::size_t>(w.taps));
  std::vector<double> row(static_cast<std::size_t>(w.taps));
  for (int x = 0; x < target; ++x) {
    const double center = (x + 0.5) * s;
    // The window is moved inside the source rather than cut, so that every row has the same number of taps.
    const int first = std::clamp(static_cast<int>(std::floor(center - support)), 0, source - w.taps);
    double sum = 0;
    for (int t = 0; t < w.taps; ++t) {
      const double i = first + t;
      const double v = filter == ResizeFilter::bilinear
                           ? bilinear_weight(i + 0.5 - center, scale)
                           : std::max(0.0, std::min(i + 1, center + support) - std::max(i, center - support));
      row[static_cast<std::size_t>(t)] = v;
      sum += v;
    }
    w.first[static_cast<std::size_t>(x)] = first;
    float* out = &w.weight[static_cast<std::size_t>(x) * row.size()];
    std::transform(row.begin(), row.end(), out, [sum](double v) { return static_cast<float>(v / sum); });
  }
  return w;
}

/// The weighted sum of `taps` consecutive rows of `n` samples.
void blend_rows(const std::uint8_t* rows, std::size_t n, const float* weight, int taps, float* out) {
  std::fill_n(out, n, 0.0f);
  for (int t = 0; t < taps; ++t) {
    const std::uint8_t* row = rows + static_cast<std::size_t>(t) * n;
    const float w = weight[t];
#pragma omp simd
    for (std::size_t i = 0; i < n; ++i) out[i] += w * static_cast<float>(row[i]);
  }
}

/// One row of `Channels` interleaved values to the target width, rounded to 8 bits. Weights are not negative and sum
/// to 1, so the sum cannot leave 0..255 by as much as one half.
template <int Channels>
void resize_row(const float* in, const Weights& w, std::uint8_t* out) {
  for (std::size_t x = 0; x < w.first.size(); ++x) {
    const float* weight = &w.weight[x * static_cast<std::size_t>(w.taps)];
    const float* from = in + w.first[x] * Channels;
    float sum[Channels] = {};
    for (int t = 0; t < w.taps; ++t)
      for (int c = 0; c < Channels; ++c) sum[c] += weight[t] * from[t * Channels + c];
    for (int c = 0; c < Channels; ++c)
      out[x * Channels + static_cast<std::size_t>(c)] = static_cast<std::uint8_t>(static_cast<int>(sum[c] + 0.5f));
  }
}

std::size_t samples(int width, int height, int channels) {
  return static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * static_cast<std::size_t>(channels);
}

void check_image(std::string_view where, const Image& image) {
  if (image.width < 1 || image.height < 1 || (image.channels != 1 && image.channels != 3) ||
      image.pixels.size() != samples(image.width, image.height, image.channels))
    throw ShapeError("{}: not an image; got {} x {} pixels, {} channels (1 or 3), {} samples", where, image.width,
                     image.height, image.channels, image.pixels.size());
}

}  // namespace

Image resize(const Image& image, int width, int height, ResizeFilter filter) {
  check_image("resize", image);
  if (width < 1 || height < 1 || std::int64_t{width} * height > kMaxImagePixels)
    throw ShapeError("resize: size out of range; got {} x {}, the limit is {} pixels", width, height, kMaxImagePixels);
  if (width == image.width && height == image.height) return image;
  const Weights across = make_weights(image.width, width, filter), down = make_weights(image.height, height, filter);
  const std::size_t in_row = samples(image.width, 1, image.channels), out_row = samples(width, 1, image.channels);
  Image out{width, height, image.channels, std::vector<std::uint8_t>(samples(width, height, image.channels))};
  // Columns first: that pass vectorises over whole rows, needs one row of memory, and leaves fewer rows to the other.
  std::vector<float> blended(in_row);
  for (std::size_t y = 0; y < static_cast<std::size_t>(height); ++y) {
    blend_rows(&image.pixels[static_cast<std::size_t>(down.first[y]) * in_row], in_row,
               &down.weight[y * static_cast<std::size_t>(down.taps)], down.taps, blended.data());
    (image.channels == 1 ? resize_row<1> : resize_row<3>)(blended.data(), across, &out.pixels[y * out_row]);
  }
  return out;
}

Image resize_shorter_side(const Image& image, int size, ResizeFilter filter) {
  check_image("resize_shorter_side", image);
  const std::int64_t shorter = std::min(image.width, image.height), longer = std::max(image.width, image.height);
  const std::int64_t other = std::int64_t{size} * longer / shorter;
  if (size < 1 || other > kMaxImagePixels)
    throw ShapeError("resize_shorter_side: size out of range; got {} for {} x {}", size, image.width, image.height);
  const int long_side = static_cast<int>(other);
  return image.width <= image.height ? resize(image, size, long_side, filter) : resize(image, long_side, size, filter);
}

Image crop(const Image& image, int left, int top, int width, int height) {
  check_image("crop", image);
  if (left < 0 || top < 0 || width < 1 || height < 1 || width > image.width - left || height > image.height - top)
    throw ShapeError("crop: leaves the image; got {} x {} at ({}, {}) of {} x {}", width, height, left, top,
                     image.width, image.height);
  Image out{width, height, image.channels, {}};
  const std::size_t row = samples(width, 1, image.channels);
  out.pixels.reserve(row * static_cast<std::size_t>(height));
  for (int y = top; y < top + height; ++y) {
    const auto from = image.pixels.begin() + static_cast<std::ptrdiff_t>(samples(image.width, y, image.channels) +
                                                                         samples(left, 1, image.channels));
    out.pixels.insert(out.pixels.end(), from, from + static_cast<std::ptrdiff_t>(row));
  }
  return out;
}

Image center_crop(const Image& image, int width, int height) {
  const auto half = [](int n) { return n / 2 + (n % 4 == 3 ? 1 : 0); };
  return crop(image, half(image.width - width), half(image.height - height), width, height);
}

}  // namespace retort

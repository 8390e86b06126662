// distill/data/image_changes.cpp -- what the augmentations do to pixels, without chance.
#include <algorithm>
#include <cmath>
#include <vector>

#include "distill/data/augment.h"

namespace retort {
namespace {

float clamp01(float v) { return std::min(1.0f, std::max(0.0f, v)); }

float luma(const float* rgb) { return 0.299f * rgb[0] + 0.587f * rgb[1] + 0.114f * rgb[2]; }

/// Where pixel `i` of an axis of `n` pixels comes from when it lies outside; -1 for black.
int padded(int i, int n, Padding padding) {
  if (i >= 0 && i < n) return i;
  if (padding == Padding::black) return -1;
  return i < 0 ? -i : 2 * (n - 1) - i;
}

}  // namespace

void flip_horizontal(FloatImage image) {
  const std::ptrdiff_t channels = image.channels, pitch = image.width * channels;
  for (int y = 0; y < image.height; ++y) {
    float* left = image.pixels + y * pitch;
    float* right = left + pitch - channels;
    for (; left < right; left += channels, right -= channels) std::swap_ranges(left, left + channels, right);
  }
}

void shift(FloatImage image, int dy, int dx, Padding padding) {
  if (dy == 0 && dx == 0) return;
  const std::vector<float> before(image.pixels, image.pixels + image.size());
  const std::ptrdiff_t channels = image.channels, pitch = image.width * channels;
  // Columns [inside, outside) come from one stretch of a source row.
  const int inside = std::clamp(-dx, 0, image.width), outside = std::clamp(image.width - dx, inside, image.width);
  for (int y = 0; y < image.height; ++y) {
    float* out = image.pixels + y * pitch;
    const int from_y = padded(y + dy, image.height, padding);
    if (from_y < 0) {
      std::fill_n(out, pitch, 0.0f);
      continue;
    }
    const float* row = before.data() + from_y * pitch;
    std::copy(row + (inside + dx) * channels, row + (outside + dx) * channels, out + inside * channels);
    const auto pad_columns = [&](int first, int last) {
      for (int x = first; x < last; ++x) {
        const int from_x = padded(x + dx, image.width, padding);
        for (std::ptrdiff_t c = 0; c < channels; ++c)
          out[x * channels + c] = from_x < 0 ? 0.0f : row[from_x * channels + c];
      }
    };
    pad_columns(0, inside);
    pad_columns(outside, image.width);
  }
}

void fill_box(FloatImage image, const Box& box, std::span<const float> colour) {
  const std::ptrdiff_t channels = image.channels;
  for (int y = box.top; y < box.top + box.height; ++y) {
    float* pixel = image.pixels + (std::ptrdiff_t{y} * image.width + box.left) * channels;
    for (int x = 0; x < box.width; ++x, pixel += channels) std::copy_n(colour.data(), channels, pixel);
  }
}

void adjust_brightness(FloatImage image, float factor) {
  for (std::size_t i = 0; i < image.size(); ++i) image.pixels[i] = clamp01(image.pixels[i] * factor);
}

void adjust_contrast(FloatImage image, float factor) {
  double sum = 0;
  const std::size_t step = image.channels == 3 ? 3 : 1;
  for (std::size_t i = 0; i < image.size(); i += step)
    sum += static_cast<double>(step == 3 ? luma(image.pixels + i) : image.pixels[i]);
  const auto mean = static_cast<float>(sum / static_cast<double>(image.size() / step));
  for (std::size_t i = 0; i < image.size(); ++i) image.pixels[i] = clamp01(mean + factor * (image.pixels[i] - mean));
}

void adjust_saturation(FloatImage image, float factor) {
  if (image.channels != 3) return;
  for (std::size_t i = 0; i < image.size(); i += 3) {
    float* rgb = image.pixels + i;
    const float gray = luma(rgb);
    for (int c = 0; c < 3; ++c) rgb[c] = clamp01(gray + factor * (rgb[c] - gray));
  }
}

void adjust_hue(FloatImage image, float turn) {
  if (image.channels != 3) return;
  for (std::size_t i = 0; i < image.size(); i += 3) {
    float* rgb = image.pixels + i;
    const float high = std::max({rgb[0], rgb[1], rgb[2]}), low = std::min({rgb[0], rgb[1], rgb[2]});
    const float chroma = high - low;
    if (chroma <= 0) continue;
    // The hue in sixths of the circle, counted from red.
    float hue = rgb[0] == high   ? (rgb[1] - rgb[2]) / chroma
                : rgb[1] == high ? 2 + (rgb[2] - rgb[0]) / chroma
                                 : 4 + (rgb[0] - rgb[1]) / chroma;
    hue += 6 * turn;
    // A channel falls from `high` to `low` with the distance of its own sector: red 5, green 3, blue 1.
    for (int c = 0; c < 3; ++c) {
      float k = std::fmod(static_cast<float>(5 - 2 * c) + hue, 6.0f);
      if (k < 0) k += 6;
      rgb[c] = clamp01(high - chroma * std::max(0.0f, std::min({k, 4 - k, 1.0f})));
    }
  }
}

}  // namespace retort

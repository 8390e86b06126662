#include "distill/data/dsa.h"

#include <cmath>
#include <map>
#include <numbers>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/index.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/train/call.h"

namespace retort {

namespace {
using Op = Dsa::Op;
constexpr double kCrop = 0.125, kCutout = 0.5, kScale = 1.2, kDegrees = 15;

/// One value for each image, as [k, 1, 1, 1], k the number of images or 1.
Tensor column(std::span<const double> values, const Tensor& x) {
  return Tensor::from(values, {static_cast<std::int64_t>(values.size()), 1, 1, 1}, x.dtype());
}

/// Where one output pixel of one image reads: four corners with their weights.
struct Corners {
  std::vector<std::int64_t> index[4];
  std::vector<double> weight[4];
};

void add_pixel(Corners& c, double v, double u, std::int64_t h, std::int64_t w) {
  const double top = std::floor(v), left = std::floor(u), down = v - top, right = u - left;
  for (int k = 0; k < 4; ++k) {
    const double row = top + k / 2, col = left + k % 2;
    const bool inside = row >= 0 && row < static_cast<double>(h) && col >= 0 && col < static_cast<double>(w);
    const double share = (k / 2 ? down : 1 - down) * (k % 2 ? right : 1 - right);
    c.index[k].push_back(inside ? static_cast<std::int64_t>(row) * w + static_cast<std::int64_t>(col) : 0);
    c.weight[k].push_back(inside ? share : 0);
  }
}

/// sum_k weight_k x at index_k: tables for every image, or one for all of them.
Tensor resampled(const Tensor& x, const Corners& c, std::int64_t tables) {
  const std::int64_t n = x.size(0), channels = x.size(1), pixels = x.size(2) * x.size(3);
  const Tensor flat = reshape(x, {n, channels, pixels});
  Tensor sum;
  for (int k = 0; k < 4; ++k) {
    bool empty = true;
    for (const double weight : c.weight[k]) empty = empty && weight == 0;
    if (empty) continue;
    const Tensor index = Tensor::of<std::int64_t>(c.index[k], {tables, 1, pixels});
    const Tensor read = tables == 1 ? index_select(flat, 2, reshape(index, {pixels}))
                                    : gather(flat, 2, contiguous(broadcast_to(index, flat.shape())));
    const Tensor part = read * Tensor::from(c.weight[k], {tables, 1, pixels}, x.dtype());
    sum = sum.defined() ? sum + part : part;
  }
  return sum.defined() ? reshape(sum, x.shape()) : x * 0.0;
}

/// Draws of one call: `count` images, or one that stands for all.
class Draws {
 public:
  Draws(const RngKey& key, const Tensor& samples, bool siamese) : key_(key) {
    if (siamese)
      ids_.push_back(0);
    else
      ids_ = samples.values<std::int64_t>();
  }
  std::vector<double> uniform(std::uint64_t element, double low = 0, double high = 1) const {
    std::vector<double> values;
    for (const std::int64_t id : ids_) {
      double u = 0;
      fill_uniform(std::span(&u, 1), key_, static_cast<std::uint64_t>(id), element);
      values.push_back(low + (high - low) * u);
    }
    return values;
  }
  /// In [low, high].
  std::vector<std::int64_t> integer(std::uint64_t element, std::int64_t low, std::int64_t high) const {
    std::vector<std::int64_t> values;
    const auto bound = static_cast<std::uint64_t>(high - low + 1);
    for (const std::int64_t id : ids_)
      values.push_back(low +
                       static_cast<std::int64_t>(uniform_int(key_, static_cast<std::uint64_t>(id), element, bound)));
    return values;
  }
  std::size_t size() const { return ids_.size(); }

 private:
  RngKey key_;
  std::vector<std::int64_t> ids_;
};

std::vector<double> affine_maps(Op op, const Draws& draw, const Tensor& x) {
  std::vector<double> maps;
  const auto add = [&](std::initializer_list<double> map) { maps.insert(maps.end(), map); };
  const auto h = static_cast<double>(x.size(2)), w = static_cast<double>(x.size(3));
  const auto u = draw.uniform(0), v = draw.uniform(1);
  const auto reach_h = static_cast<std::int64_t>(h * kCrop + 0.5), reach_w = static_cast<std::int64_t>(w * kCrop + 0.5);
  const auto down = draw.integer(8, -reach_h, reach_h), right = draw.integer(16, -reach_w, reach_w);
  const auto factor = [](double unit) { return 1 / kScale + (kScale - 1 / kScale) * unit; };
  for (std::size_t i = 0; i < draw.size(); ++i) {
    const double angle = (2 * u[i] - 1) * kDegrees * std::numbers::pi / 180, c = std::cos(angle), s = std::sin(angle);
    if (op == Op::crop)
      add({1, 0, 2 * static_cast<double>(right[i]) / w, 0, 1, 2 * static_cast<double>(down[i]) / h});
    else if (op == Op::flip)
      add({u[i] < 0.5 ? -1.0 : 1.0, 0, 0, 0, 1, 0});
    else if (op == Op::scale)
      add({factor(u[i]), 0, 0, 0, factor(v[i]), 0});
    else
      add({c, -s, 0, s, c, 0});
  }
  return maps;
}
}  // namespace

std::vector<Op> Dsa::parse(const std::string& strategy, const std::string& where) {
  const std::map<std::string, Op> known{{"color", Op::colour}, {"crop", Op::crop},   {"cutout", Op::cutout},
                                        {"flip", Op::flip},    {"scale", Op::scale}, {"rotate", Op::rotate}};
  std::vector<Op> ops;
  for (std::size_t begin = 0; begin <= strategy.size();) {
    const std::size_t end = std::min(strategy.find('_', begin), strategy.size());
    ops.push_back(lookup(known, Call{strategy.substr(begin, end - begin), {}, where}, "augmentation"));
    begin = end + 1;
  }
  return ops;
}

Tensor dsa_colour(const Tensor& x, std::span<const double> u, std::span<const double> s, std::span<const double> k) {
  Tensor y = x + (column(u, x) - 0.5);
  const Tensor grey = mean(y, {1}, true);
  y = grey + (y - grey) * (column(s, x) * 2.0);
  const Tensor level = mean(y, {1, 2, 3}, true);
  return level + (y - level) * (column(k, x) + 0.5);
}

Tensor dsa_cutout(const Tensor& x, std::int64_t side, std::span<const std::int64_t> row,
                  std::span<const std::int64_t> col) {
  const std::int64_t h = x.size(2), w = x.size(3);
  std::vector<double> mask;
  for (std::size_t i = 0; i < row.size(); ++i)
    for (std::int64_t r = 0; r < h; ++r)
      for (std::int64_t c = 0; c < w; ++c) {
        const std::int64_t top = row[i] - side / 2, left = col[i] - side / 2;
        mask.push_back(r < top || r >= top + side || c < left || c >= left + side);
      }
  return x * Tensor::from(mask, {static_cast<std::int64_t>(row.size()), 1, h, w}, x.dtype());
}

Tensor dsa_affine(const Tensor& x, std::span<const double> maps) {
  const std::int64_t h = x.size(2), w = x.size(3), tables = static_cast<std::int64_t>(maps.size()) / 6;
  const auto height = static_cast<double>(h), width = static_cast<double>(w);
  Corners corners;
  for (std::int64_t t = 0; t < tables; ++t) {
    const auto m = maps.subspan(static_cast<std::size_t>(6 * t), 6);
    for (std::int64_t r = 0; r < h; ++r)
      for (std::int64_t c = 0; c < w; ++c) {
        const double px = (2 * static_cast<double>(c) + 1) / width - 1,
                     py = (2 * static_cast<double>(r) + 1) / height - 1;
        const double sx = m[0] * px + m[1] * py + m[2], sy = m[3] * px + m[4] * py + m[5];
        // Whole shifts and mirrors read pixels, not mixtures that differ from them by rounding.
        const auto snapped = [](double v) { return std::abs(v - std::round(v)) < 1e-9 ? std::round(v) : v; };
        add_pixel(corners, snapped(((sy + 1) * height - 1) / 2), snapped(((sx + 1) * width - 1) / 2), h, w);
      }
  }
  return resampled(x, corners, tables);
}

Tensor Dsa::operator()(const Tensor& x, const RngKey& key, const Tensor& samples) const {
  if (x.meta()) return x * 1.0;
  const Op op = ops[uniform_int(key, kMaxRngSamples - 1, 0, ops.size())];
  const Draws draw(key, samples, siamese);
  const std::int64_t h = x.size(2), w = x.size(3);
  if (op == Op::colour) return dsa_colour(x, draw.uniform(0), draw.uniform(1), draw.uniform(2));
  if (op == Op::cutout) {
    const auto side = static_cast<std::int64_t>(kCutout * static_cast<double>(h) + 0.5);
    return dsa_cutout(x, side, draw.integer(8, 0, h - side % 2), draw.integer(16, 0, w - side % 2));
  }
  return dsa_affine(x, affine_maps(op, draw, x));
}

}  // namespace retort

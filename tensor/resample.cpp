// tensor/resample.cpp -- filters of the resize modes, and their rows.
#include "tensor/resample.h"

#include <algorithm>
#include <cmath>

namespace retort {

namespace {

/// Keys' cubic convolution kernel; a is its slope at 1.
double cubic(double t, double a) {
  t = std::abs(t);
  if (t <= 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
  if (t < 2) return ((t - 5) * t + 8) * t * a - 4 * a;
  return 0;
}
double triangle(double t) { return std::max(0.0, 1 - std::abs(t)); }

std::int64_t nearest(std::int64_t o, std::int64_t in, std::int64_t out, bool centred) {
  return centred ? (2 * o + 1) * in / (2 * out) : o * in / out;
}

/// Weights of the taps around `centre`, those beyond the ends being given to the pixels there.
void add_interpolated(ResampleTable& table, double centre, std::int64_t in, bool is_cubic) {
  const std::int64_t reach = is_cubic ? 2 : 1;
  const auto left = static_cast<std::int64_t>(std::floor(centre)) - reach + 1;
  const auto inside = [in](std::int64_t i) { return std::clamp<std::int64_t>(i, 0, in - 1); };
  const std::int64_t first = inside(left);
  std::vector<double> weights(static_cast<std::size_t>(inside(left + 2 * reach - 1) - first + 1));
  for (std::int64_t i = left; i < left + 2 * reach; ++i) {
    const double t = static_cast<double>(i) - centre;
    weights[static_cast<std::size_t>(inside(i) - first)] += is_cubic ? cubic(t, -0.75) : triangle(t);
  }
  table.add_row(first, weights);
}

/// Weights of all pixels under a filter `stretch` times as wide, rescaled to sum to one.
void add_filtered(ResampleTable& table, double centre, double stretch, std::int64_t in, bool is_cubic) {
  const double support = (is_cubic ? 2.0 : 1.0) * stretch;
  // Pixel i covers [i, i + 1); `centre` is measured from the edge of the image here.
  const auto first = std::max<std::int64_t>(0, static_cast<std::int64_t>(centre - support + 0.5));
  const auto last = std::min(in, static_cast<std::int64_t>(centre + support + 0.5));
  std::vector<double> weights;
  double total = 0;
  for (std::int64_t i = first; i < last; ++i) {
    const double t = (static_cast<double>(i) + 0.5 - centre) / stretch;
    total += weights.emplace_back(is_cubic ? cubic(t, -0.5) : triangle(t));
  }
  for (double& w : weights) w /= total;
  table.add_row(first, weights);
}

}  // namespace

void ResampleTable::add_row(std::int64_t first, const std::vector<double>& weights) {
  std::size_t begin = 0, end = weights.size();
  while (begin < end && weights[begin] == 0) ++begin;
  while (end > begin && weights[end - 1] == 0) --end;
  rows_.push_back({first + static_cast<std::int64_t>(begin), static_cast<std::int64_t>(end - begin), weights_.size()});
  weights_.insert(weights_.end(), weights.begin() + static_cast<std::ptrdiff_t>(begin),
                  weights.begin() + static_cast<std::ptrdiff_t>(end));
}

ResampleTable ResampleTable::transposed(std::int64_t inputs) const {
  // Outputs that see an input are neighbours, but for a few of weight zero: first and last bound them.
  std::vector<std::int64_t> from(static_cast<std::size_t>(inputs), size()), to(static_cast<std::size_t>(inputs), 0);
  for (std::int64_t o = 0; o < size(); ++o)
    for (std::int64_t i = first(o); i < first(o) + count(o); ++i) {
      from[static_cast<std::size_t>(i)] = std::min(from[static_cast<std::size_t>(i)], o);
      to[static_cast<std::size_t>(i)] = o + 1;
    }
  ResampleTable result;
  for (std::int64_t i = 0; i < inputs; ++i) {
    const std::int64_t begin = std::min(from[static_cast<std::size_t>(i)], to[static_cast<std::size_t>(i)]);
    std::vector<double> column;
    for (std::int64_t o = begin; o < to[static_cast<std::size_t>(i)]; ++o) {
      const std::int64_t k = i - first(o);
      column.push_back(k >= 0 && k < count(o) ? weights(o)[k] : 0.0);
    }
    result.add_row(begin, column);
  }
  return result;
}

ResampleTable resample_table(const Resize2dAttrs& attrs, std::int64_t in, std::int64_t out) {
  ResampleTable table;
  const bool is_cubic = attrs.mode == ResizeMode::bicubic;
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double corner_scale = out > 1 ? static_cast<double>(in - 1) / static_cast<double>(out - 1) : 0.0;
  for (std::int64_t o = 0; o < out; ++o) {
    const double at = static_cast<double>(o);
    if (attrs.mode == ResizeMode::nearest || attrs.mode == ResizeMode::nearest_exact)
      table.add_row(nearest(o, in, out, attrs.mode == ResizeMode::nearest_exact), {1.0});
    else if (attrs.antialias)
      add_filtered(table, (at + 0.5) * scale, std::max(scale, 1.0), in, is_cubic);
    else if (attrs.align_corners)
      add_interpolated(table, at * corner_scale, in, is_cubic);
    else
      add_interpolated(table, (at + 0.5) * scale - 0.5, in, is_cubic);
  }
  return table;
}

}  // namespace retort

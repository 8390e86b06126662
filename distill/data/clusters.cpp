#include "distill/data/clusters.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace retort {

namespace {
using Rows = std::vector<std::vector<double>>;

double distance(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum;
}

std::size_t nearest(const std::vector<double>& x, const Rows& centres) {
  std::size_t best = 0;
  for (std::size_t c = 1; c < centres.size(); ++c)
    if (distance(x, centres[c]) < distance(x, centres[best])) best = c;
  return best;
}

/// Each next centre is a row drawn with a chance proportional to its squared distance from those before.
Rows first_centres(const Rows& rows, std::size_t k, const RngKey& key) {
  Rows centres{rows[uniform_int(key, 0, 0, rows.size())]};
  while (centres.size() < k) {
    std::vector<double> reach;
    for (const auto& row : rows) reach.push_back(distance(row, centres[nearest(row, centres)]));
    double u = 0;
    fill_uniform(std::span(&u, 1), key, centres.size());
    double left = u * std::accumulate(reach.begin(), reach.end(), 0.0);
    std::size_t chosen = 0;
    while (chosen + 1 < rows.size() && left >= reach[chosen]) left -= reach[chosen++];
    centres.push_back(rows[chosen]);
  }
  return centres;
}

/// The mean of each centre's rows; a centre without rows stays.
Rows moved(const Rows& rows, const Rows& centres, const std::vector<std::size_t>& owner) {
  Rows next(centres.size(), std::vector<double>(rows[0].size(), 0));
  std::vector<double> count(centres.size(), 0);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    ++count[owner[i]];
    for (std::size_t d = 0; d < rows[i].size(); ++d) next[owner[i]][d] += rows[i][d];
  }
  for (std::size_t c = 0; c < centres.size(); ++c) {
    if (count[c] == 0) next[c] = centres[c];
    for (double& v : next[c]) v /= std::max(count[c], 1.0);
  }
  return next;
}
}  // namespace

std::vector<std::int64_t> nearest_to_centroids(const Tensor& f, std::int64_t k, const RngKey& key) {
  const auto n = static_cast<std::size_t>(f.size(0)), width = static_cast<std::size_t>(f.size(1));
  std::vector<std::int64_t> chosen(n);
  std::iota(chosen.begin(), chosen.end(), 0);
  if (static_cast<std::size_t>(k) >= n) return chosen;
  const std::vector<double> values = f.values();
  Rows rows;
  for (std::size_t i = 0; i < n; ++i) {
    const auto begin = values.begin() + static_cast<std::ptrdiff_t>(i * width);
    rows.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(width));
  }
  Rows centres = first_centres(rows, static_cast<std::size_t>(k), key);
  std::vector<std::size_t> owner(n, 0);
  for (int iteration = 0; iteration < 50; ++iteration) {
    std::vector<std::size_t> next;
    for (const auto& row : rows) next.push_back(nearest(row, centres));
    if (iteration > 0 && next == owner) break;
    owner = std::move(next);
    centres = moved(rows, centres, owner);
  }
  chosen.clear();
  for (const auto& centre : centres) chosen.push_back(static_cast<std::int64_t>(nearest(centre, rows)));
  std::sort(chosen.begin(), chosen.end());
  chosen.erase(std::unique(chosen.begin(), chosen.end()), chosen.end());
  return chosen;
}

}  // namespace retort

#include "distill/text/rewards.h"

#include <algorithm>
#include <numeric>
#include <span>

namespace retort {

namespace {
/// Without the end mark.
std::span<const std::int64_t> words(const TokenIds& response, std::int64_t end) {
  std::span<const std::int64_t> all(response);
  return !all.empty() && all.back() == end ? all.first(all.size() - 1) : all;
}

double contains(const TokenIds& response, const TokenRow& row, std::int64_t end) {
  const auto said = words(response, end);
  return std::search(said.begin(), said.end(), row.answer.begin(), row.answer.end()) != said.end() ? 1 : 0;
}

double exact(const TokenIds& response, const TokenRow& row, std::int64_t end) {
  const auto said = words(response, end);
  const std::size_t n = row.answer.size();
  return said.size() >= n &&
                 std::equal(row.answer.begin(), row.answer.end(), said.end() - static_cast<std::ptrdiff_t>(n))
             ? 1
             : 0;
}

double overlap(const TokenIds& response, const TokenRow& row, std::int64_t) {
  double same = 0;
  for (std::size_t t = 0; t < std::min(response.size(), row.response.size()); ++t)
    same += response[t] == row.response[t];
  return same / static_cast<double>(std::max<std::size_t>(row.response.size(), 1));
}

double closed(const TokenIds& response, const TokenRow&, std::int64_t end) {
  return !response.empty() && response.back() == end ? 1 : 0;
}
}  // namespace

Reward make_reward(const Call& call) {
  static const std::map<std::string, double (*)(const TokenIds&, const TokenRow&, std::int64_t), std::less<>> table{
      {"contains", contains}, {"exact", exact}, {"overlap", overlap}, {"closed", closed}};
  CallArgs args(call);
  if (call.name == "sum") {
    std::vector<Reward> parts;
    for (const Call& part : args.rest()) parts.push_back(make_reward(part));
    args.done();
    return [parts](const TokenIds& response, const TokenRow& row, std::int64_t end) {
      double total = 0;
      for (const Reward& part : parts) total += part(response, row, end);
      return total;
    };
  }
  args.done();
  return lookup(table, call, "reward");
}

std::int64_t edit_distance(const TokenIds& a, const TokenIds& b) {
  std::vector<std::int64_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::int64_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::int64_t corner = std::exchange(row[0], static_cast<std::int64_t>(i));
    for (std::size_t k = 1; k <= b.size(); ++k) {
      const std::int64_t replaced = corner + (a[i - 1] == b[k - 1] ? 0 : 1);
      corner = row[k];
      row[k] = std::min({replaced, row[k] + 1, row[k - 1] + 1});
    }
  }
  return row.back();
}

std::vector<std::size_t> diverse(const std::vector<std::vector<double>>& distance, std::size_t count) {
  const std::size_t n = distance.size();
  std::vector<std::size_t> taken;
  if (n == 0 || count == 0) return taken;
  std::size_t a = 0, b = 0;
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t k = i + 1; k < n; ++k)
      if (distance[i][k] > distance[a][b]) a = i, b = k;
  taken.push_back(a);
  if (count > 1 && n > 1) taken.push_back(b == a ? (a + 1) % n : b);
  while (taken.size() < std::min(count, n)) {
    std::size_t best = n;
    double far = -1;
    for (std::size_t i = 0; i < n; ++i) {
      if (std::find(taken.begin(), taken.end(), i) != taken.end()) continue;
      double nearest = distance[i][taken[0]];
      for (const std::size_t k : taken) nearest = std::min(nearest, distance[i][k]);
      if (nearest > far) far = nearest, best = i;
    }
    taken.push_back(best);
  }
  std::sort(taken.begin(), taken.end());
  return taken;
}

}  // namespace retort

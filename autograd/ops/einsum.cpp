// autograd/ops/einsum.cpp -- einsum as permutations, sums and batched matrix products.
#include "autograd/ops/einsum.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"

namespace retort {

namespace {

/// Labels of axes: letters, or small numbers for the axes of an ellipsis, counted from its end.
using Labels = std::string;
constexpr char kEllipsis = '.';

bool has(const Labels& labels, char label) { return labels.find(label) != Labels::npos; }
Labels kept_if(const Labels& labels, const auto& keep) {
  Labels out;
  std::copy_if(labels.begin(), labels.end(), std::back_inserter(out), keep);
  return out;
}

struct Equation {
  std::vector<Labels> operands;  ///< "..." is one kEllipsis
  std::optional<Labels> result;
};

/// Letters and at most one "..." of one operand or of the result.
Labels parse_term(std::string_view term, std::string_view equation) {
  Labels labels;
  for (std::size_t i = 0; i < term.size(); ++i) {
    const char c = term[i];
    if (c == ' ') continue;
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
      labels += c;
    } else if (term.substr(i, 3) == "..." && !has(labels, kEllipsis)) {
      labels += kEllipsis;
      i += 2;
    } else {
      throw ValueError("einsum: cannot read '{}' in \"{}\"; hint: letters, one \"...\" per operand, commas and \"->\"",
                       c, equation);
    }
  }
  return labels;
}

Equation parse(std::string_view text) {
  Equation e;
  const std::size_t arrow = text.find("->");
  if (arrow != std::string_view::npos) e.result = parse_term(text.substr(arrow + 2), text);
  std::string_view rest = text.substr(0, arrow);
  for (;;) {
    const std::size_t comma = rest.find(',');
    e.operands.push_back(parse_term(rest.substr(0, comma), text));
    if (comma == std::string_view::npos) return e;
    rest.remove_prefix(comma + 1);
  }
}

/// The ellipsis written out as `count` labels of its own, right-aligned with all others.
Labels expanded(const Labels& labels, int count) {
  Labels out;
  for (const char c : labels) {
    if (c != kEllipsis) out += c;
    for (int i = count; c == kEllipsis && i > 0; --i) out += static_cast<char>(i);
  }
  return out;
}

struct Operand {
  Tensor value;
  Labels labels;  ///< one per axis

  int axis_of(char label) const { return static_cast<int>(labels.find(label)); }
  std::int64_t extent(char label) const { return value.size(axis_of(label)); }

  /// Axes in the order of `order`, which names them all.
  void arrange(const Labels& order) {
    if (order == labels) return;
    std::vector<int> axes;
    for (const char c : order) axes.push_back(axis_of(c));
    value = permute(value, Axes(std::span<const int>(axes)));
    labels = order;
  }
  void drop(const Labels& gone) {
    if (gone.empty()) return;
    std::vector<int> axes;
    for (const char c : gone) axes.push_back(axis_of(c));
    value = sum(value, Axes(std::span<const int>(axes)));
    labels = kept_if(labels, [&](char c) { return !has(gone, c); });
  }
};

/// A label that occurs twice: its two axes become the diagonal, a slice of the flattened pair.
void take_diagonals(Operand& x, std::string_view equation) {
  for (std::size_t a = 0; a < x.labels.size();) {
    const std::size_t b = x.labels.find(x.labels[a], a + 1);
    if (b == Labels::npos) {
      ++a;
      continue;
    }
    const int r = x.value.rank();
    const std::int64_t n = x.value.size(static_cast<int>(a));
    if (x.value.size(static_cast<int>(b)) != n)
      throw ShapeError("einsum: '{}' names axes of different extents in one operand of \"{}\"; got {}", x.labels[a],
                       equation, x.value.str());
    const Tensor last = transpose(transpose(x.value, static_cast<int>(b), r - 1), static_cast<int>(a), r - 2);
    std::swap(x.labels[b], x.labels[x.labels.size() - 1]);
    std::swap(x.labels[a], x.labels[x.labels.size() - 2]);
    x.labels.pop_back();
    Shape flat = last.shape();
    flat.erase(r - 1);
    flat[r - 2] = n * n;
    x.value = slice(reshape(last, flat), r - 2, 0, n * n, n + 1);
  }
}

/// The product of two operands with the labels in `kept` left: batched over shared kept ones, summed over shared
/// others. Labels that only one has and nobody keeps are summed before.
Operand contracted(Operand a, Operand b, const Labels& kept) {
  const auto alone = [&](const Labels& mine, const Labels& other) {
    return kept_if(mine, [&](char c) { return !has(other, c) && !has(kept, c); });
  };
  const Labels gone_a = alone(a.labels, b.labels), gone_b = alone(b.labels, a.labels);
  a.drop(gone_a);
  b.drop(gone_b);
  const Labels batch = kept_if(a.labels, [&](char c) { return has(b.labels, c) && has(kept, c); });
  const Labels inner = kept_if(a.labels, [&](char c) { return has(b.labels, c) && !has(kept, c); });
  const Labels left = kept_if(a.labels, [&](char c) { return !has(b.labels, c); });
  const Labels right = kept_if(b.labels, [&](char c) { return !has(a.labels, c); });
  Shape batch_shape, shape;
  for (const char c : batch) batch_shape.push_back(a.extent(c));
  shape = batch_shape;
  std::int64_t rows = 1, columns = 1, terms = 1;
  for (const char c : left) rows *= a.extent(c);
  for (const char c : right) columns *= b.extent(c);
  for (const char c : inner) terms *= a.extent(c);
  if (static_cast<int>(batch.size() + left.size() + right.size()) > kMaxRank)
    throw ShapeError("einsum: an intermediate product would have more than {} axes", kMaxRank);
  for (const char c : left) shape.push_back(a.extent(c));
  for (const char c : right) shape.push_back(b.extent(c));
  a.arrange(batch + left + inner);
  b.arrange(batch + inner + right);
  const auto folded = [&](const Tensor& t, std::int64_t m, std::int64_t n) {
    return reshape(t, {batch_shape.product(), m, n});
  };
  const Tensor x = folded(a.value, rows, terms), y = folded(b.value, terms, columns);
  // A product without a sum is elementwise, whatever its shape: a matrix product would run k = 1.
  const Tensor z = inner.empty() ? x * y : matmul(x, y);
  return {reshape(z, shape), batch + left + right};
}

/// Names for all axes, checked against shapes; axes of extent 1 that broadcast against longer ones are dropped.
std::vector<Operand> bound(const Equation& e, std::span<const Tensor> operands, std::string_view text) {
  std::vector<Operand> out;
  std::map<char, std::int64_t> extents;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    const Labels& term = e.operands[i];
    Operand x{operands[i], expanded(term, operands[i].rank() - static_cast<int>(term.size()) + 1)};
    if (static_cast<int>(x.labels.size()) != x.value.rank())
      throw ShapeError("einsum: operand {} of \"{}\" names {} axes; got {}", i, text, term.size(), x.value.str());
    take_diagonals(x, text);
    for (const char c : x.labels) {
      std::int64_t& extent = extents.try_emplace(c, 1).first->second;
      if (extent != 1 && x.extent(c) != 1 && extent != x.extent(c))
        throw ShapeError("einsum: extents {} and {} of one axis in \"{}\"; got {}", extent, x.extent(c), text,
                         x.value.str());
      if (extent == 1) extent = x.extent(c);
    }
    out.push_back(std::move(x));
  }
  for (Operand& x : out) x.drop(kept_if(x.labels, [&](char c) { return x.extent(c) == 1 && extents[c] != 1; }));
  return out;
}

/// The result's labels: as written, or the ellipsis and then the letters that occur once.
Labels result_of(const Equation& e, int ellipsis, std::string_view text) {
  std::map<char, int> uses;
  for (const Labels& term : e.operands)
    for (const char c : term) ++uses[c];
  Labels result;
  if (e.result) {
    result = *e.result;
    for (std::size_t i = 0; i < result.size(); ++i) {
      if (!uses.contains(result[i]))
        throw ValueError("einsum: no operand has '{}' of the result in \"{}\"", result[i], text);
      if (result.find(result[i], i + 1) != Labels::npos)
        throw ValueError("einsum: '{}' occurs twice in the result of \"{}\"", result[i], text);
    }
  } else {
    if (uses.contains(kEllipsis)) result += kEllipsis;
    for (const auto& [label, count] : uses)
      if (count == 1 && label != kEllipsis) result += label;
  }
  return expanded(result, ellipsis);
}

}  // namespace

Tensor einsum(std::string_view equation, std::span<const Tensor> operands) {
  const Equation e = parse(equation);
  if (e.operands.size() != operands.size())
    throw ValueError("einsum: \"{}\" has {} operands; got {}", equation, e.operands.size(), operands.size());
  int ellipsis = 0;
  for (std::size_t i = 0; i < operands.size(); ++i)
    if (has(e.operands[i], kEllipsis)) {
      const int covered = operands[i].rank() - static_cast<int>(e.operands[i].size()) + 1;
      if (covered < 0)
        throw ShapeError("einsum: operand {} of \"{}\" has too few axes; got {}", i, equation, operands[i].str());
      ellipsis = std::max(ellipsis, covered);
    }
  const DType dtype = operands[0].dtype();
  if (operands.size() > 2 && is_float(dtype) && size_of(dtype) == 2) {
    std::vector<Tensor> wide;
    for (const Tensor& t : operands) wide.push_back(t.dtype() == dtype ? cast(t, DType::f32) : t);
    return cast(einsum(equation, wide), dtype);
  }
  const Labels result = result_of(e, ellipsis, equation);
  const std::vector<Operand> terms = bound(e, operands, equation);
  Operand product = terms[0];
  for (std::size_t i = 1; i < terms.size(); ++i) {
    Labels kept = result;
    for (std::size_t later = i + 1; later < terms.size(); ++later) kept += terms[later].labels;
    product = contracted(std::move(product), terms[i], kept);
  }
  product.drop(kept_if(product.labels, [&](char c) { return !has(result, c); }));
  product.arrange(result);
  return product.value;
}

}  // namespace retort

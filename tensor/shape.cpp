#include "tensor/shape.h"

#include <algorithm>

#include "tensor/error.h"

namespace retort {

Dims Dims::filled(int rank, std::int64_t value) {
  Dims d;
  for (int i = 0; i < rank; ++i) d.push_back(value);
  return d;
}

void Dims::assign(const std::int64_t* first, const std::int64_t* last) {
  if (last - first > kMaxRank) throw ShapeError("shape: rank {} is above the limit of {}", last - first, kMaxRank);
  rank_ = static_cast<int>(last - first);
  std::copy(first, last, v_.begin());
}

void Dims::push_back(std::int64_t value) { insert(rank_, value); }

void Dims::insert(int position, std::int64_t value) {
  if (rank_ == kMaxRank) throw ShapeError("shape: rank would exceed the limit of {}", kMaxRank);
  std::copy_backward(begin() + position, end(), end() + 1);
  v_[static_cast<std::size_t>(position)] = value;
  ++rank_;
}

void Dims::erase(int position) {
  std::copy(begin() + position + 1, end(), begin() + position);
  --rank_;
}

bool Dims::operator==(const Dims& o) const { return rank_ == o.rank_ && std::equal(begin(), end(), o.begin()); }

std::int64_t Dims::product() const {
  std::int64_t p = 1;
  for (std::int64_t v : *this) p *= v;
  return p;
}

std::string Dims::str() const { return fmt::format("[{}]", fmt::join(begin(), end(), ", ")); }

Strides contiguous_strides(const Shape& shape) {
  Strides s = Dims::filled(shape.rank(), 1);
  for (int i = shape.rank() - 2; i >= 0; --i) s[i] = s[i + 1] * std::max<std::int64_t>(shape[i + 1], 1);
  return s;
}

Strides channels_last_strides(const Shape& shape) {
  if (shape.rank() < 3) return contiguous_strides(shape);
  Strides s = Dims::filled(shape.rank(), 1);
  std::int64_t step = std::max<std::int64_t>(shape[1], 1);
  for (int i = shape.rank() - 1; i >= 2; --i) {
    s[i] = step;
    step *= std::max<std::int64_t>(shape[i], 1);
  }
  s[0] = step;
  return s;
}

Shape broadcast_shapes(const Shape& a, const Shape& b, std::string_view op) {
  Shape out = Dims::filled(std::max(a.rank(), b.rank()), 1);
  for (int i = 1; i <= out.rank(); ++i) {
    const std::int64_t x = i <= a.rank() ? a[a.rank() - i] : 1, y = i <= b.rank() ? b[b.rank() - i] : 1;
    if (x != y && x != 1 && y != 1)
      throw ShapeError("{}: shapes do not broadcast; got {} and {}", op, a.str(), b.str());
    out[out.rank() - i] = x == 1 ? y : x;
  }
  return out;
}

int normalize_axis(int axis, int rank, std::string_view op) {
  const int a = axis < 0 ? axis + rank : axis;
  if (a < 0 || a >= rank) throw ShapeError("{}: axis {} is outside a tensor of rank {}", op, axis, rank);
  return a;
}

namespace {
bool strides_match(const Shape& shape, const Strides& have, const Strides& want) {
  for (int i = 0; i < shape.rank(); ++i)
    if (shape[i] != 1 && have[i] != want[i]) return false;
  return true;
}
}  // namespace

bool Layout::contiguous() const { return numel() == 0 || strides_match(shape, strides, contiguous_strides(shape)); }

bool Layout::channels_last() const {
  return shape.rank() >= 3 && (numel() == 0 || strides_match(shape, strides, channels_last_strides(shape)));
}

bool Layout::dense() const {
  if (contiguous()) return true;
  // Axes in order of stride must each start where the block of the faster ones ends.
  std::int64_t step = 1;
  unsigned left = 0;
  for (int i = 0; i < shape.rank(); ++i)
    if (shape[i] != 1) left |= 1u << i;
  while (left != 0) {
    int next = -1;
    for (int i = 0; i < shape.rank(); ++i)
      if ((left >> i & 1u) != 0 && strides[i] == step) next = i;
    if (next < 0) return false;
    step *= shape[next];
    left &= ~(1u << next);
  }
  return true;
}

std::int64_t Layout::extent() const {
  if (numel() == 0) return 0;
  std::int64_t last = 0;
  for (int i = 0; i < shape.rank(); ++i) last += (shape[i] - 1) * strides[i];
  return last + 1;
}

Strides strides_ordered_like(const Layout& like, const Shape& shape) {
  if (like.contiguous() || !like.dense()) return contiguous_strides(shape);
  if (like.channels_last()) return channels_last_strides(shape);
  std::array<int, kMaxRank> order{};
  const auto n = static_cast<std::size_t>(shape.rank());
  for (std::size_t i = 0; i < n; ++i) order[i] = static_cast<int>(i);
  std::stable_sort(order.begin(), order.begin() + n, [&](int a, int b) { return like.strides[a] > like.strides[b]; });
  Strides s = Dims::filled(shape.rank(), 1);
  std::int64_t step = 1;
  for (std::size_t i = n; i-- > 0;) {
    s[order[i]] = step;
    step *= std::max<std::int64_t>(shape[order[i]], 1);
  }
  return s;
}

Layout sliced_layout(const Layout& from, const Dims& begin, const Dims& step, const Shape& shape) {
  Layout out{shape, from.strides, from.offset};
  for (int a = 0; a < shape.rank(); ++a) {
    out.offset += begin[a] * from.strides[a];
    out.strides[a] *= step[a];
  }
  return out;
}

Layout broadcast_layout(const Layout& from, const Shape& shape) {
  Layout out{shape, Dims::filled(shape.rank(), 0), from.offset};
  const int shift = shape.rank() - from.shape.rank();
  for (int i = 0; i < from.shape.rank(); ++i) out.strides[i + shift] = from.shape[i] == 1 ? 0 : from.strides[i];
  return out;
}

}  // namespace retort

// distill/convert/reorder.cpp -- transposes, and rows of heads for the two ways of pairing rotary features.
#include "distill/convert/reorder.h"

#include <cstring>
#include <utility>
#include <vector>

#include "tensor/error.h"

namespace retort {

namespace {
/// to[i, j] = from[j, i]; from has `rows` rows.
void transpose(const std::byte* from, std::size_t rows, std::size_t columns, std::size_t element, std::byte* to) {
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < columns; ++c)
      std::memcpy(to + (c * rows + r) * element, from + (r * columns + c) * element, element);
}

/// Row 2i + s of a head becomes row i + s head / 2, or the other way.
void pair_rows(const std::byte* from, std::size_t rows, std::size_t row_bytes, std::size_t head, bool back,
               std::byte* to) {
  for (std::size_t r = 0; r < rows; ++r) {
    const std::size_t first = r / head * head, at = r - first, ours = first + at / 2 + at % 2 * (head / 2);
    std::memcpy(to + (back ? r : ours) * row_bytes, from + (back ? ours : r) * row_bytes, row_bytes);
  }
}
}  // namespace

Shape Reorder::ours(const Shape& foreign, const std::string& where) const {
  if (transpose && foreign.rank() != 2)
    throw ConfigError("{}: only a matrix can be transposed; got {}", where, foreign.str());
  if (head > 0 && (foreign.rank() < 1 || head % 2 != 0 || foreign[0] % head != 0))
    throw ConfigError("{}: rows in pairs come in even heads that divide them; got heads of {} and {}", where, head,
                      foreign.str());
  if (ones > 0) {
    Shape kept;
    bool fits = foreign.rank() >= ones;
    for (int axis = 0; axis < foreign.rank(); ++axis)
      if (axis < ones)
        fits = fits && foreign[axis] == 1;
      else
        kept.push_back(foreign[axis]);
    if (!fits) throw ConfigError("{}: expected {} leading axes of 1; got {}", where, ones, foreign.str());
    return kept;
  }
  return transpose ? Shape{foreign[1], foreign[0]} : foreign;
}

Shape Reorder::foreign(const Shape& mine, const std::string& where) const {
  if (ones == 0) return ours(mine, where);  // the other two are their own inverses in shape
  Shape all = Shape::filled(static_cast<int>(ones), 1);
  for (const std::int64_t extent : mine) all.push_back(extent);
  return all;
}

ByteSource reordered(ByteSource source, const Shape& shape, DType dtype, const Reorder& how, bool back) {
  if (!how.any()) return source;
  return [source = std::move(source), shape, element = static_cast<std::size_t>(size_of(dtype)), how,
          back](const ByteSink& sink) {
    std::vector<std::byte> in, out;
    source([&](std::span<const std::byte> piece) { in.insert(in.end(), piece.begin(), piece.end()); });
    out.resize(in.size());
    const auto rows = static_cast<std::size_t>(shape[0]);
    const std::size_t row_bytes = rows == 0 ? 0 : in.size() / rows;
    if (how.transpose)
      transpose(in.data(), rows, row_bytes / element, element, out.data());
    else
      pair_rows(in.data(), rows, row_bytes, static_cast<std::size_t>(how.head), back, out.data());
    sink(out);
  };
}

}  // namespace retort

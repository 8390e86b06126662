// distill/convert/reorder.h -- tensors that other programs store in another order or shape than ours.
#pragma once
#include <cstdint>
#include <string>

#include "io/file.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace retort {

/// What turns another program's tensor into ours; the default leaves it alone.
struct Reorder {
  bool transpose = false;  ///< [in, out] there, [out, in] here
  /// Positive: rows come in heads of this many, and in a head those that turn together by rotary positions are
  /// neighbours, 2i and 2i + 1; ours are i and i + head / 2.
  std::int64_t head = 0;
  std::int64_t ones = 0;  ///< leading axes of extent 1 there that ours has not

  bool any() const { return transpose || head > 0; }  ///< whether bytes move
  /// The shape of ours. Throws ConfigError "WHERE: .." unless the tensor can be reordered: a matrix to be transposed,
  /// an even head that divides the rows, leading axes of 1.
  Shape ours(const Shape& foreign, const std::string& where) const;
  /// The way back.
  Shape foreign(const Shape& ours, const std::string& where) const;
};

/// `source` in our order, or with `back` in the other program's; `shape` is that of what comes in. One tensor lies in
/// memory twice while it is read.
ByteSource reordered(ByteSource source, const Shape& shape, DType dtype, const Reorder& how, bool back);

}  // namespace retort

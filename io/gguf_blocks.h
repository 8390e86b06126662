// io/gguf_blocks.h -- the element types of GGUF: sizes of their blocks, and quantised blocks decoded to f32.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tensor/dtype.h"

namespace retort {

/// Decodes one block: reads its `bytes` at any address, writes its `values` floats.
using GgufDecoder = void (*)(const std::byte* block, float* values);

/// An element type of the format. A row of a tensor is whole blocks.
struct GgufType {
  std::uint32_t id;
  std::string_view name;
  int values;          ///< elements of a block: 1, 32 or 256
  int bytes;           ///< of a block
  DType dtype;         ///< of the elements that come out
  GgufDecoder decode;  ///< null where the bytes are the elements
  bool known = true;   ///< false where the format has the type and Retort does not
};

/// The type of that number, or null when the format has none. Types that Retort cannot read have `known` false.
/// Formulas: d and m are the block's f16 scale and minimum, q an element's bits.
///   Q4_0 d(q-8)   Q4_1 dq+m   Q5_0 d(q-16)   Q5_1 dq+m   Q8_0 dq     blocks of 32
///   Q2_K Q4_K Q5_K (d s)q - (m t)   Q3_K d(s-32)(q-4)   Q6_K (d s)(q-32)   blocks of 256; s and t belong to each
///   sixteen elements (Q2_K Q3_K Q6_K) or thirty-two (Q4_K Q5_K)
const GgufType* gguf_type(std::uint32_t id);

}  // namespace retort

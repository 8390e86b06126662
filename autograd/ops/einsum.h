// autograd/ops/einsum.h -- sums of products over named axes.
#pragma once
#include <span>
#include <string_view>

#include "tensor/tensor.h"

namespace retort {

/// Einstein's summation as in numpy and PyTorch: "bik,bkj->bij". Letters name axes; "..." stands for axes that
/// broadcast and lie first unless placed in the result; spaces are ignored. A letter twice in one operand takes the
/// diagonal; without "->" the result has the letters that occur once, sorted. An axis of extent 1 broadcasts. Operands
/// meet from left to right, each pair as one batched matrix product, after sums over axes that only one of them has;
/// three or more 16-bit operands are computed in f32. Throws ValueError for a text that cannot be read, ShapeError for
/// extents that disagree.
Tensor einsum(std::string_view equation, std::span<const Tensor> operands);
inline Tensor einsum(std::string_view equation, std::initializer_list<Tensor> operands) {
  return einsum(equation, std::span(operands.begin(), operands.size()));
}

}  // namespace retort

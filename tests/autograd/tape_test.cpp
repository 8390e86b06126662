// tests/autograd/tape_test.cpp -- what a tape says of itself.
#include "autograd/tape.h"

#include <doctest/doctest.h>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"

using namespace retort;

TEST_CASE("tape: its size counts recorded ops, not leaves, and shared saved values count once") {
  Tape tape;
  const Tensor a = tape.watch(Tensor::full({4}, 2., DType::f64)), b = tape.watch(Tensor::full({4}, 3., DType::f64));
  CHECK(tape.leaves() == 2);
  CHECK(tape.size() == 0);
  CHECK(tape.leaf_of(b) == 1);
  const Tensor product = a * b;
  CHECK(tape.size() == 1);
  CHECK(tape.leaf_of(product) == -1);
  CHECK(tape.saved_bytes() == 2 * 4 * 8);
  const Tensor again = a * product;  // saves a, which is kept already, and the product
  CHECK(tape.size() == 2);
  CHECK(tape.saved_bytes() == 3 * 4 * 8);
  const Tensors gradients = tape.gradients(sum(again), Tensors{a, b});
  CHECK(gradients[0].values() == std::vector<double>(4, 2 * 2 * 3));
  CHECK(gradients[1].values() == std::vector<double>(4, 2 * 2));
}

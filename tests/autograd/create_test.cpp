// tests/autograd/create_test.cpp -- ranges, identities and masks.
#include "autograd/ops/create.h"

#include <doctest/doctest.h>

using namespace retort;

TEST_CASE("create: ranges, identity and triangular masks") {
  CHECK(arange(4).values() == std::vector<double>{0, 1, 2, 3});
  CHECK(arange(3, DType::f32, kCpu, 1, 0.5).values() == std::vector<double>{1, 1.5, 2});
  CHECK(arange(0).numel() == 0);
  CHECK(arange(4, DType::i64, kMeta).shape() == Shape{4});
  CHECK(eye(2).values() == std::vector<double>{1, 0, 0, 1});
  CHECK(tril_mask(2, 3).values() == std::vector<double>{1, 0, 0, 1, 1, 0});
  CHECK(tril_mask(2, 3, 1).values() == std::vector<double>{1, 1, 0, 1, 1, 1});
  CHECK(triu_mask(2, 3).values() == std::vector<double>{1, 1, 1, 0, 1, 1});
  CHECK(triu_mask(2, 3, 1).values() == std::vector<double>{0, 1, 1, 0, 0, 1});
  CHECK(tril_mask(2, 3).dtype() == DType::boolean);
}

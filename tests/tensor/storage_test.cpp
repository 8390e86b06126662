// tests/tensor/storage_test.cpp -- reuse of host memory.
#include "tensor/storage.h"

#include <doctest/doctest.h>

using namespace retort;

TEST_CASE("storage: a freed block serves tensors of its size or half of it, and returns to its own size") {
  constexpr std::int64_t kLarge = 101 << 20, kHalf = 61 << 20, kSmall = 23 << 20;
  const std::byte* const block = Storage::allocate(kLarge, kCpu)->data();
  {
    const Ref<Storage> half = Storage::allocate(kHalf, kCpu), other = Storage::allocate(kHalf, kCpu);
    CHECK(half->data() == block);
    CHECK(other->data() != block);
  }
  CHECK(Storage::allocate(kLarge, kCpu)->data() == block);
  CHECK(Storage::allocate(kSmall, kCpu)->data() != block);
}

// tests/tensor/storage_test.cpp -- reuse of host memory.
#include "tensor/storage.h"

#include <doctest/doctest.h>

#include <vector>

using namespace retort;

TEST_CASE("storage: a freed block serves tensors of its size or half of it, and returns to its own size") {
  constexpr std::int64_t kLarge = 101 << 20, kHalf = 61 << 20, kSmall = 23 << 20;
  // Blocks that other tests freed would serve as well: they are held, so that only this test's are free.
  std::vector<Ref<Storage>> held;
  for (const std::int64_t bytes : {kSmall, kHalf, kLarge})
    for (int i = 0; i < 8; ++i) held.push_back(Storage::allocate(bytes, kCpu));
  const std::byte* const block = Storage::allocate(kLarge, kCpu)->data();
  {
    const Ref<Storage> half = Storage::allocate(kHalf, kCpu), other = Storage::allocate(kHalf, kCpu);
    CHECK(half->data() == block);
    CHECK(other->data() != block);
  }
  CHECK(Storage::allocate(kLarge, kCpu)->data() == block);
  CHECK(Storage::allocate(kSmall, kCpu)->data() != block);
}

// tests/tensor/scratch_test.cpp -- working memory: aligned, reused, bounded when idle.
#include "tensor/cpu/scratch.h"

#include <doctest/doctest.h>

#include <limits>
#include <memory>
#include <thread>
#include <vector>

#include "tensor/error.h"

using namespace retort;
using namespace retort::cpu;

TEST_CASE("scratch: blocks are aligned, reused for the same size, and counted") {
  std::thread([] {  // a thread of its own begins without idle blocks
    void* first = nullptr;
    {
      const Scratch<float> a(1000);
      first = a.data();
      CHECK(reinterpret_cast<std::uintptr_t>(first) % 64 == 0);
      CHECK(scratch_stats().in_use >= 4000);
      const Scratch<float> b(1000);
      CHECK(a.data() != b.data());
    }
    CHECK(scratch_stats().in_use == 0);
    CHECK(scratch_stats().retained >= 8000);
    CHECK(scratch_stats().peak >= 8000);
    { CHECK(Scratch<float>(0).data() == nullptr); }
    std::vector<std::unique_ptr<ScratchBytes>> held;
    for (int i = 0; i < 2; ++i) held.push_back(std::make_unique<ScratchBytes>(4000));
    CHECK(scratch_stats().retained == 0);
  })
      .join();
}

TEST_CASE("scratch: idle memory stays within its bound") {
  std::thread([] {
    constexpr std::int64_t kPart = kScratchRetained / 3;
    for (const std::int64_t bytes : {kPart, 2 * kPart, 3 * kPart + 64, kPart + kPart / 2}) ScratchBytes block(bytes);
    std::vector<std::unique_ptr<ScratchBytes>> held;
    for (int i = 0; i < 5; ++i) held.push_back(std::make_unique<ScratchBytes>(kPart));
    held.clear();
    CHECK(scratch_stats().in_use == 0);
    CHECK(scratch_stats().retained <= kScratchRetained);
    CHECK(scratch_stats().retained >= 2 * kPart);
  }).join();
}

TEST_CASE("scratch: a request the system refuses throws MemoryError") {
  CHECK_THROWS_AS(ScratchBytes(std::int64_t{1} << 60), MemoryError);
}

// tests/tensor/gpu_test.cpp -- tensors on an emulated GPU: memory, copies, errors, draws, writers, optimiser steps.
//
// What each wait of tensor/gpu/device.cpp is for, and which case fails without it:
//   Staging::next waits for the buffer       "uploads take their bytes .."
//   upload records the event                 the same
//   download waits for its copy              "copies there and back .."
//   allocate waits and tries again           "memory that waits to be released .."
#include <doctest/doctest.h>

#include <cmath>
#include <thread>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/pool.h"
#include "autograd/ops/shape.h"
#include "autograd/tape.h"
#include "nn/optim/clip.h"
#include "tensor/optim_attrs.h"
#include "tensor/primitive.h"
#include "tensor/random.h"
#include "tensor/transfer.h"
#include "tensor/write.h"
#include "tests/emulators.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
constexpr DType kAllTypes[] = {DType::f64, DType::f32, DType::f16, DType::bf16,
                               DType::i64, DType::i32, DType::u8,  DType::boolean};

bool same_values(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() && to(a, kCpu).values() == to(b, kCpu).values();
}

/// It is given back after everything else of this process.
Tensor& outlives_all() {
  static Tensor t;
  return t;
}
}  // namespace

TEST_CASE("gpu: copies there and back keep values, strides and dtypes, dense or not") {
  for (const gpu::Schedule schedule : {gpu::Schedule::forward, gpu::Schedule::reverse, gpu::Schedule::random}) {
    const Device emu = emulator(schedule);
    for (const DType dtype : kAllTypes) {
      CAPTURE(std::string(name_of(dtype)));
      const Tensor t = cast(randint({3, 4, 5}, 3), dtype);
      const Tensor there = to(t, emu);
      CHECK(there.device() == emu);
      CHECK(same_values(there, t));
    }
    const Tensor image = copy_of(randn({2, 3, 4, 5}), true), there = to(image, emu);
    CHECK(there.strides() == image.strides());
    CHECK(to(there, kCpu).strides() == image.strides());
    CHECK(same_values(there, image));
    const Tensor part = slice(transpose(randn({6, 7}), 0, 1), 0, 2, 5);
    CHECK(same_values(to(part, emu), part));
    CHECK(same_values(slice(transpose(to(randn({6, 7}), emu), 0, 1), 0, 2, 5), part));
    CHECK(same_values(to(Tensor::zeros({0, 3}), emu), Tensor::zeros({0, 3})));
    CHECK(to(to(Tensor::scalar(2.5), emu), kCpu).item() == 2.5);
  }
  CHECK(!to(Tensor(), kEmu).defined());
  CHECK(to(randn({2, 3}), kMeta).meta());
  CHECK_THROWS_AS(to(to(randn({2}), kMeta), kEmu), DeviceError);
}

TEST_CASE("gpu: uploads take their bytes before the caller goes on, and downloads wait for what was put in") {
  // More uploads, and larger ones, than there is staging for; nothing runs until the first download.
  for (const gpu::Schedule schedule : {gpu::Schedule::forward, gpu::Schedule::reverse}) {
    const Device emu = emulator(schedule);
    for (const std::int64_t n : {std::int64_t{7}, std::int64_t{50'000}}) {
      std::vector<Tensor> there;
      for (int i = 0; i < 12; ++i) {
        const Tensor t = Tensor::full({n}, i);
        there.push_back(to(t, emu));
        fill_(t, -1);
      }
      const Tensor total = there[11] + there[10];
      CHECK(to(total, kCpu).values()[static_cast<std::size_t>(n - 1)] == 21);
      for (int i = 0; i < 12; ++i) {
        const auto values = to(there[static_cast<std::size_t>(i)], kCpu).values();
        CHECK(std::all_of(values.begin(), values.end(), [i](double v) { return v == i; }));
      }
    }
  }
}

TEST_CASE("gpu: the host reads no tensor of a device without a copy") {
  const Tensor t = to(Tensor::scalar(3), kEmu);
  CHECK_THROWS_WITH_AS(t.item(), doctest::Contains("hint: copy it first"), DeviceError);
  CHECK_THROWS_AS(t.values(), DeviceError);
  CHECK_THROWS_AS(t.data<float>(), DeviceError);
  CHECK_THROWS_AS(t.raw(), DeviceError);
  CHECK_THROWS_WITH_AS(t + Tensor::scalar(1), doctest::Contains("on different devices"), DeviceError);
  CHECK_THROWS_AS(assign_(t, Tensor::scalar(1)), DeviceError);
}

TEST_CASE("gpu: all devices charge alike, and memory comes back") {
  const auto peak_on = [](Device device) {
    const Ref<MemoryAccount> account(new MemoryAccount);
    const MemoryScope scope(account);
    {
      const Tensor x = Tensor::full({33, 5}, 1, DType::f32, device), y = softplus(x * 2.0 + x);
      const Tensor z = matmul(x, y, false, true);
    }
    CHECK(account->current() == 0);
    return account->peak();
  };
  const std::int64_t peak = peak_on(kCpu);
  CHECK(peak > 33 * 33 * 4);
  CHECK(peak_on(kEmu) == peak);
  CHECK(peak_on(kMeta) == peak);
}

TEST_CASE("gpu: memory that waits to be released is waited for; more than there is, is a MemoryError") {
  gpu::EmulatorOptions small;
  small.total_bytes = 1 << 20;
  configure_emulator(5, small);
  const Device emu{DeviceKind::emu, 5};
  for (int i = 0; i < 8; ++i) {
    const Tensor half = Tensor::full({std::int64_t{1} << 17}, i, DType::f32, emu);
    CHECK(half.defined());
  }
  CHECK_THROWS_WITH_AS(Tensor::empty({1 << 19}, DType::f32, emu), doctest::Contains("micro-batch"), MemoryError);
  CHECK_THROWS_AS(configure_emulator(5, small), DeviceError);
}

TEST_CASE("gpu: what a kernel did wrong is an error that names it, and the device goes on") {
  gpu::EmulatorOptions options;
  configure_emulator(6, options);
  const Device emu{DeviceKind::emu, 6};
  const Tensor never_written = Tensor::empty({4}, DType::f32, emu);
  const Tensor y = neg(never_written);
  CHECK_THROWS_WITH_AS(GpuDevice::of(emu).synchronize(), doctest::Contains("map_unary"), CudaError);
  CHECK(to(neg(Tensor::full({4}, 2, DType::f32, emu)), kCpu).values() == std::vector<double>(4, -2));
  // A library's answer reads as a kernel does.
  const Tensor pooled = avg_pool2d(Tensor::empty({1, 1, 4, 4}, DType::f32, emu));
  CHECK_THROWS_WITH_AS(GpuDevice::of(emu).synchronize(), doctest::Contains("avg_pool2d"), CudaError);
}

TEST_CASE("gpu: constants go to a device; what a tape tracks is not copied away from its derivative") {
  const Tensor x = randn({3});
  Tape tape;
  const Tensor leaf = tape.watch(x);
  CHECK(to(constant_on(x, kEmu), kCpu).values() == x.values());
  CHECK(constant_on(leaf, kCpu).lift() == leaf.lift());
  CHECK_THROWS_WITH_AS(constant_on(leaf, kEmu), doctest::Contains("has no derivative"), AutogradError);
  CHECK_FALSE(constant_on(Tensor(), kEmu).defined());
  CHECK(host_of(kEmu) == kCpu);
  CHECK(host_of(kMeta) == kMeta);
}

TEST_CASE("gpu: f64 and ops without a kernel are refused by name") {
  const Tensor x = to(randn({3, 3}), kEmu);
  CHECK_THROWS_WITH_AS(exp(x), doctest::Contains("exp: no kernel for this element type"), DTypeError);
  const Primitive none("no_such_op");
  CHECK_THROWS_WITH_AS(run_kernel(none, {}, {}, std::span(&x, 1)), doctest::Contains("no kernel for device emu"),
                       DeviceError);
}

TEST_CASE("gpu: devices are named, and those that are not there are refused with a hint") {
  CHECK(gpu_from_name("emu") == kEmu);
  CHECK(gpu_from_name("emu:2").index == 2);
  CHECK(Device{DeviceKind::emu, 2}.str() == "emu:2");
  CHECK_THROWS_AS(gpu_from_name("tpu"), ConfigError);
  CHECK_THROWS_AS(gpu_from_name("emu:"), ConfigError);
  CHECK_THROWS_AS(gpu_from_name("emu:99"), DeviceError);
  if (gpu::cuda_devices() == 0) {
    CHECK_THROWS_WITH_AS(GpuDevice::of(gpu_from_name("cuda:1")), doctest::Contains("hint: run.device=cpu"),
                         DeviceError);
    CHECK_THROWS_WITH_AS(Tensor::zeros({2}, DType::f32, {DeviceKind::cuda, 0}), doctest::Contains("retort doctor"),
                         DeviceError);
  }
  CHECK(known_gpus().back().find("emulator") != std::string::npos);
}

TEST_CASE("gpu: keyed draws are the processor's bits, whole or by sample") {
  const RngKey key = Rng(5).stream("gpu/draws", 3);
  const std::vector<std::int64_t> ids{4, 0, 1'000'000'007, 4};
  const Tensor samples = Tensor::of<std::int64_t>(ids, {4});
  for (const DType dtype : {DType::f64, DType::f32, DType::f16, DType::bf16}) {
    CAPTURE(std::string(name_of(dtype)));
    CHECK(same_values(normal({4, 7}, key, dtype, kEmu), normal({4, 7}, key, dtype)));
    CHECK(same_values(normal({4, 7}, key, dtype, kEmu, &samples), normal({4, 7}, key, dtype, kCpu, &samples)));
    CHECK(same_values(uniform({4, 3}, key, dtype, kEmu, &samples), uniform({4, 3}, key, dtype, kCpu, &samples)));
  }
  for (const double p : {0.0, 0.3, 1.0})
    CHECK(same_values(bernoulli({4, 33}, p, key, kEmu, &samples), bernoulli({4, 33}, p, key, kCpu, &samples)));
  const std::vector<std::int64_t> bad{-1};
  const Tensor wrong = Tensor::of<std::int64_t>(bad, {1});
  CHECK_THROWS_AS(normal({1, 2}, key, DType::f32, kEmu, &wrong), ValueError);
}

TEST_CASE("gpu: writers write what the processor's write, into any layout") {
  const auto both = [](const auto& write) {
    for (const DType dtype : {DType::f32, DType::bf16, DType::f64}) {
      const Tensor block = cast(randn({6, 8}), dtype), there = to(block, kEmu);
      for (const Tensor& t : {block, there}) write(slice(transpose(t, 0, 1), 0, 1, 7));
      CHECK(same_values(there, block));
    }
  };
  both([](const Tensor& t) { fill_(t, 1.7); });
  both([](const Tensor& t) { scale_(t, -0.3); });
  both([](const Tensor& t) { accumulate_(t, to(cast(randn({6, 6}, 2), DType::bf16), t.device())); });
  both([](const Tensor& t) { accumulate_(t, to(cast(randn({6, 6}, 3), DType::f32), t.device())); });
  both([](const Tensor& t) { assign_(t, to(randint({6, 6}, 9), t.device())); });
}

TEST_CASE("gpu: optimiser and averaging steps are the processor's bits, with momenta and shadows in two layouts") {
  struct Step {
    const char* op;
    AttrBox attrs;
    int states;
  };
  const std::vector<Step> steps{{"sgd_step", AttrBox::of(SgdAttrs{.1, .9, .01, true}), 1},
                                {"adamw_step", AttrBox::of(AdamAttrs{.01, .9, .99, 1e-8, .1, .1, .01, true}), 2},
                                {"lion_step", AttrBox::of(LionAttrs{.01, .9, .99, .1}), 1},
                                {"ema_step", AttrBox::of(EmaAttrs{.99}), 0}};
  for (const Step& step : steps)
    for (const DType shadow : {DType::f32, DType::bf16, DType::f16}) {
      CAPTURE(step.op);
      std::vector<std::vector<double>> results;
      for (const Device device : {kCpu, kEmu}) {
        const auto made = [&](std::uint64_t seed, bool channels_last) {
          const Tensor values = cast(retort::testing::uniform({3, 2, 4, 5}, 0.1, 1, seed), DType::f32);
          return to(copy_of(values, channels_last), device);
        };
        // The gradient lies row by row, all else as the master does.
        std::vector<Tensor> out{made(1, true)};
        for (int i = 0; i < step.states; ++i) out.push_back(made(2 + static_cast<std::uint64_t>(i), true));
        out.push_back(shadow == DType::f32 ? Tensor() : cast(made(1, true), shadow));
        const Tensor gradient = made(9, false);
        run_kernel(Primitive(step.op), std::span(&gradient, 1), step.attrs, out);
        std::vector<double> all;
        for (const Tensor& t : out)
          if (t.defined())
            for (const double v : to(t, kCpu).values()) all.push_back(v);
        results.push_back(all);
      }
      CHECK(results[0] == results[1]);
    }
  const Tensor g = cast(randn({40'000}), DType::f32);
  CHECK(inner_product(to(g, kEmu), to(g, kEmu)) == doctest::Approx(inner_product(g, g)).epsilon(1e-12));
  const Tensor part = slice(transpose(cast(randn({30, 20}), DType::f32), 0, 1), 0, 3, 9), there = to(part, kEmu);
  CHECK(grad_norm(std::span(&there, 1)) == doctest::Approx(grad_norm(std::span(&part, 1))).epsilon(1e-12));
}

TEST_CASE("gpu: threads share a device") {
  std::vector<std::thread> threads;
  std::vector<double> sums(3);
  for (std::size_t i = 0; i < sums.size(); ++i)
    threads.emplace_back([i, &sums] {
      for (int k = 0; k < 20; ++k) {
        const Tensor x = Tensor::full({5}, static_cast<double>(i + 1), DType::f32, kEmu);
        for (const double v : to(square(x) + x, kCpu).values()) sums[i] += v;
      }
    });
  for (std::thread& t : threads) t.join();
  for (std::size_t i = 0; i < sums.size(); ++i) CHECK(sums[i] == 100.0 * static_cast<double>((i + 1) * (i + 2)));
  outlives_all() = Tensor::full({3}, 1, DType::f32, kEmu);
}

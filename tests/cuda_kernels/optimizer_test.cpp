// tests/cuda_kernels/optimizer_test.cpp -- steps of many tensors at once beside the CPU's kernels: the same bits.
#include "cuda_kernels/optimizer.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "tensor/optim_attrs.h"
#include "tensor/primitive.h"
#include "tests/cuda_kernels/on_tensors.h"

using namespace retort;
using namespace retort::kernel_test;
namespace k = retort::kernels;

namespace {

/// Three tensors of odd sizes, the second without a shadow, on the device and on the CPU.
struct TwinTensors {
  std::vector<Tensor> master, gradient, first, second, shadow;
  k::TensorList list;
  explicit TwinTensors(gpu::Stream stream) {
    for (const std::int64_t n : {1, 37, 700}) {
      const auto i = static_cast<std::size_t>(list.count++);
      master.push_back(sample({n}, DType::f32, 1));
      gradient.push_back(sample({n}, DType::f32, 2));
      first.push_back(sample({n}, DType::f32, 3));
      second.push_back(first.back() * first.back());
      shadow.push_back(i == 1 ? Tensor() : Tensor::empty({n}, DType::bf16));
      list.master[i] = upload_as<float>(stream, master[i]);
      list.gradient[i] = upload_as<float>(stream, gradient[i]);
      list.first[i] = upload_as<float>(stream, first[i]);
      list.second[i] = upload_as<float>(stream, second[i]);
      list.shadow[i] = i == 1 ? nullptr : room_like(stream, {n}, DType::bf16);
      list.size[i] = n;
    }
  }
  void compare(gpu::Stream stream) const {
    for (std::size_t i = 0; i < master.size(); ++i) {
      const auto same = [&](const void* p, const Tensor& want) {
        return same_values(download_tensor(stream, p, want.shape(), want.dtype()), want);
      };
      CHECK(same(list.master[i], master[i]));
      CHECK(same(list.first[i], first[i]));
      CHECK(same(list.second[i], second[i]));
      if (list.shadow[i]) CHECK(same(list.shadow[i], shadow[i]));
    }
  }
  /// The CPU's step on tensor i's outputs.
  template <class Attrs>
  void step(const char* name, const Attrs& attrs,
            const std::function<std::vector<Tensor>(std::size_t)>& outputs) const {
    const Primitive op(name);
    for (std::size_t i = 0; i < master.size(); ++i)
      run_kernel(op, std::span(&gradient[i], 1), AttrBox::of(attrs), outputs(i));
  }
};

const float* numbers(gpu::Stream stream, std::vector<float> values) { return upload(stream, values); }
float narrow(double v) { return static_cast<float>(v); }

}  // namespace

TEST_CASE("cuda_kernels: SGD with momentum, Nesterov's too") {
  on_every_schedule([](gpu::Device& d) {
    const gpu::Stream stream = d.default_stream();
    for (const bool nesterov : {false, true}) {
      TwinTensors t(stream);
      const SgdAttrs attrs{0.1, 0.9, 0.01, nesterov};
      t.step("sgd_step", attrs, [&](std::size_t i) {
        return std::vector<Tensor>{t.master[i], t.first[i], t.shadow[i]};
      });
      k::sgd({t.list, numbers(stream, {0.1f, 0.9f, 0.01f}), nesterov}, stream);
      t.compare(stream);
    }
  });
}

TEST_CASE("cuda_kernels: AdamW with decoupled and coupled decay") {
  on_every_schedule([](gpu::Device& d) {
    const gpu::Stream stream = d.default_stream();
    for (const bool decoupled : {true, false}) {
      TwinTensors t(stream);
      const AdamAttrs a{0.01, 0.9, 0.99, 1e-8, 0.1, 1 - 0.9 * 0.9, 1 - 0.99 * 0.99, decoupled};
      t.step("adamw_step", a, [&](std::size_t i) {
        return std::vector<Tensor>{t.master[i], t.first[i], t.second[i], t.shadow[i]};
      });
      k::adamw(
          {t.list, numbers(stream, {narrow(a.beta1), narrow(1 - a.beta1), narrow(a.beta2), narrow(1 - a.beta2),
                                    narrow(a.eps), narrow(a.lr / a.correction1), narrow(1 / std::sqrt(a.correction2)),
                                    narrow(decoupled ? 1 - a.lr * a.weight_decay : 1),
                                    narrow(decoupled ? 0 : a.weight_decay)})},
          stream);
      t.compare(stream);
    }
  });
}

TEST_CASE("cuda_kernels: moving averages") {
  on_every_schedule([](gpu::Device& d) {
    const gpu::Stream stream = d.default_stream();
    TwinTensors t(stream);
    t.step("ema_step", EmaAttrs{0.9}, [&](std::size_t i) { return std::vector<Tensor>{t.master[i], t.shadow[i]}; });
    k::ema({t.list, numbers(stream, {narrow(0.9), narrow(1 - 0.9)})}, stream);
    t.compare(stream);
  });
}

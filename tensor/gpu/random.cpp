// tensor/gpu/random.cpp -- keyed random fields and dropout on GPUs: the processor's bits.
#include "cuda_kernels/random.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "cuda_kernels/elementwise.h"
#include "tensor/attrs.h"
#include "tensor/gpu/kernel.h"

namespace retort {

namespace {
using on_gpu::Call;

/// The key in device memory: it changes from step to step.
class Key {
 public:
  Key(const Call& call, const RngKey& key) : held_(on_gpu::uploaded(call, words(key))) {}
  const kernels::PhiloxKey* get() const { return on_gpu::address_of<const kernels::PhiloxKey>(held_); }

 private:
  static std::array<std::int64_t, 2> words(const RngKey& key) {
    return std::bit_cast<std::array<std::int64_t, 2>>(kernels::PhiloxKey{key.key, key.step, key.attempt});
  }
  Tensor held_;
};

/// Calls put(first row, rows) for pieces that one launch can take.
template <class Put>
void by_pieces(std::int64_t rows, Put&& put) {
  constexpr std::int64_t kMost = 65535;
  for (std::int64_t first = 0; first < rows; first += kMost) put(first, std::min(kMost, rows - first));
}

/// f32 draws in row-major order: of sample 0, or a row for each sample index.
void draw(const Call& call, kernels::Draw how, float* y) {
  const std::int64_t total = call.out[0].numel();
  if (total == 0) return;
  const Tensor samples = call.in.empty() ? Tensor() : on_gpu::dense(call, call.in[0]);
  const std::int64_t rows = samples.defined() ? samples.numel() : 1, elements = total / rows;
  if (static_cast<std::uint64_t>(elements) > kMaxRngElements)
    throw ValueError("{}: elements of a sample lie below 2^34; got {}", call.op, elements);
  const auto* const ids = on_gpu::address_of<std::int64_t>(samples);
  const Key key(call, call.attrs.as<RandomAttrs>().key);
  by_pieces(rows, [&](std::int64_t first, std::int64_t n) {
    kernels::random({how, key.get(), y + first * elements, n, elements, 0, ids ? ids + first : nullptr}, call.stream);
  });
}

void draw_floats(const Call& call, kernels::Draw how) {
  const on_gpu::Result y(call, call.out[0], -1, DType::f32);
  draw(call, how, reinterpret_cast<float*>(y.data()));
  y.finish();
}
}  // namespace

RETORT_GPU_KERNEL(random_normal) { draw_floats(call, kernels::Draw::normal); }
RETORT_GPU_KERNEL(random_uniform) { draw_floats(call, kernels::Draw::uniform); }

/// A draw k 2^-24 is below p when k < ceil(p 2^24), which a float holds.
RETORT_GPU_KERNEL(random_bernoulli) {
  const Tensor& y = call.out[0];
  if (y.numel() == 0) return;
  const Tensor u = Tensor::empty(y.shape(), DType::f32, y.device());
  draw(call, kernels::Draw::uniform, on_gpu::address_of<float>(u));
  const float bound = static_cast<float>(std::ceil(call.attrs.as<RandomAttrs>().probability * 0x1p24) * 0x1p-24);
  const Tensor bounds = on_gpu::uploaded(call, std::span(&bound, 1));
  const Layout everywhere{{y.numel()}, {0}, 0}, dense{{y.numel()}, {1}, 0};
  kernels::binary({kernels::BinaryOp::less, kernels::Type::f32, on_gpu::address(u), on_gpu::address(bounds),
                   on_gpu::address(y), on_gpu::strided({y.numel()}, dense, everywhere)},
                  call.stream);
}

/// in: x [N, ..], sample indices [N] (absent: 0, 1, ..).
RETORT_GPU_KERNEL(dropout) {
  const Tensor &x = call.in[0], &out = call.out[0];
  const auto& attrs = call.attrs.as<DropoutAttrs>();
  const kernels::Type type = on_gpu::training(call, x);
  if (out.numel() == 0) return;
  const Tensor in = on_gpu::dense(call, x);
  const on_gpu::Result y(call, out);
  const std::int64_t rows = x.shape()[0], elements = x.numel() / rows, size = elements * size_of(x.dtype());
  std::vector<std::int64_t> counted;
  if (!call.in[1].defined())
    for (std::int64_t i = 0; i < rows; ++i) counted.push_back(i);
  const Tensor samples = call.in[1].defined() ? on_gpu::dense(call, call.in[1]) : on_gpu::uploaded(call, counted);
  const Key key(call, attrs.key);
  by_pieces(rows, [&](std::int64_t first, std::int64_t n) {
    kernels::dropout({type, on_gpu::address(in) + first * size, y.data() + first * size, attrs.p, key.get(), n,
                      elements, on_gpu::address_of<std::int64_t>(samples) + first},
                     call.stream);
  });
  y.finish();
}

}  // namespace retort

// tests/cuda_kernels/gemm_test.cpp -- matrix products and bias + activation beside the CPU's ops.
#include "cuda_kernels/gemm.h"

#include <doctest/doctest.h>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/reduce.h"
#include "cuda_kernels/bias_activation.h"
#include "tests/cuda_kernels/on_tensors.h"

using namespace retort;
using namespace retort::kernel_test;
namespace k = retort::kernels;

namespace {

const std::pair<k::Activation, Tensor (*)(const Tensor&)> kActivations[] = {
    {k::Activation::none, [](const Tensor& x) { return x; }},
    {k::Activation::relu, relu},
    {k::Activation::gelu, gelu},
    {k::Activation::gelu_tanh, gelu_tanh},
    {k::Activation::silu, silu}};

/// a [m, k] and b [k, n], either stored transposed.
struct Product {
  std::int64_t m, n, k;
  bool turn_a, turn_b;
};
const Product kProducts[] = {
    {1, 1, 1, false, false}, {5, 70, 33, false, true}, {67, 9, 17, true, false}, {65, 66, 40, true, true}};

Tensor product(gpu::Stream stream, const Product& p, const Tensor& a, const Tensor& b, const Tensor& bias, DType out,
               k::Activation activation = k::Activation::none) {
  std::byte* const y = room_like(stream, {p.m, p.n}, out);
  k::Gemm g{};
  g.type = type_of(a.dtype());
  g.a = upload_tensor(stream, a);
  g.b = upload_tensor(stream, b);
  g.a_row = p.turn_a ? 1 : p.k, g.a_column = p.turn_a ? p.m : 1;
  g.b_row = p.turn_b ? 1 : p.n, g.b_column = p.turn_b ? p.k : 1;
  g.bias = upload_as<float>(stream, bias);
  g.y = y;
  g.m = p.m, g.n = p.n, g.k = p.k;
  g.activation = activation;
  g.wide = out == DType::f32;
  k::gemm(g, stream);
  return download_tensor(stream, y, {p.m, p.n}, out);
}
Shape shape_of(bool turned, std::int64_t rows, std::int64_t columns) {
  return turned ? Shape{columns, rows} : Shape{rows, columns};
}

}  // namespace

TEST_CASE("cuda_kernels: products of whole numbers are exact, in f32 and on tensor cores") {
  on_every_schedule([&](gpu::Device& d) {
    const gpu::Stream stream = d.default_stream();
    for (const Product& p : kProducts)
      for (const DType t : {DType::f32, DType::bf16, DType::f16}) {
        INFO(p.m, " ", p.n, " ", p.k, " ", name_of(t));
        const Tensor a = whole_numbers(shape_of(p.turn_a, p.m, p.k), t, 1),
                     b = whole_numbers(shape_of(p.turn_b, p.k, p.n), t, 2);
        const Tensor bias = whole_numbers({p.n}, DType::f32, 3);
        const Tensor want = matmul(cast(a, DType::f32), cast(b, DType::f32), p.turn_a, p.turn_b) + bias;
        CHECK(same_values(product(stream, p, a, b, bias, DType::f32), want));
      }
  });
}

TEST_CASE("cuda_kernels: products of random numbers, with bias and every activation") {
  on_every_schedule([&](gpu::Device& d) {
    const gpu::Stream stream = d.default_stream();
    const Product p{33, 35, 50, false, true};
    for (const DType t : kTrainingTypes)
      for (const auto& [activation, f] : kActivations) {
        const auto kind = activation;
        INFO(name_of(t), " activation ", static_cast<int>(kind));
        const Tensor a = sample({p.m, p.k}, t, 4), b = sample({p.n, p.k}, t, 5), bias = sample({p.n}, DType::f32, 6);
        const Tensor want = f(linear(cast(a, DType::f32), cast(b, DType::f32), bias));
        CHECK(distance(product(stream, p, a, b, bias, t, activation), want) < tolerance(t));
      }
  });
}

TEST_CASE("cuda_kernels: bias and activation, forward and backward") {
  on_every_schedule([&](gpu::Device& d) {
    const gpu::Stream stream = d.default_stream();
    for (const DType t : kTrainingTypes)
      for (const auto& [activation, f] : kActivations)
        for (const bool biased : {false, true}) {
          const auto kind = activation;
          INFO(name_of(t), " activation ", static_cast<int>(kind), biased ? " with bias" : "");
          const Shape shape{7, 43};
          const Tensor x = sample(shape, t, 7), dy = sample(shape, t, 8),
                       bias = biased ? sample({43}, DType::f32, 9) : Tensor();
          const auto op = [&, f = f](const std::vector<Tensor>& in) { return f(biased ? in[0] + bias : in[0]); };
          const std::byte* const px = upload_tensor(stream, x);
          const float* const b = upload_as<float>(stream, bias);
          std::byte *const y = room_like(stream, shape, t), *const dx = room_like(stream, shape, t);
          k::bias_activation({type_of(t), activation, px, b, y, 7, 43}, stream);
          const Tensor wide = cast(x, DType::f32);
          CHECK(distance(download_tensor(stream, y, shape, t), op({wide})) < tolerance(t));
          k::bias_activation_backward({type_of(t), activation, px, upload_tensor(stream, dy), b, dx, 7, 43}, stream);
          CHECK(distance(download_tensor(stream, dx, shape, t), gradients_of(op, {wide}, cast(dy, DType::f32))[0]) <
                tolerance(t));
        }
  });
}

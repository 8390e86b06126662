// bench/ops.cpp -- single ops, forward, and forward with backward.
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/conv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/losses.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/tape.h"
#include "bench/case.h"
#include "nn/module.h"
#include "nn/optim/adam.h"
#include "tensor/random.h"

namespace retort::bench {
namespace {

Tensor randn(const Shape& shape, const char* name, DType dtype = DType::f32) {
  return normal(shape, Rng(1).stream(name), dtype);
}
double first(const Tensor& t) { return cast(slice(reshape(t, {t.numel()}), 0, 0, 1), DType::f64).item(); }

/// y = f(in), nothing recorded.
void forward(const std::string& name, std::function<Tensors()> inputs, std::function<Tensor(const Tensors&)> f) {
  Register(name, [=] {
    const Tensors in = inputs();
    return [=] { return first(f(in)); };
  });
}
/// y = f(in), then the gradients of all inputs for a given cotangent.
void both(const std::string& name, std::function<Tensors()> inputs, std::function<Tensor(const Tensors&)> f) {
  Register(name, [=] {
    const Tensors in = inputs();
    const Tensor cot = randn(f(in).shape(), "cotangent", in[0].dtype());
    // The cotangent lies in memory as the result does, as that of a next layer would.
    const Tensor y = f(in);
    const Tensor like = y.layout().channels_last() ? channels_last(cot) : cot;
    return [=] {
      Tape tape;
      Tensors leaves;
      for (const Tensor& t : in) leaves.push_back(tape.watch(t));
      const Tensor out = f(leaves);
      GradMap grads;
      tape.backward(std::span(&out, 1), std::span(&like, 1), grads);
      return first(grads[0]);
    };
  });
}

struct OneParameter : Module {
  Parameter p;
  explicit OneParameter(const Tensor& value) { p.value = value; }
  void visit(Visitor& v) override { v("p", p); }
};

const int registered = [] {
  Register("add_one_with_tape", [] {
    const Tensor a = Tensor::scalar(1), b = Tensor::scalar(2);
    // The tape is made anew every thousand ops; one call is a thousand adds.
    return [=] {
      Tape tape;
      const Tensor x = tape.watch(a), y = tape.watch(b);
      Tensor z;
      for (int i = 0; i < 1000; ++i) z = add(x, y);
      return z.item();
    };
  });

  const auto million = [] { return Tensors{randn({1 << 20}, "x")}; };
  forward("exp_1m", million, [](const Tensors& in) { return exp(in[0]); });
  forward("gelu_1m", million, [](const Tensors& in) { return gelu(in[0]); });
  forward("silu_1m", million, [](const Tensors& in) { return silu(in[0]); });
  both("gelu_1m_both", million, [](const Tensors& in) { return gelu(in[0]); });
  forward("sum_1m", million, [](const Tensors& in) { return sum(in[0]); });
  const auto rows = [] { return Tensors{randn({1024, 1024}, "x")}; };
  forward("softmax_1024x1024", rows, [](const Tensors& in) { return softmax(in[0]); });
  both("softmax_1024x1024_both", rows, [](const Tensors& in) { return softmax(in[0]); });
  const auto norm = [] { return Tensors{randn({4096, 768}, "x"), randn({768}, "w"), randn({768}, "b")}; };
  forward("layer_norm_4096x768", norm, [](const Tensors& in) { return layer_norm(in[0], in[1], in[2]); });
  both("layer_norm_4096x768_both", norm, [](const Tensors& in) { return layer_norm(in[0], in[1], in[2]); });
  const auto image = [] {
    return Tensors{channels_last(randn({32, 64, 28, 28}, "x")), randn({64}, "w"), randn({64}, "b")};
  };
  forward("group_norm_32x64x28x28", image, [](const Tensors& in) { return group_norm(in[0], 8, in[1], in[2]); });
  both("group_norm_32x64x28x28_both", image, [](const Tensors& in) { return group_norm(in[0], 8, in[1], in[2]); });

  for (const std::int64_t n : {128, 512, 1024, 2048})
    for (const DType dtype : {DType::f32, DType::bf16})
      forward(
          "matmul_" + std::to_string(n) + (dtype == DType::f32 ? "_f32" : "_bf16"),
          [=] {
            return Tensors{randn({n, n}, "a", dtype), randn({n, n}, "b", dtype)};
          },
          [](const Tensors& in) { return matmul(in[0], in[1]); });
  both(
      "linear_gelu_1024x768x3072_both",
      [] {
        return Tensors{randn({1024, 768}, "x"), randn({3072, 768}, "w") * 0.04, randn({3072}, "b")};
      },
      [](const Tensors& in) { return gelu(linear(in[0], in[1], in[2])); });

  both(
      "conv_64x64x3x3_28x28_both",
      [] {
        return Tensors{channels_last(randn({32, 64, 28, 28}, "x")), channels_last(randn({64, 64, 3, 3}, "w") * 0.04)};
      },
      [](const Tensors& in) { return conv2d(in[0], in[1], {}, {.padding = 1}); });
  both(
      "conv_depthwise_64x3x3_28x28_both",
      [] {
        return Tensors{channels_last(randn({32, 64, 28, 28}, "x")), channels_last(randn({64, 1, 3, 3}, "w") * 0.3)};
      },
      [](const Tensors& in) { return conv2d(in[0], in[1], {}, {.padding = 1, .groups = 64}); });

  const auto attend = [](const Tensors& in) { return attention(in[0], in[1], in[2]); };
  const auto heads = [](const Shape& shape) {
    return [=] { return Tensors{randn(shape, "q"), randn(shape, "k"), randn(shape, "v")}; };
  };
  both("attention_8x8x256x64_both", heads({8, 8, 256, 64}), attend);
  both("attention_1x8x4096x64_both", heads({1, 8, 4096, 64}), attend);

  both(
      "linear_kl_512x16384x512_both",
      [] {
        return Tensors{randn({512, 512}, "h"), randn({16384, 512}, "w") * 0.04};
      },
      [](const Tensors& in) {
        static const LinearHead teacher{randn({512, 512}, "teacher_h"), randn({16384, 512}, "teacher_w") * 0.04};
        return linear_divergence({}, {in[0], in[1]}, teacher);
      });

  Register("adamw_10m", [] {
    auto module = std::make_shared<OneParameter>(randn({10'000'000}, "p"));
    auto optimizer = std::make_shared<AdamW>(AdamOptions{.weight_decay = 0.01});
    const Tensor grad = randn({10'000'000}, "g");
    return [=] {
      const std::vector<NamedParameter> parameters = parameters_of(*module);
      optimizer->step(parameters, std::span(&grad, 1), 1e-3);
      return first(module->p.value);
    };
  });
  return 0;
}();

}  // namespace
}  // namespace retort::bench

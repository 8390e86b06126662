// tests/cuda_kernels/rows_test.cpp -- reductions, softmax, norms and losses beside the CPU's ops.
#include <doctest/doctest.h>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/losses.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/reduce.h"
#include "cuda_kernels/divergence.h"
#include "cuda_kernels/loss.h"
#include "cuda_kernels/norm.h"
#include "cuda_kernels/reduce.h"
#include "cuda_kernels/softmax.h"
#include "tests/cuda_kernels/on_emulators.h"

using namespace retort;
using namespace retort::kernel_test;
namespace k = retort::kernels;

namespace {
/// Rows and columns: fewer than a warp, odd ones, more than a block has threads.
const Shape kRowShapes[] = {{3, 5}, {2, 77}, {1, 1100}};
float* floats(gpu::Stream stream, std::int64_t n) { return room_for<float>(stream, static_cast<std::size_t>(n)); }
}  // namespace

TEST_CASE("cuda_kernels: reductions of whole numbers are exact") {
  // The last one is cut into pieces: columns at 512 rows, everything at 16384 elements.
  for (const Shape& shape : {Shape{1, 1}, Shape{7, 45}, Shape{530, 33}})
    for (const DType t : kTrainingTypes)
      on_every_schedule([&](gpu::Device& d) {
        const gpu::Stream stream = d.default_stream();
        const Tensor x = whole_numbers(shape, t, 1);
        const std::byte* const px = upload_tensor(stream, x);
        for (const auto axis : {k::ReduceAxis::row, k::ReduceAxis::column, k::ReduceAxis::all})
          for (const auto kind : {k::Reduction::sum, k::Reduction::max, k::Reduction::min}) {
            INFO(shape.str(), " ", name_of(t), " axis ", static_cast<int>(axis), " kind ", static_cast<int>(kind));
            const Axes axes = axis == k::ReduceAxis::row      ? Axes{1}
                              : axis == k::ReduceAxis::column ? Axes{0}
                                                              : Axes{0, 1};
            const Tensor want = kind == k::Reduction::sum   ? sum(x, axes)
                                : kind == k::Reduction::max ? max(x, axes)
                                                            : min(x, axes);
            std::byte* const y = room_like(stream, want.shape(), t);
            k::reduce({kind, axis, type_of(t), px, y, shape[0], shape[1], 1,
                       floats(stream, k::reduce_scratch(axis, shape[0], shape[1]))},
                      stream);
            CHECK(same_values(download_tensor(stream, y, want.shape(), t), want));
          }
      });
}

TEST_CASE("cuda_kernels: softmax and log-softmax, forward and backward") {
  on_every_schedule([&](gpu::Device& d) {
    const gpu::Stream stream = d.default_stream();
    for (const Shape& shape : kRowShapes)
      for (const DType t : kTrainingTypes)
        for (const bool log : {false, true}) {
          INFO(shape.str(), " ", name_of(t), log ? " log" : "");
          const Tensor x = sample(shape, t, 2, 4), dy = sample(shape, t, 3);
          const auto op = [log](const std::vector<Tensor>& in) { return log ? log_softmax(in[0]) : softmax(in[0]); };
          std::byte *const y = room_like(stream, shape, t), *const dx = room_like(stream, shape, t);
          k::softmax({type_of(t), upload_tensor(stream, x), y, shape[0], shape[1], log}, stream);
          CHECK(distance(download_tensor(stream, y, shape, t), op({x})) < tolerance(t));
          k::softmax_backward({type_of(t), y, upload_tensor(stream, dy), dx, shape[0], shape[1], log}, stream);
          CHECK(distance(download_tensor(stream, dx, shape, t), gradients_of(op, {x}, dy)[0]) < tolerance(t));
        }
  });
}

TEST_CASE("cuda_kernels: layer norm and RMS norm, forward and backward") {
  on_every_schedule([&](gpu::Device& d) {
    const gpu::Stream stream = d.default_stream();
    // The last has more rows than a piece of the parameters' gradients.
    for (const Shape& shape : {Shape{3, 5}, Shape{2, 1100}, Shape{131, 40}})
      for (const DType t : kTrainingTypes)
        for (const bool centred : {true, false}) {
          INFO(shape.str(), " ", name_of(t), centred ? " layer" : " rms");
          const std::int64_t rows = shape[0], columns = shape[1];
          const Tensor x = sample(shape, t, 4, 2) + Tensor::scalar(1, t), dy = sample(shape, t, 5);
          const Tensor weight = sample({columns}, DType::f32, 6),
                       bias = centred ? sample({columns}, DType::f32, 7) : Tensor();
          const auto op = [&](const std::vector<Tensor>& in) {
            return centred ? layer_norm(in[0], in[1], in[2], 1e-5) : rms_norm(in[0], in[1], 1e-5);
          };
          std::vector<Tensor> inputs{x, weight};
          if (centred) inputs.push_back(bias);
          const std::byte* const px = upload_tensor(stream, x);
          const float *const w = upload_as<float>(stream, weight), *const b = upload_as<float>(stream, bias);
          float *const mean = centred ? floats(stream, rows) : nullptr, *const rstd = floats(stream, rows);
          std::byte *const y = room_like(stream, shape, t), *const dx = room_like(stream, shape, t);
          (centred ? k::layer_norm : k::rms_norm)({type_of(t), px, w, b, y, mean, rstd, rows, columns, 1e-5f}, stream);
          CHECK(distance(download_tensor(stream, y, shape, t), op(inputs)) < tolerance(t));
          float *const dw = floats(stream, columns), *const db = centred ? floats(stream, columns) : nullptr;
          (centred ? k::layer_norm_backward : k::rms_norm_backward)(
              {type_of(t), px, upload_tensor(stream, dy), w, mean, rstd, dx, dw, db, rows, columns,
               floats(stream, k::norm_scratch(rows, columns))},
              stream);
          const auto want = gradients_of(op, inputs, dy);
          CHECK(distance(download_tensor(stream, dx, shape, t), want[0]) < tolerance(t));
          CHECK(distance(download_tensor(stream, dw, {columns}, DType::f32), want[1]) < tolerance(t));
          if (centred) CHECK(distance(download_tensor(stream, db, {columns}, DType::f32), want[2]) < tolerance(t));
        }
  });
}

TEST_CASE("cuda_kernels: cross entropy with smoothing and ignored rows, forward and backward") {
  on_every_schedule([&](gpu::Device& d) {
    const gpu::Stream stream = d.default_stream();
    for (const DType t : kTrainingTypes)
      for (const float smoothing : {0.0f, 0.125f}) {
        INFO(name_of(t), " smoothing ", smoothing);
        const std::int64_t rows = 4, classes = 67;
        const Tensor x = sample({rows, classes}, t, 8, 3), cotangent = sample({rows}, DType::f32, 9);
        const std::vector<std::int64_t> labels{3, -1, 66, 0};
        const Tensor label = Tensor::of(std::span<const std::int64_t>(labels), {rows});
        const auto op = [&](const std::vector<Tensor>& in) { return cross_entropy(in[0], label, smoothing, -1); };
        const std::byte* const px = upload_tensor(stream, x);
        const std::int64_t* const l = upload(stream, labels);
        float *const loss = floats(stream, rows), *const top = floats(stream, rows),
                     *const total = floats(stream, rows);
        std::byte* const dx = room_like(stream, x.shape(), t);
        k::cross_entropy({type_of(t), px, l, loss, top, total, rows, classes, smoothing, -1}, stream);
        CHECK(distance(download_tensor(stream, loss, {rows}, DType::f32), op({x})) < tolerance(DType::f32));
        k::cross_entropy_backward(
            {type_of(t), px, l, top, total, upload_as<float>(stream, cotangent), dx, rows, classes, smoothing, -1},
            stream);
        CHECK(distance(download_tensor(stream, dx, x.shape(), t), gradients_of(op, {x}, cotangent)[0]) < tolerance(t));
      }
  });
}

TEST_CASE("cuda_kernels: every divergence, over all outcomes and the likeliest, forward and backward") {
  const Shape shape{3, 45};
  on_every_schedule([&](gpu::Device& d) {
    const gpu::Stream stream = d.default_stream();
    for (const DType t : kTrainingTypes)
      for (int kind = 0; kind < 7; ++kind)
        for (const std::int64_t top_k : {0, 4}) {
          INFO(name_of(t), " kind ", kind, " top_k ", top_k);
          const bool by_student = kind % 2 == 1;
          const Tensor s = sample(shape, t, 10, 3), teacher = sample(shape, t, 11, 3),
                       cotangent = sample({3}, DType::f32, 12);
          const auto op = [&](const std::vector<Tensor>& in) {
            return divergence({static_cast<DivergenceKind>(kind), .3, 2, 1.5, top_k, by_student}, in[0], teacher);
          };
          float* const loss = floats(stream, 3);
          const k::Divergence forward{type_of(t),
                                      upload_tensor(stream, s),
                                      upload_tensor(stream, teacher),
                                      loss,
                                      3,
                                      45,
                                      static_cast<k::DivergenceKind>(kind),
                                      .3f,
                                      2,
                                      1.5f,
                                      top_k,
                                      by_student};
          k::divergence(forward, stream);
          CHECK(distance(download_tensor(stream, loss, {3}, DType::f32), op({s})) < tolerance(DType::f32));
          std::byte* const dx = room_like(stream, shape, t);
          k::divergence_backward({forward, upload_as<float>(stream, cotangent), dx}, stream);
          CHECK(distance(download_tensor(stream, dx, shape, t), gradients_of(op, {s}, cotangent)[0]) < tolerance(t));
        }
  });
}

TEST_CASE("cuda_kernels: a divergence between linear heads with biases, over more rows than a chunk of logits") {
  const DType t = DType::bf16;
  const Tensor hidden = sample({1030, 3}, t, 1), teacher = sample({1030, 2}, t, 2);
  const std::vector<Tensor> inputs{hidden, sample({5, 3}, t, 3), sample({5}, t, 4)};
  const Tensor weight = sample({5, 2}, t, 5);
  const auto f = [&](const std::vector<Tensor>& in, Device device) {
    return linear_divergence({DivergenceKind::js, .3}, {in[0], in[1], in[2]},
                             {to(teacher, device), to(weight, device), {}});
  };
  check_on_emulators(f, inputs, sample({1030}, DType::f32, 6), t);
}

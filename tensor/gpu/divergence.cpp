// tensor/gpu/divergence.cpp -- divergences between rows of logits on GPUs, and between two linear heads: of those a
// chunk of rows of logits exists at a time.
#include "cuda_kernels/divergence.h"

#include <algorithm>

#include "cuda_kernels/copy.h"
#include "cuda_kernels/gemm.h"
#include "tensor/attrs.h"
#include "tensor/gpu/kernel.h"
#include "tensor/logit_chunks.h"

namespace retort {

namespace {
using on_gpu::Call;
static_assert(static_cast<int>(kernels::DivergenceKind::js) == static_cast<int>(DivergenceKind::js) &&
              static_cast<int>(kernels::DivergenceKind::skew_reverse) ==
                  static_cast<int>(DivergenceKind::skew_reverse));

/// Rows of logits of both sides, without a loss.
kernels::Divergence divergence_of(const DivergenceAttrs& d, kernels::Type type, const void* student,
                                  const void* teacher, std::int64_t rows, std::int64_t classes) {
  return {type,
          student,
          teacher,
          nullptr,
          rows,
          classes,
          static_cast<kernels::DivergenceKind>(d.kind),
          static_cast<float>(d.mix),
          static_cast<float>(d.student_temperature),
          static_cast<float>(d.teacher_temperature),
          d.top_k,
          d.select_by_student};
}

kernels::Divergence divergence_of(const Call& call, const Tensor& student, const Tensor& teacher) {
  const std::int64_t classes = student.shape().back();
  return divergence_of(call.attrs.as<DivergenceAttrs>(), on_gpu::training(call, student), on_gpu::address(student),
                       on_gpu::address(teacher), student.numel() / classes, classes);
}

/// hidden [N, d], weight [V, d], bias [V] (f32) or absent.
class Head {
 public:
  Head(const Call& call, std::size_t first)
      : hidden_(call.in[first]),
        weight_(call.in[first + 1]),
        bias_(on_gpu::dense(call, call.in[first + 2], DType::f32)),
        type_(on_gpu::training(call, hidden_)) {}
  kernels::Type type() const { return type_; }
  std::int64_t width() const { return hidden_.shape()[1]; }
  std::int64_t classes() const { return weight_.shape()[0]; }
  const Tensor& weight() const { return weight_; }
  const std::byte* row(std::int64_t i) const {
    return on_gpu::address(hidden_) + i * hidden_.strides()[0] * size_of(hidden_.dtype());
  }
  const Strides& row_steps() const { return hidden_.strides(); }

  /// f32 logits of `count` rows.
  void logits(std::int64_t begin, std::int64_t count, float* y, gpu::Stream stream) const {
    const Strides &h = hidden_.strides(), &w = weight_.strides();
    kernels::Gemm product{type_,     row(begin), on_gpu::address(weight_),         h[0], h[1],
                          w[1],      w[0],       on_gpu::address_of<float>(bias_), y,    count,
                          classes(), width()};
    product.wide = type_ != kernels::Type::f32;
    kernels::gemm(product, stream);
  }

 private:
  Tensor hidden_, weight_, bias_;
  kernels::Type type_;
};

/// Both heads' logits of a chunk, in the call's scratch.
struct Chunks {
  const Call& call;
  Head student, teacher;
  std::int64_t rows, classes, chunk;
  float *student_logits, *teacher_logits;

  explicit Chunks(const Call& from)
      : call(from),
        student(from, 0),
        teacher(from, 3),
        rows(from.in[0].shape()[0]),
        classes(student.classes()),
        chunk(std::min(rows_per_chunk(classes, sizeof(float)), rows)),
        student_logits(reinterpret_cast<float*>(from.scratch)),
        teacher_logits(student_logits + chunk * classes) {}
  std::byte* behind() const { return reinterpret_cast<std::byte*>(teacher_logits + chunk * classes); }

  /// f(begin, the divergence of rows from `begin` on) for each chunk.
  template <class F>
  void each(F&& f) const {
    for (std::int64_t begin = 0; begin < rows; begin += chunk) {
      const std::int64_t count = std::min(chunk, rows - begin);
      student.logits(begin, count, student_logits, call.stream);
      teacher.logits(begin, count, teacher_logits, call.stream);
      f(begin, divergence_of(call.attrs.as<DivergenceAttrs>(), kernels::Type::f32, student_logits, teacher_logits,
                             count, classes));
    }
  }
};

/// to = from, converted, n elements.
void convert(const void* from, kernels::Type from_type, void* to, kernels::Type to_type, std::int64_t n,
             gpu::Stream stream) {
  kernels::Copy args{from_type, to_type, from, to, {}};
  args.shape.rank = 1;
  args.shape.extent[0] = n;
  args.shape.first[0] = args.shape.second[0] = 1;
  kernels::copy(args, stream);
}
}  // namespace

RETORT_GPU_KERNEL(divergence) {
  if (call.out[0].numel() == 0) return;
  const Tensor student = on_gpu::dense(call, call.in[0]), teacher = on_gpu::dense(call, call.in[1]);
  kernels::Divergence args = divergence_of(call, student, teacher);
  args.loss = on_gpu::address_of<float>(call.out[0]);
  kernels::divergence(args, call.stream);
}

/// in: student, teacher, cotangent.
RETORT_GPU_KERNEL(divergence_backward) {
  if (call.out[0].numel() == 0) return;
  const Tensor student = on_gpu::dense(call, call.in[0]), teacher = on_gpu::dense(call, call.in[1]);
  const Tensor cotangent = on_gpu::dense(call, call.in[2]);
  const on_gpu::Result gradient(call, call.out[0]);
  kernels::divergence_backward(
      {divergence_of(call, student, teacher), on_gpu::address_of<float>(cotangent), gradient.data()}, call.stream);
  gradient.finish();
}

/// in: the student's hidden, weight and bias, then the teacher's. out: the divergence of each row.
RETORT_GPU_KERNEL(linear_divergence) {
  if (call.out[0].numel() == 0) return;
  Chunks(call).each([&](std::int64_t begin, kernels::Divergence d) {
    d.loss = on_gpu::address_of<float>(call.out[0]) + begin;
    kernels::divergence(d, call.stream);
  });
}

/// in: as above, then the cotangent. out: gradients of the student's hidden, weight and bias. The gradient G of a
/// chunk takes its logits' place; hidden gets G w, the weight gets G' hidden and the bias the sums of G's columns.
RETORT_GPU_KERNEL(linear_divergence_backward) {
  const Chunks chunks(call);
  const Head& head = chunks.student;
  const std::int64_t n = chunks.classes, d = head.width();
  const bool wide = head.type() == kernels::Type::f32;
  const Tensor cotangent = on_gpu::dense(call, call.in[6]);
  // 16-bit operands of the products, and the weight's gradient where it is summed.
  std::byte* const rounded = chunks.behind();
  const Tensor collected = wide ? call.out[1] : Tensor::empty({n, d}, DType::f32, call.out[1].device());
  const on_gpu::Result to_bias(call, call.out[2], -1, DType::f32);
  const float one[] = {1};
  const Tensor ones = on_gpu::uploaded(call, std::span<const float>(one));
  const Strides &w = head.weight().strides(), &h = head.row_steps();
  if (chunks.rows == 0) {
    for (const Tensor* t : {&call.out[1], &call.out[2]})
      if (t->numel() > 0)
        call.stream.device->fill(on_gpu::address(*t), 0, static_cast<std::size_t>(t->numel() * size_of(t->dtype())),
                                 call.stream);
    return;
  }
  chunks.each([&](std::int64_t begin, const kernels::Divergence& forward) {
    float* const slopes = chunks.student_logits;
    kernels::divergence_backward({forward, on_gpu::address_of<float>(cotangent) + begin, slopes}, call.stream);
    const void* factors = slopes;
    if (!wide) {
      convert(slopes, kernels::Type::f32, rounded, head.type(), forward.rows * n, call.stream);
      factors = rounded;
    }
    kernels::gemm({head.type(), factors, on_gpu::address(head.weight()), n, 1, w[0], w[1], nullptr,
                   on_gpu::address(call.out[0]) + begin * d * size_of(call.out[0].dtype()), forward.rows, d, n},
                  call.stream);
    kernels::Gemm to_weight{
        head.type(), factors, head.row(begin), 1, n, h[0], h[1], nullptr, on_gpu::address(collected),
        n,           d,       forward.rows};
    to_weight.wide = !wide;
    to_weight.add = begin > 0;
    kernels::gemm(to_weight, call.stream);
    if (!call.in[2].defined()) return;
    kernels::Gemm columns{kernels::Type::f32, on_gpu::address(ones), slopes, 0, 0, n, 1, nullptr, to_bias.data(), 1, n,
                          forward.rows};
    columns.add = begin > 0;
    kernels::gemm(columns, call.stream);
  });
  if (!wide) on_gpu::copy(call, collected, call.out[1]);
  if (call.in[2].defined()) to_bias.finish();
}

}  // namespace retort

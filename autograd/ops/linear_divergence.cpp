// autograd/ops/linear_divergence.cpp -- D(h_s w_s' + c_s, h_t w_t' + c_t) per row, the logits in chunks of rows.
#include "autograd/ops/linalg.h"
#include "autograd/ops/loss_checks.h"
#include "autograd/ops/losses.h"
#include "autograd/ops/shape.h"
#include "tensor/logit_chunks.h"

namespace retort {

namespace {
/// Checks inputs first .. first + 2: hidden [N, d], weight [V, d], bias [V] or absent.
void require_head(const InferCall& call, std::size_t first) {
  infer::require_float(call, first);
  infer::require_rank(call, first, 2);
  infer::require_rank(call, first + 1, 2);
  const Tensor &hidden = call.in[first], &weight = call.in[first + 1], &bias = call.in[first + 2];
  if (hidden.size(1) != weight.size(1))
    throw ShapeError("{}: a head's hidden and weight differ in width; got {} and {}", call.name, hidden.str(),
                     weight.str());
  if (bias.defined() && !(bias.shape() == Shape{weight.size(0)}))
    throw ShapeError("{}: a head's bias must have {} elements; got {}", call.name, weight.size(0), bias.str());
}

/// Student's hidden, weight, bias, then the teacher's.
struct LinearDivergence : Fused<LinearDivergence> {
  static constexpr std::string_view name = "linear_divergence";
  static void infer(InferCall& call) {
    require_head(call, 0);
    require_head(call, 3);
    infer::require_same_dtype(call, 0, 6);
    const Tensor &student = call.in[1], &teacher = call.in[4];
    if (call.in[0].size(0) != call.in[3].size(0) || student.size(0) != teacher.size(0) || student.size(0) == 0)
      throw ShapeError("{}: both heads must give logits of one shape; got {} with {} and {} with {}", call.name,
                       call.in[0].str(), student.str(), call.in[3].str(), teacher.str());
    loss::check_outcomes(call, student.size(0));
    const DType dtype = loss::compute_dtype(call.in[0].dtype());
    call.output({call.in[0].size(0)}, dtype);
    call.scratch(logit_bytes(call));
  }
  static std::int64_t logit_bytes(const InferCall& call) {
    const std::int64_t classes = call.in[1].size(0), size = size_of(loss::compute_dtype(call.in[0].dtype()));
    return 2 * classes * size * std::min(rows_per_chunk(classes, size), call.in[0].size(0));
  }
  static Tensors decompose(std::span<const Tensor> in, const AttrBox& attrs) {
    const auto wide = [](const Tensor& t) { return t.defined() ? loss::widened(t) : t; };
    return {loss::divergence_of(attrs.as<DivergenceAttrs>(), linear(wide(in[0]), wide(in[1]), wide(in[2])),
                                linear(wide(in[3]), wide(in[4]), wide(in[5])))};
  }
  static void backward(VjpCall& c);
};

/// Gradients of the student's hidden, weight and bias.
struct LinearDivergenceBackward : FusedBackward<LinearDivergenceBackward, LinearDivergence> {
  static constexpr std::string_view name = "linear_divergence_backward";
  static constexpr int outputs = 3, extra = 0;
  static std::uint32_t inputs() { return 7; }
  static void infer(InferCall& call) {
    const DType dtype = call.in[0].dtype(), wide = loss::compute_dtype(dtype);
    call.output(call.in[0].shape(), dtype);
    call.output(call.in[1].shape(), dtype);
    call.output(call.in[2].defined() ? call.in[2].shape() : Shape{0}, dtype);
    const std::int64_t logits = LinearDivergence::logit_bytes(call);
    call.scratch(logits + (dtype == wide ? 0 : logits / 4 + call.in[1].numel() * size_of(wide)));
  }
};

void LinearDivergence::backward(VjpCall& c) {
  const auto pull = [&c](std::size_t student, std::size_t teacher, const DivergenceAttrs& d) {
    if (!c.wants[student] && !c.wants[student + 1] && !c.wants[student + 2]) return;
    const auto head = [&c](std::size_t first, std::size_t i) { return c.in[first + i]; };
    const Tensor in[] = {head(student, 0), head(student, 1), head(student, 2), head(teacher, 0),
                         head(teacher, 1), head(teacher, 2), c.cot[0]};
    Tensor out[3];
    apply(op_of<LinearDivergenceBackward>(), in, AttrBox::of(d), out);
    for (std::size_t i = 0; i < 3; ++i)
      if (c.wants[student + i]) c.grad[student + i] = out[i];
  };
  const auto& d = c.attrs.as<DivergenceAttrs>();
  pull(0, 3, d);
  pull(3, 0, loss::exchanged(d));
}

REGISTER_OP(LinearDivergence);
REGISTER_OP(LinearDivergenceBackward);
}  // namespace

Tensor linear_divergence(const DivergenceAttrs& d, const LinearHead& student, const LinearHead& teacher) {
  loss::check("linear_divergence", d);
  if (student.hidden.rank() < 1)
    throw ShapeError("linear_divergence: hidden states need at least one axis; got {}", student.hidden.str());
  const auto rows = [](const Tensor& h) {
    return h.rank() == 2 ? h : reshape(h, {h.numel() / std::max<std::int64_t>(h.shape().back(), 1), h.shape().back()});
  };
  Shape lead = student.hidden.shape();
  lead.erase(lead.rank() - 1);
  const Tensor y = apply_with<LinearDivergence>(AttrBox::of(d), rows(student.hidden), student.weight, student.bias,
                                                rows(teacher.hidden), teacher.weight, teacher.bias);
  return reshape(y, lead);
}

}  // namespace retort

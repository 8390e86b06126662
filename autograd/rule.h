// autograd/rule.h -- the five kinds of rule. A struct derives from one of them, gives its few functions, and
// REGISTER_OP makes the op from it. The bases turn those functions into the reverse and forward rules of autograd/op.h.
#pragma once
#include <array>

#include "autograd/op.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/tape.h"

namespace retort {

/// The op made from rule struct R, registered on first use and by REGISTER_OP at start-up.
template <class R>
const Op& op_of();
#define REGISTER_OP(R) [[maybe_unused]] static const ::retort::Op& R##_registered = ::retort::op_of<R>()

template <class R, class... T>
Tensor apply(const T&... in) {
  const std::array<Tensor, sizeof...(T)> inputs{in...};
  return apply1(op_of<R>(), inputs);
}
template <class R, class... T>
Tensor apply_with(AttrBox attrs, const T&... in) {
  const std::array<Tensor, sizeof...(T)> inputs{in...};
  return apply1(op_of<R>(), inputs, attrs);
}

namespace infer {
/// Same float dtype everywhere; shapes broadcast; the result keeps the memory arrangement of a full-size dense input.
void elementwise(InferCall& call);
/// As elementwise, for integers too (not bool).
void arithmetic(InferCall& call);
/// Shapes broadcast, one dtype of any kind; the result is bool.
void comparison(InferCall& call);
/// As comparison, all inputs bool.
void logical(InferCall& call);
/// The broadcast shape of all inputs, and the strides of the first dense input that has it (row-major when none has).
std::pair<Shape, Strides> joint_layout(const InferCall& call);
/// One output of this dtype: input 0's shape without (or with extent 1 at) the axes of ReduceAttrs.
void reduction(InferCall& call, DType dtype);
/// Throws DTypeError unless input i is a float tensor.
void require_float(const InferCall& call, std::size_t i);
/// Throws DTypeError unless input i is an i64 tensor.
void require_index(const InferCall& call, std::size_t i);
/// Throws DTypeError unless all defined inputs in [first, last) have one dtype.
void require_same_dtype(const InferCall& call, std::size_t first, std::size_t last);
/// Throws ShapeError unless input i has `rank` axes.
void require_rank(const InferCall& call, std::size_t i, int rank);
/// Strides of a result that has the shape of `t` and keeps its arrangement when that is dense.
Strides like(const Tensor& t);
}  // namespace infer

/// Not differentiable: comparisons, argmax, integer results. R: name, infer.
template <class R>
struct NonDifferentiable {
  static constexpr Kind kind = Kind::none;
};

/// y = f(x...) per element. R: name and one of
///   derivative(x)            dy/dx from the input          (unary; or derivative(x, attrs))
///   derivative_at(x, y)      dy/dx from input and output   (unary; `uses_input` false when y suffices)
///   partial(i, a, b)         dy/d(input i)                 (binary)
/// These are written in public ops, so they give every order. Unary ones may have pull(cot, x or y), cot times the
/// slope as one kernel: see SlopeProduct.
template <class R>
struct Elementwise {
  static constexpr Kind kind = Kind::elementwise;
  static constexpr bool broadcasts = true;
  static void infer(InferCall& call) { infer::elementwise(call); }
  static constexpr bool binary = requires(const Tensor& t) { R::partial(0, t, t); };
  static constexpr bool from_output = requires(const Tensor& t) { R::derivative_at(t, t); };
  static Saves saves(std::uint32_t, const AttrBox&) {
    if constexpr (binary) return {3, 0, 0};
    if constexpr (from_output) {
      if constexpr (requires { R::uses_input; }) return {R::uses_input ? 1u : 0u, 1, 0};
      return {1, 1, 0};
    }
    return {1, 0, 0};
  }
  static Tensor slope(std::size_t i, std::span<const Tensor> in, std::span<const Tensor> out,
                      [[maybe_unused]] const AttrBox& attrs) {
    if constexpr (binary)
      return R::partial(static_cast<int>(i), in[0], in[1]);
    else if constexpr (from_output)
      return R::derivative_at(in[0], out[0]);
    else if constexpr (requires { R::derivative(in[0], attrs); })
      return R::derivative(in[0], attrs);
    else
      return R::derivative(in[0]);
  }
  static void vjp(VjpCall& c) {
    if constexpr (requires { R::pull(c.cot[0], c.in[0]); }) {
      c.grad[0] = R::pull(c.cot[0], from_output ? c.out[0] : c.in[0]);
    } else {
      for (std::size_t i = 0; i < c.in.size(); ++i)
        if (c.wants[i]) c.grad[i] = mul(c.cot[0], slope(i, c.in, c.out, c.attrs));
    }
  }
  static void jvp(JvpCall& c) {
    for (std::size_t i = 0; i < c.in.size(); ++i) {
      if (!c.tangent[i].defined()) continue;
      const Tensor t = mul(c.tangent[i], slope(i, c.in, c.out, c.attrs));
      c.out_tangent[0] = c.out_tangent[0].defined() ? add(c.out_tangent[0], t) : t;
    }
  }
};

/// The reverse rule of an activation in one pass over memory: cot times the slope at v, the activation's input or
/// output. R: name, slope(v), and curvature(v) = d slope / dv.
template <class R>
struct SlopeProduct : Elementwise<R> {
  static Tensor partial(int i, const Tensor& cot, const Tensor& v) {
    return i == 0 ? R::slope(v) : mul(cot, R::curvature(v));
  }
};

/// y linear in all float inputs jointly; other inputs (indices, masks) are constants of the map.
/// R: name, infer (or view), transpose(i, cot, call) = the adjoint for input i. Optional: `saves`; `terms` true when y
/// is a sum of one linear map per input (add, concatenate with zero fill): undefined tangents then become zeros.
template <class R>
struct Linear {
  static constexpr Kind kind = Kind::linear;
  static void vjp(VjpCall& c) {
    for (std::size_t i = 0; i < c.in.size(); ++i)
      if (c.wants[i]) c.grad[i] = R::transpose(i, c.cot[0], c);
  }
  static void jvp(JvpCall& c) {
    Tensors in(c.in.begin(), c.in.end());
    for (std::size_t i = 0; i < in.size(); ++i) {
      if (!in[i].defined() || !is_float(in[i].dtype())) continue;
      const Tensor& t = c.tangent[i];
      if (t.defined())
        in[i] = t;
      else
        in[i] = Tensor::zeros(in[i].shape(), in[i].dtype(), in[i].device());
    }
    c.out_tangent[0] = apply1(op_of<R>(), in, c.attrs);
  }
};

/// y linear in input 0 and in input 1 separately (mul, matmul, convolution). R: name, infer,
/// transpose0(cot, b, call) and transpose1(cot, a, call); `call.in` holds ghosts for what was not saved.
template <class R>
struct Bilinear {
  static constexpr Kind kind = Kind::bilinear;
  static Saves saves(std::uint32_t tracked, const AttrBox&) {
    return {(tracked & 1u ? 2u : 0u) | (tracked & 2u ? 1u : 0u), 0, 3};
  }
  static void vjp(VjpCall& c) {
    if (c.wants[0]) c.grad[0] = R::transpose0(c.cot[0], c.in[1], c);
    if (c.wants[1]) c.grad[1] = R::transpose1(c.cot[0], c.in[0], c);
  }
  static void jvp(JvpCall& c) {
    Tensors in(c.in.begin(), c.in.end());
    for (std::size_t i = 0; i < 2; ++i) {
      if (!c.tangent[i].defined()) continue;
      in[i] = c.tangent[i];
      in[1 - i] = c.in[1 - i];
      const Tensor t = apply1(op_of<R>(), in, c.attrs);
      c.out_tangent[0] = c.out_tangent[0].defined() ? add(c.out_tangent[0], t) : t;
    }
  }
};

/// Both rules written out. R: name, infer, saves, vjp(VjpCall&), jvp(JvpCall&).
template <class R>
struct General {
  static constexpr Kind kind = Kind::general;
};

/// A kernel (or a recomputed region) with a decomposition in public ops. R: name, decompose(in, attrs); optionally
/// infer (a forward kernel), `aux` (trailing outputs kept for the backward kernel), `differentiable` (mask of inputs
/// that can have gradients; default all float ones), and backward(VjpCall&), which calls a FusedBackward op. Without it
/// the reverse rule is the vjp of `decompose`. Higher orders and jvp always go through `decompose`.
template <class R>
struct Fused {
  static constexpr Kind kind = Kind::fused;
  static constexpr int aux = 0;
  static Saves saves(std::uint32_t, const AttrBox&) { return {~0u, ~0u, 0}; }
  static Tensors recompute(std::span<const Tensor> in, const AttrBox& attrs) { return R::decompose(in, attrs); }
  static void vjp(VjpCall& c) {
    if constexpr (requires { R::backward(c); }) {
      R::backward(c);
    } else {
      const auto f = [&c](std::span<const Tensor> in) { return recompute(in, c.attrs); };
      const Tensors g = pull_back(f, c.in, c.cot.first(c.cot.size() - static_cast<std::size_t>(R::aux)), c.wants);
      for (std::size_t i = 0; i < g.size(); ++i) c.grad[i] = g[i];
    }
  }
  static void jvp(JvpCall& c);
};

/// The backward kernel of fused op F, itself fused: inputs are F's inputs, then F's auxiliaries and whatever outputs
/// the kernel wants (`extra` in all), then the cotangents of F's visible outputs. Its decomposition is the vjp of F's,
/// from primals and cotangents only, so that second and higher orders are right. R: name, infer, `extra`, and inputs()
/// = the mask of F's inputs whose gradients it returns, in order; the gradient of an absent input is an empty tensor.
template <class R, class F>
struct FusedBackward : Fused<R> {
  static constexpr int outputs_of_forward = 1;
  static Tensors decompose(std::span<const Tensor> in, const AttrBox& attrs) {
    const std::size_t n_cot = static_cast<std::size_t>(R::outputs_of_forward);
    const std::size_t n = in.size() - static_cast<std::size_t>(R::extra) - n_cot;
    const std::unique_ptr<bool[]> wants(new bool[n]);
    for (std::size_t i = 0; i < n; ++i)
      wants[i] = (R::inputs() >> i & 1u) && in[i].defined() && is_float(in[i].dtype());
    const auto f = [&attrs](std::span<const Tensor> x) { return F::decompose(x, attrs); };
    Tensors g = pull_back(f, in.first(n), in.last(n_cot), std::span<const bool>(wants.get(), n));
    Tensors out;
    for (std::size_t i = 0; i < n; ++i) {
      if (wants[i])
        out.push_back(g[i].defined() ? g[i] : Tensor::zeros(in[i].shape(), in[i].dtype(), in[i].device()));
      else if ((R::inputs() >> i & 1u) && !in[i].defined())
        out.push_back(Tensor::zeros({0}, in[0].dtype(), in[0].device()));
    }
    return out;
  }
};

/// Forward rule of a decomposition: runs it under a jvp level at the given primals.
Tensors decomposed_tangents(DecomposeFn decompose, const JvpCall& call);

template <class R>
void Fused<R>::jvp(JvpCall& c) {
  const Tensors t =
      decomposed_tangents([](std::span<const Tensor> in, const AttrBox& a) { return R::decompose(in, a); }, c);
  for (std::size_t i = 0; i < t.size(); ++i) c.out_tangent[i] = t[i];
}

template <class R>
const Op& op_of() {
  static const Op* const op = [] {
    Op* o = new Op(R::name);  // lives as long as the program: tapes hold pointers to it
    o->kind = R::kind;
    if constexpr (requires { R::outputs; }) o->outputs = R::outputs;
    if constexpr (requires { R::aux; }) {
      o->auxiliaries = R::aux;
      if constexpr (!requires { R::outputs; }) o->outputs = 1 + R::aux;
    }
    if constexpr (requires { R::broadcasts; }) o->broadcasts = R::broadcasts;
    if constexpr (requires { R::infer; }) o->infer = [](InferCall& c) { R::infer(c); };
    if constexpr (requires { R::view; })
      o->view = [](const Tensor& t, const AttrBox& a, std::span<Tensor> out) { out[0] = R::view(t, a); };
    if constexpr (requires { R::views; })
      o->view = [](const Tensor& t, const AttrBox& a, std::span<Tensor> out) { R::views(t, a, out); };
    if constexpr (R::kind != Kind::none) {
      o->vjp = [](VjpCall& c) { R::vjp(c); };
      o->jvp = [](JvpCall& c) { R::jvp(c); };
      if constexpr (requires(const AttrBox& a) { R::saves(0u, a); })
        o->saves = [](std::uint32_t tracked, const AttrBox& a) { return R::saves(tracked, a); };
    }
    if constexpr (R::kind == Kind::fused)
      o->decompose = [](std::span<const Tensor> in, const AttrBox& a) { return R::decompose(in, a); };
    register_op(*o);
    return o;
  }();
  return *op;
}

}  // namespace retort

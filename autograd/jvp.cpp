#include "autograd/jvp.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"

namespace retort {

namespace {

class JvpLevel final : public Level {
 public:
  struct TangentLift final : LevelLift {
    Tensor tangent;
  };
  explicit JvpLevel(JvpMode mode) : mode_(mode) { push(); }
  void end() { pop(); }

  Tensor lift(const Tensor& primal, const Tensor& tangent) {
    Ref<TangentLift> l(new TangentLift);
    l->level = Ref<Level>(this);
    l->below = primal;
    // Ops whose kernels want channels innermost ask the primal whether it is stored so, and then hand on both as they
    // are.
    l->tangent = primal.layout().channels_last() ? channels_last(tangent) : tangent;
    return with_lift(primal, Ref<LevelLift>(l.get()));
  }
  Tensor tangent_of(const Tensor& t) const {
    return lifted_to(t, *this) ? static_cast<const TangentLift*>(lift_of(t))->tangent : Tensor();
  }

  void apply(const Op& op, std::span<const Tensor> in, const AttrBox& attrs, std::span<Tensor> out) override {
    Tensors primals, tangents;
    for (const Tensor& t : in) {
      primals.push_back(below(t, *this));
      tangents.push_back(tangent_of(t));
    }
    Tensors results(out.size()), out_tangents(out.size());
    retort::apply(op, primals, attrs, results);
    if (op.kind != Kind::none) {
      if (!op.jvp) throw AutogradError("{}: has no forward rule, so it cannot run under jvp", op.name);
      Tensors at(primals), result_at(results);
      if (mode_ == JvpMode::detached) {
        for (Tensor& t : at) t = widened(t);
        for (Tensor& t : result_at) t = widened(t);
      }
      JvpCall call{op.name, attrs, at, result_at, tangents, out_tangents};
      op.jvp(call);
    }
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] = out_tangents[i].defined() ? lift(results[i], out_tangents[i]) : results[i];
  }

 private:
  /// Detached tangents are computed away from every outer level, and 16-bit primals are read in f32.
  static Tensor widened(const Tensor& t) {
    if (!t.defined()) return t;
    const Tensor value = stop_gradient(t);
    const bool narrow = value.dtype() == DType::f16 || value.dtype() == DType::bf16;
    return narrow && value.storage() ? cast(value, DType::f32) : value;
  }
  JvpMode mode_;
};

}  // namespace

JvpResult jvp(const std::function<Tensors(std::span<const Tensor>)>& f, std::span<const Tensor> x,
              std::span<const Tensor> v, JvpMode mode) {
  if (x.size() != v.size()) throw AutogradError("jvp: {} inputs but {} tangents", x.size(), v.size());
  Ref<JvpLevel> level(new JvpLevel(mode));
  struct End {
    JvpLevel& level;
    ~End() { level.end(); }
  } const end{*level};
  Tensors lifted(x.begin(), x.end());
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (!v[i].defined()) continue;
    if (!(v[i].shape() == x[i].shape()))
      throw ShapeError("jvp: tangent {} does not fit input {}", v[i].str(), x[i].str());
    Tensor tangent = mode == JvpMode::detached ? stop_gradient(v[i]) : v[i];
    if (mode == JvpMode::detached && tangent.dtype() != DType::f64) tangent = cast(tangent, DType::f32);
    lifted[i] = level->lift(x[i], tangent);
  }
  JvpResult r;
  for (const Tensor& y : f(lifted)) {
    const Tensor t = level->tangent_of(y);
    r.out.push_back(below(y, *level));
    r.tangent.push_back(t.defined() || !y.defined() ? t : Tensor::zeros(y.shape(), y.dtype(), y.device()));
  }
  return r;
}

std::pair<Tensor, Tensor> jvp(const std::function<Tensor(const Tensor&)>& f, const Tensor& x, const Tensor& v,
                              JvpMode mode) {
  const auto g = [&f](std::span<const Tensor> in) { return Tensors{f(in[0])}; };
  JvpResult r = jvp(g, std::span(&x, 1), std::span(&v, 1), mode);
  return {std::move(r.out[0]), std::move(r.tangent[0])};
}

}  // namespace retort

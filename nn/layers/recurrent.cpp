#include "nn/layers/recurrent.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/shape.h"

namespace retort {

RecurrentCell::RecurrentCell(std::int64_t gates, std::int64_t in, std::int64_t width, bool with_bias) : hidden(width) {
  const Init law = Init::uniform(1 / std::sqrt(static_cast<double>(width)));
  weight_ih = Parameter({gates * width, in}, law);
  weight_hh = Parameter({gates * width, width}, law);
  if (!with_bias) return;
  bias_ih = Parameter({gates * width}, law, false);
  bias_hh = Parameter({gates * width}, law, false);
}

Tensor RecurrentCell::project(const Tensor& x, Ctx& ctx) const {
  return linear(x, ctx(weight_ih), bias_ih.value.defined() ? ctx(bias_ih) : Tensor());
}

Tensor RecurrentCell::recur(const Tensor& h, Ctx& ctx) const {
  return linear(h, ctx(weight_hh), bias_hh.value.defined() ? ctx(bias_hh) : Tensor());
}

void RecurrentCell::visit(Visitor& v) {
  v("weight_ih", weight_ih);
  v("weight_hh", weight_hh);
  if (!bias_ih.value.defined()) return;
  v("bias_ih", bias_ih);
  v("bias_hh", bias_hh);
}

namespace {
/// A state's tensor, or the zeros it stands for.
Tensor or_zeros(const Tensor& state, const Tensor& projected, std::int64_t hidden) {
  if (state.defined()) return state;
  return Tensor::zeros({projected.size(0), hidden}, projected.dtype(), projected.device());
}
}  // namespace

LstmCell::State LstmCell::step(const Tensor& projected, const State& state, Ctx& ctx) const {
  const Tensor h = or_zeros(state.h, projected, hidden), c = or_zeros(state.c, projected, hidden);
  const std::vector<Tensor> gates = chunk(projected + recur(h, ctx), 4, -1);
  const Tensor next = sigmoid(gates[1]) * c + sigmoid(gates[0]) * tanh(gates[2]);
  return {sigmoid(gates[3]) * tanh(next), next};
}

GruCell::State GruCell::step(const Tensor& projected, const State& state, Ctx& ctx) const {
  const Tensor h = or_zeros(state.h, projected, hidden);
  const std::vector<Tensor> from_x = chunk(projected, 3, -1), from_h = chunk(recur(h, ctx), 3, -1);
  const Tensor reset = sigmoid(from_x[0] + from_h[0]), update = sigmoid(from_x[1] + from_h[1]);
  const Tensor candidate = tanh(from_x[2] + reset * from_h[2]);
  return {candidate + update * (h - candidate)};
}

template <class Cell>
Recurrent<Cell>::Recurrent(std::int64_t in, std::int64_t hidden, const RecurrentOptions& options) {
  if (options.layers < 1) throw ValueError("recurrent: needs at least one layer; got {}", options.layers);
  for (int k = 0; k < options.layers; ++k) {
    forward.emplace_back(in, hidden, options.bias);
    if (options.bidirectional) backward.emplace_back(in, hidden, options.bias);
    in = hidden * (options.bidirectional ? 2 : 1);
  }
}

namespace {
/// One cell over all steps of x [n, t, in], from the last to the first when `reverse`: outputs [n, t, hidden] in the
/// order of time, and the final state in `state`.
template <class Cell>
Tensor run(const Cell& cell, const Tensor& x, typename Cell::State& state, bool reverse, Ctx& ctx) {
  const Tensor projected = cell.project(x, ctx);
  const std::int64_t steps = x.size(1);
  std::vector<Tensor> outputs(static_cast<std::size_t>(steps));
  for (std::int64_t i = 0; i < steps; ++i) {
    const std::int64_t t = reverse ? steps - 1 - i : i;
    state = cell.step(select(projected, 1, t), state, ctx);
    outputs[static_cast<std::size_t>(t)] = state.h;
  }
  return stack(outputs, 1);
}
}  // namespace

template <class Cell>
typename Recurrent<Cell>::Result Recurrent<Cell>::operator()(const Tensor& x, Ctx& ctx,
                                                             const std::vector<State>& first) const {
  if (x.rank() != 3 || x.size(1) < 1) throw ShapeError("recurrent: needs sequences [n, t >= 1, in]; got {}", x.str());
  const std::size_t states = forward.size() + backward.size();
  if (!first.empty() && first.size() != states)
    throw ShapeError("recurrent: needs {} first states, one per layer and direction; got {}", states, first.size());
  ctx.tap(*this, "in", x);
  Result r{x, first};
  r.last.resize(states);
  for (std::size_t k = 0, at = 0; k < forward.size(); ++k) {
    const Tensor ahead = run(forward[k], r.out, r.last[at++], false, ctx);
    r.out = backward.empty() ? ahead : concat(std::array{ahead, run(backward[k], r.out, r.last[at++], true, ctx)}, -1);
  }
  ctx.tap(*this, "out", r.out);
  return r;
}

template <class Cell>
void Recurrent<Cell>::visit(Visitor& v) {
  v("forward", forward);
  if (!backward.empty()) v("backward", backward);
}

template struct Recurrent<LstmCell>;
template struct Recurrent<GruCell>;

}  // namespace retort

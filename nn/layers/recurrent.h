// nn/layers/recurrent.h -- gated recurrent networks: cells, and layers of them that run over sequences.
// Parameters lie as PyTorch's do: weight_ih [gates hidden, in], weight_hh [gates hidden, hidden], bias_ih, bias_hh
// [gates hidden], so a checkpoint maps name by name: "forward.K.weight_ih" is weight_ih_lK, "backward.K.weight_ih" is
// weight_ih_lK_reverse. All start uniform within 1 / sqrt(hidden).
#pragma once
#include "nn/context.h"

namespace retort {

/// The four parameters of a cell with `gates` gates of one linear map of x and one of h.
struct RecurrentCell : Module {
  Parameter weight_ih, weight_hh, bias_ih, bias_hh;
  std::int64_t hidden;
  RecurrentCell(std::int64_t gates, std::int64_t in, std::int64_t width, bool with_bias);
  /// The cell's view of its input, x W_ih^T + b_ih: x [.., in] -> [.., gates hidden]. For a whole sequence at once.
  Tensor project(const Tensor& x, Ctx& ctx) const;
  void visit(Visitor& v) override;

 protected:
  Tensor recur(const Tensor& h, Ctx& ctx) const;
};

/// Long short-term memory (Hochreiter and Schmidhuber 1997; forget gates by Gers et al. 2000), gates in the order i, f,
/// g, o: c' = sigmoid(f) c + sigmoid(i) tanh(g), h' = sigmoid(o) tanh(c').
struct LstmCell : RecurrentCell {
  struct State {
    Tensor h, c;  ///< [n, hidden]; undefined: zeros
  };
  LstmCell(std::int64_t in, std::int64_t width, bool with_bias = true) : RecurrentCell(4, in, width, with_bias) {}
  /// One step: x [n, in].
  State operator()(const Tensor& x, const State& state, Ctx& ctx) const { return step(project(x, ctx), state, ctx); }
  State step(const Tensor& projected, const State& state, Ctx& ctx) const;
};

/// Gated recurrent unit (Cho et al. 2014), gates in the order r, z, n, the reset gate applied after the product as
/// cuDNN and PyTorch do: n = tanh(n_x + sigmoid(r) n_h), h' = (1 - sigmoid(z)) n + sigmoid(z) h.
struct GruCell : RecurrentCell {
  struct State {
    Tensor h;  ///< [n, hidden]; undefined: zeros
  };
  GruCell(std::int64_t in, std::int64_t width, bool with_bias = true) : RecurrentCell(3, in, width, with_bias) {}
  State operator()(const Tensor& x, const State& state, Ctx& ctx) const { return step(project(x, ctx), state, ctx); }
  State step(const Tensor& projected, const State& state, Ctx& ctx) const;
};

struct RecurrentOptions {
  int layers = 1;
  bool bidirectional = false;  ///< every layer also runs from the last step to the first; its outputs are appended
  bool bias = true;
};

/// Layers of cells over sequences x [n, t, in] -> out [n, t, directions hidden]; layer k reads the outputs of layer k
/// - 1. Inputs of all steps are projected in one product per layer and direction. Taps: in, out. Throws ShapeError for
/// an input of another rank or without steps, or a wrong number of first states.
template <class Cell>
struct Recurrent : Module {
  using State = typename Cell::State;
  struct Result {
    Tensor out;
    std::vector<State> last;  ///< after the final step: layer by layer, forward before backward
  };
  std::vector<Cell> forward, backward;  ///< one per layer; `backward` is empty unless bidirectional

  Recurrent(std::int64_t in, std::int64_t hidden, const RecurrentOptions& options = {});
  /// `first`: states before the first step, in the order of Result::last; empty: zeros.
  Result operator()(const Tensor& x, Ctx& ctx, const std::vector<State>& first = {}) const;
  void visit(Visitor& v) override;
};
using Lstm = Recurrent<LstmCell>;
using Gru = Recurrent<GruCell>;

}  // namespace retort

// distill/objectives/inner.h -- the term Inner: a net trained on (or shown) a synthetic set is compared with what real
// data make of it. Inner = solver x statistic x distance; gradients reach the set through the solver.
#pragma once
#include "distill/data/dsa.h"
#include "distill/data/pixel_set.h"
#include "distill/objectives/discrepancy.h"

namespace retort {

/// A role's model as a function of its weights. Computes in the dtype of the masters.
class NetFunction {
 public:
  /// `training` is what modules are told: batch norm looks at the batch, dropout draws.
  /// Its weights are leaves of the update's tape when `trained`.
  NetFunction(const Role& role, const Pass& pass, bool training, bool trained = false);
  /// The present weights in declaration order.
  const Tensors& weights() const { return weights_; }
  Tensor logits(const Tensors& weights, const Tensor& x) const;
  /// Taps alone; the model may stop after the last.
  Tensors taps(const Tensors& weights, const Tensor& x, const std::vector<TapId>& wanted) const;
  const Role& role() const { return role_; }

 private:
  Reply call(const Tensors& weights, const Tensor& x, const Want& want) const;
  const Role& role_;
  const Pass& pass_;
  bool training_;
  std::vector<const Parameter*> parameters_;
  Tensors weights_;
};

/// Labelled images: of the set or of the real batch.
struct Examples {
  Tensor x;
  Tensor label;   ///< i64 [n]
  Tensor target;  ///< soft labels or vectors [n, k]; undefined: the labels count
};

/// What training on a set descends: `ce`, cross-entropy with labels or soft labels; `sq`, half the squared distance to
/// vectors (one-hot labels without them), summed over them. A mean over examples.
enum class InnerLoss : std::uint8_t { ce, sq };
Tensor inner_loss(InnerLoss loss, const Tensor& logits, const Examples& data);
/// Its gradient in the weights, itself differentiable by the levels below.
Tensors inner_gradient(InnerLoss loss, const NetFunction& net, const Tensors& weights, const Examples& data);

/// The problem inside a term at one step. Recomputed steps of a solver keep it until the gradient has been taken.
struct InnerProblem {
  NetFunction net;
  const PixelSet& set;
  std::function<SetRows(const Tensor& slots)> rows;  ///< of the set, under the update's tape when it is trained
  Tensor rate;                                       ///< learned learning rate; undefined: the solver's own
  InnerLoss loss;
  const Dsa* view = nullptr;  ///< null: images as they are
  std::string stream;         ///< names random draws
  const Pass& pass;
  Clock clock;
  std::size_t goals;  ///< trajectory targets the solver stops at, evenly spaced, the end last
};
/// Where the inner problem ended.
struct InnerSolution {
  std::vector<Tensors> weights;                    ///< at each goal; the end last
  std::function<Tensor(const Tensor& x)> predict;  ///< the solution's answer to images
  /// Makes the term's total differentiable in the set where the solver cut that off; empty: nothing was.
  std::function<Tensor(const Tensor& total)> finish = {};
};
/// Table `solver`.
using InnerSolver = std::function<InnerSolution(const std::shared_ptr<const InnerProblem>&)>;
/// direct: the net as it is. unroll(steps lr=syn.lr batch=0 momentum=0 keep=steps recompute=false): gradient descent on
/// minibatches of the set (0: all of it), differentiated through the last `keep` steps; `recompute` stores the inputs
/// of each step alone. tesla(steps lr batch=0): the same without the later steps' dependence on the earlier ones (Cui
/// et al. 2022, 2211.10586). ridge(lambda=1e-6 tap=head:in bias=false): the closed form on features with lambda tr(K) /
/// n as a constant (Nguyen et al. 2021, 2011.00050; Zhou et al. 2022, 2206.00719).
/// linearised(lambda=5e-4 lr=1e-3 steps=20 by=adam|cg): a convex problem, differentiated implicitly (RCIG).
InnerSolver make_inner_solver(const Call& call, const std::string& set, const NumberMap& numbers);

/// One tensor of the synthetic side, its counterpart, and where the inner problem began (for `params`).
struct InnerPair {
  Tensor syn, target, start;
};
using InnerPairs = std::vector<InnerPair>;

/// What a statistic is made from.
struct InnerData {
  const InnerProblem& problem;
  const InnerSolution& solution;
  const Examples& real;
  const Tensors& start;                                          ///< weights that distances are normalised by
  const std::vector<Tensors>& goals;                             ///< weights of the goal roles
  const std::function<Tensor(const std::string& role)>& answer;  ///< a role's constant answer to the real images
};
/// Table `statistic`: groups of pairs; each group is compared on its own, the results are added.
struct InnerStatistic {
  std::function<std::vector<InnerPairs>(const InnerData&)> groups;
  bool training = true;   ///< how the net is called
  std::string role = {};  ///< that answers for the target; empty: none
};
/// grad(of=all|kernels per=class|batch), feature_mean(tap=head:in per=class), cf(count tap=head:in per=class), params,
/// bn(first=1), prediction(target=label|centred|ROLE); of a net that is trained: input_gradient, flat(rho alpha). The
/// per-class ones take select=N: of the real images of a class those nearest to the centroids of N clusters.
InnerStatistic make_inner_statistic(const Call& call, const NumberMap& numbers);

/// Table `distance` of pairs: row_cos, l1, sq, mse, half_mse, norm, normalised_sq, ce, dot, margin_mse,
/// ncf(amplitude=.5 phase=.5).
using InnerDistance = std::function<Tensor(const InnerPairs&)>;
InnerDistance make_inner_distance(const Call& call, const NumberMap& numbers);

/// Everything a preset says about an Inner term.
struct InnerSpec {
  std::string name, set, net, start;  ///< start: whose weights the distance is normalised by; empty: those of `net`
  std::vector<std::string> goals;
  InnerLoss loss = InnerLoss::ce;
  std::optional<Dsa> view;
  InnerStatistic statistic;
  InnerSolver solver;
  InnerDistance distance;
};
std::unique_ptr<Term> make_inner(InnerSpec spec);

/// dsa(siamese|own ops=color_crop_..): one change for all images of a call, or one for each. Throws ConfigError.
Dsa parse_dsa(const Call& call);

/// Parses `terms.NAME` with `kind: inner`: set, net, goal (a role or a list), start, loss (ce|sq), view
/// (dsa(siamese|own ops=color_crop_..)), statistic, solver, distance; `reduce` is sum/batch. Throws ConfigError.
InnerSpec parse_inner(const std::string& name, Config& term, const NumberMap& numbers);

/// Rows of each class that occurs, in order of classes; on the meta device as if classes were even.
std::vector<Tensor> rows_by_class(const Tensor& labels, std::int64_t classes);

}  // namespace retort

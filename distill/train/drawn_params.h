// distill/train/drawn_params.h -- roles whose weights are drawn for a step: fresh networks, pools of networks of all
// ages, points of recorded training runs.
#pragma once
#include "distill/objectives/net.h"
#include "distill/train/call.h"

namespace retort {

/// Weights of training runs: table [runs, points, parameters], one row for each recorded point. Part of a run's state.
struct Trajectories {
  Tensor table;
  std::int64_t runs() const { return table.size(0); }
  std::int64_t points() const { return table.size(1); }
  /// Writes the role's present weights.
  void record(const Role& role, std::int64_t run, std::int64_t point);
};

/// At which step of which seed weights are drawn.
struct DrawStep {
  std::uint64_t seed = 0;
  std::int64_t phase_step = 0, step = 0;
};

/// Where the weights of a role come from at each step. What was trained into them until its end is kept only by a pool.
class DrawnParams {
 public:
  virtual ~DrawnParams() = default;
  /// Sets the role's weights before the step's first update. Calling it twice changes nothing.
  virtual void begin(Role& role, const DrawStep& at) = 0;
  virtual void end(const Role& /*role*/, const DrawStep& /*at*/) {}
  /// What a checkpoint keeps.
  virtual void visit_state(const std::function<void(const std::string& name, Tensor& value)>& /*visit*/) {}
};

/// `params: fresh(every=1)`: initialised anew every so many steps of a phase.
/// `pool(size=10 age=100)`: one of `size` networks, drawn each step; it goes back one step older, and starts anew at
/// that age (Zhou et al. 2022; first ages are spread evenly).
/// `trajectory(STORE first=0 last=0 ahead=0 from=last over=0 noise=0)`: a point of a random run in [first, last],
/// `ahead` points later; roles of one store see one draw. The window's end grows from `from` to `last` over the first
/// `over` steps (DATM). `noise` moves every kernel by that share of its own size along a random direction
/// of unit norm (AST).
/// `between(STORE)`: l theta_first + (1 - l) theta_last of a random run, l uniform (NCFM).
/// `critical(TEACHER floor tap=TAP)`, of a masked set: the mask becomes max(0, floor - CAM), CAM the class activation
/// map of the teacher for the image's class from 0 to 1 (NRR-DD). Null for other calls. Entries of `stores` and `roles`
/// must outlive it. Throws ConfigError.
std::unique_ptr<DrawnParams> make_drawn_params(const Call& call, const Role& role,
                                               const std::map<std::string, Trajectories>& stores, const Roles& roles);
/// sum_d w_yd f_d of a feature map f [n, d, h, w] under the last layer w [K, d] of a network that averages over
/// positions (Zhou et al. 2016), scaled to [0, 1] in each image: [n, 1, h, w]. A constant map is 0.
Tensor class_activation(const Tensor& features, const Tensor& weight, const Tensor& label);
bool is_drawn(const Call& call);

}  // namespace retort

// autograd/level.h -- the stack of differentiation levels: reverse tapes and forward (JVP) levels nest in any order.
#pragma once
#include "autograd/op.h"

namespace retort {

/// One active differentiation. Levels are numbered by depth on their thread; an op goes to the highest level among its
/// inputs, whose rule works on the values one level below.
class Level : public RefCounted<Level> {
 public:
  virtual ~Level() = default;
  /// Runs `op` for inputs of which at least one is lifted to this level.
  virtual void apply(const Op& op, std::span<const Tensor> in, const AttrBox& attrs, std::span<Tensor> out) = 0;
  int depth() const { return depth_; }
  bool active() const { return depth_ > 0; }

 protected:
  void push();  ///< becomes the innermost level of this thread
  void pop();   ///< ends it: tensors lifted to it can be read but no longer used in ops

 private:
  int depth_ = 0;
};

/// What a level attaches to a tensor it lifted: the value below, and its own bookkeeping.
struct LevelLift : Lift {
  Ref<Level> level;
  Tensor below;
};

/// The lift of a tensor, or null. All lifts are LevelLifts.
inline LevelLift* lift_of(const Tensor& t) { return static_cast<LevelLift*>(t.lift()); }
inline bool lifted_to(const Tensor& t, const Level& level) {
  const LevelLift* l = lift_of(t);
  return l && l->level.get() == &level;
}
/// The value one level below `level`: `t` itself when it is not lifted to it.
inline const Tensor& below(const Tensor& t, const Level& level) { return lifted_to(t, level) ? lift_of(t)->below : t; }
/// A tensor that shares `value`'s storage and carries `lift`.
Tensor with_lift(const Tensor& value, Ref<LevelLift> lift);

/// The value below every level: no derivative of any kind flows through it.
Tensor stop_gradient(const Tensor& t);
/// True when some level tracks `t`.
inline bool tracked(const Tensor& t) { return t.lift() != nullptr; }

}  // namespace retort

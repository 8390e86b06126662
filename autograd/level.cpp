#include "autograd/level.h"

namespace retort {

namespace {
thread_local std::vector<Level*> stack;
}

void Level::push() {
  depth_ = stack.empty() ? 1 : stack.back()->depth() + 1;
  stack.push_back(this);
}

void Level::pop() {
  std::erase(stack, this);
  depth_ = 0;
}

Tensor with_lift(const Tensor& value, Ref<LevelLift> lift) {
  Tensor t = value.view(value.layout());
  t.impl()->lift = Ref<Lift>(lift.get());
  return t;
}

Tensor stop_gradient(const Tensor& t) {
  const Tensor* v = &t;
  while (v->lift()) v = &lift_of(*v)->below;
  return *v;
}

}  // namespace retort

#include "distill/train/answers.h"

#include <algorithm>

#include "autograd/ops/index.h"
#include "autograd/ops/shape.h"

namespace retort {

namespace {
const TapId& tap_of(const Read& r, const Role& role) {
  return r.from == Read::From::tap ? r.tap : role.head_input.at(r.head);
}
}  // namespace

void Answers::wish(const Term& term) {
  wish(term.pred());
  if (term.target()) wish(*term.target());
}

Signals Answers::signals(const Term& term) {
  return {get(term.pred()), term.target() ? stop_gradient(get(*term.target())) : Tensor()};
}

void Answers::wish(const Read& r) {
  Want& want = wishes_.try_emplace(r.role, Want{.out = false, .taps = {}}).first->second;
  if (r.from == Read::From::out) {
    want.out = true;
    return;
  }
  const TapId& tap = tap_of(r, roles_.at(r.role));
  if (std::find(want.taps.begin(), want.taps.end(), tap) == want.taps.end()) want.taps.push_back(tap);
}

Tensor Answers::get(const Read& r) {
  const Role& role = roles_.at(r.role);
  const Grad grad = trained_.contains(r.role) ? Grad::Train : Grad::None;
  const Want& want = wishes_.at(r.role);
  auto reply = replies_.find(r.role);
  if (reply == replies_.end()) {
    const Query query{batch_.x, batch_.index, batch_.sample};
    reply = replies_.emplace(r.role, role.net->eval(query, want, grad, pass_)).first;
  }
  if (r.from == Read::From::out) return reply->second.out;
  const auto at = std::find(want.taps.begin(), want.taps.end(), tap_of(r, role)) - want.taps.begin();
  const Tensor& tap = reply->second.taps[static_cast<std::size_t>(at)];
  return r.from == Read::From::tap ? tap : head(role, r.head, tap, grad);
}

Tensor Answers::head(const Role& role, const std::string& name, const Tensor& tap, Grad grad) const {
  Ctx ctx;
  ctx.training = pass_.training && grad == Grad::Train;
  ctx.leaves = grad == Grad::Train ? pass_.leaves : nullptr;
  ctx.stats = grad == Grad::Train ? pass_.stats : nullptr;
  ctx.compute = role.compute;
  ctx.rng = pass_.rng;
  ctx.step = pass_.step;
  ctx.samples = batch_.sample;
  return role.heads.at(name)->forward(tap, ctx);
}

Batch joined(const std::vector<Batch>& parts) {
  if (parts.size() == 1) return parts[0];
  const auto join = [&](Tensor Batch::*field) {
    Tensors all;
    for (const Batch& b : parts) {
      if (!(b.*field).defined()) return Tensor();
      all.push_back(b.*field);
    }
    return concat(all, 0);
  };
  return {join(&Batch::x),      join(&Batch::y),     join(&Batch::y2),
          join(&Batch::lambda), join(&Batch::index), join(&Batch::sample)};
}

}  // namespace retort

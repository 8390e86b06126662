#include "distill/train/answers.h"

#include <algorithm>

#include "autograd/ops/index.h"
#include "autograd/ops/shape.h"

namespace retort {

namespace {
const std::vector<TapId>& inputs_of(const Read& r, const Role& role) {
  return r.from == Read::From::head ? role.heads.at(r.head).inputs : r.taps;
}
}  // namespace

void Answers::wish(const Term& term) {
  for (const Read& r : term.reads()) wish(r, &term);
}

Signals Answers::signals(const Term& term) {
  Signals signals;
  for (const Read& r : term.reads()) {
    Tensors values = get(r, &term);
    if (!r.live)
      for (Tensor& value : values) value = stop_gradient(value);
    signals.push_back(std::move(values));
  }
  return signals;
}

Tensors Answers::read(const Read& r) {
  Tensors values = get(r, nullptr);
  for (Tensor& value : values) value = stop_gradient(value);
  return values;
}

void Answers::wish(const Read& r, const Term* term) {
  if (r.from == Read::From::store) return;
  Want& want = wishes_.try_emplace(place(r, term), Want{.out = false, .taps = {}}).first->second;
  want.out = want.out || r.from == Read::From::out;
  for (const TapId& tap : inputs_of(r, roles_.at(r.role))) {
    if (tap.path.empty())
      want.out = true;
    else if (std::find(want.taps.begin(), want.taps.end(), tap) == want.taps.end())
      want.taps.push_back(tap);
  }
}

const Tensor& Answers::state(const Place& place) {
  TensorMap& known = states_[place.term];
  if (known.empty()) {
    known["x"] = batch_.x;
    if (place.term)
      for (const State& s : place.term->states()) known[s.name] = s.value(known, batch_, pass_);
  }
  return known.at(place.state);
}

Tensors Answers::get(const Read& r, const Term* term) {
  if (r.from == Read::From::store) return {stores_.at(r.role)->get(batch_.index)};
  const Role& role = roles_.at(r.role);
  const Grad grad = trained_.contains(r.role) ? Grad::Train : Grad::None;
  const Place where = place(r, term);
  const Want& want = wishes_.at(where);
  auto found = replies_.find(where);
  if (found == replies_.end()) {
    const Query query{state(where), batch_.index, batch_.sample};
    found = replies_.emplace(where, role.net->eval(query, want, grad, pass_)).first;
  }
  const Reply& reply = found->second;
  if (r.from == Read::From::out) return {reply.out};
  Tensors values;
  for (const TapId& tap : inputs_of(r, role)) {
    const auto at = std::find(want.taps.begin(), want.taps.end(), tap) - want.taps.begin();
    values.push_back(tap.path.empty() ? reply.out : reply.taps[static_cast<std::size_t>(at)]);
  }
  if (r.from == Read::From::taps) return values;
  Ctx ctx = context_of(role, pass_, grad, batch_.sample);
  return role.heads.at(r.head).module->forward(values, ctx);
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

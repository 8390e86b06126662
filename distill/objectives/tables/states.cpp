// distill/objectives/tables/states.cpp -- inputs derived from the batch, at which roles may be asked.
#include "autograd/ops/shape.h"
#include "distill/objectives/tables/entries.h"

namespace retort {

namespace {
State of_state(const std::string& from, std::function<Tensor(const Tensor&)> f) {
  return {{}, [from, f = std::move(f)](const TensorMap& states, const Batch&, const Pass&) {
            const auto found = states.find(from);
            if (found == states.end()) throw ConfigError("points: there is no state {} before this one", from);
            return f(found->second);
          }};
}

/// Counter-clockwise quarter turns of [n, c, h, w].
Tensor rotate(const Tensor& x, std::int64_t turns) {
  switch ((turns % 4 + 4) % 4) {
    case 1:
      return flip(transpose(x, 2, 3), {2});
    case 2:
      return flip(x, {2, 3});
    case 3:
      return flip(transpose(x, 2, 3), {3});
    default:
      return x;
  }
}
}  // namespace

const Table<State>& states() {
  static const Table<State> entries{
      {"rotate",
       [](TableArgs& args) {
         const std::string from = args.word("state");
         const std::int64_t turns = args.integer("turns");
         return of_state(from, [turns](const Tensor& x) { return rotate(x, turns); });
       }},
      {"flip",
       [](TableArgs& args) { return of_state(args.word("state"), [](const Tensor& x) { return flip(x, {3}); }); }},
  };
  return entries;
}

}  // namespace retort

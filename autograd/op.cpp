#include "autograd/op.h"

#include <cstdlib>
#include <string>

#include "autograd/level.h"

namespace retort {

namespace {
std::vector<const Op*>& registry() {
  static std::vector<const Op*> ops;
  return ops;
}
thread_local int fused_override = -1;

void run_decomposition(const Op& op, std::span<const Tensor> in, const AttrBox& attrs, std::span<Tensor> out) {
  Tensors results = op.decompose(in, attrs);
  if (results.size() != out.size() - static_cast<std::size_t>(op.auxiliaries))
    throw InternalError("{}: its decomposition gives {} outputs", op.name, results.size());
  for (std::size_t i = 0; i < results.size(); ++i) out[i] = std::move(results[i]);
}
}  // namespace

const std::vector<const Op*>& registered_ops() { return registry(); }

void register_op(const Op& op) {
  for (const Op* other : registry())
    if (other->name == op.name) throw InternalError("op registry: two ops named {}", op.name);
  registry().push_back(&op);
}

bool fused_enabled() {
  static const bool from_environment = [] {
    const char* v = std::getenv("RETORT_FUSED");
    return !(v && std::string_view(v) == "0");
  }();
  return fused_override < 0 ? from_environment : fused_override == 1;
}

FusedScope::FusedScope(bool enabled) : previous_(fused_override) { fused_override = enabled ? 1 : 0; }
FusedScope::~FusedScope() { fused_override = previous_; }

void apply(const Op& op, std::span<const Tensor> in, const AttrBox& attrs, std::span<Tensor> out) {
  if (op.kind == Kind::fused && !op.composite() && !fused_enabled()) return run_decomposition(op, in, attrs, out);
  Level* top = nullptr;
  for (const Tensor& t : in)
    if (const LevelLift* l = lift_of(t)) {
      if (!l->level->active())
        throw AutogradError("{}: {} belongs to a level that has ended; hint: stop_gradient it first", op.name, t.str());
      if (!top || l->level->depth() > top->depth()) top = l->level.get();
    }
  if (top) return top->apply(op, in, attrs, out);
  if (op.composite()) return run_decomposition(op, in, attrs, out);
  dispatch(op, in, attrs, out);
}

}  // namespace retort

#include "distill/objectives/net.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/index.h"
#include "autograd/ops/linalg.h"
#include "nn/decoder.h"
#include "tensor/transfer.h"

namespace retort {

Ctx context_of(const Role& role, const Pass& pass, Grad grad, const Tensor& samples) {
  const bool train = grad == Grad::Train;
  Ctx ctx;
  ctx.training = pass.training && (train || role.batch_statistics);
  ctx.leaves = train ? pass.leaves : nullptr;
  ctx.stats = train ? pass.stats : nullptr;
  ctx.compute = role.compute;
  ctx.rng = pass.rng;
  ctx.step = pass.step;
  ctx.samples = samples;
  return ctx;
}

Tensors tapped(Ctx& ctx, const Role& role, const std::vector<TapId>& wanted) {
  ctx.tapped.resize(wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i)
    if (!ctx.tapped[i].defined())
      throw ConfigError("role {}: its model has no tap {}.{}", role.name, wanted[i].path, wanted[i].port);
  return std::move(ctx.tapped);
}

namespace {
class ModelNet final : public Net {
 public:
  explicit ModelNet(const Role& role) : role_(role) {}
  Reply eval(const Query& query, const Want& want, Grad grad, Pass& pass) const override {
    if (role_.answer.empty() || !want.out) return run(query, want, grad, pass);
    const Head& head = role_.heads.at(role_.answer);
    Want inner{.out = false, .taps = want.taps};
    inner.taps.insert(inner.taps.end(), head.inputs.begin(), head.inputs.end());
    Reply reply = run(query, inner, grad, pass);
    Ctx ctx = context_of(role_, pass, grad, query.samples);
    const auto own = static_cast<std::ptrdiff_t>(want.taps.size());
    reply.out = head.module->forward({reply.taps.begin() + own, reply.taps.end()}, ctx).back();
    reply.taps.resize(want.taps.size());
    return reply;
  }

 private:
  Reply run(const Query& query, const Want& want, Grad grad, Pass& pass) const {
    Ctx ctx = context_of(role_, pass, grad, query.samples);
    if (query.as_trained) ctx.training = pass.training;
    ctx.wanted = want.taps;
    ctx.stop_after_taps = !want.out && !want.states;
    Reply reply;
    Tensor x = grad == Grad::None ? stop_gradient(query.x) : query.x;
    Conditions given;
    if (role_.diffusion && query.t.defined()) {
      const NoiseSchedule& schedule = role_.diffusion->schedule;
      const Output& output = role_.diffusion->output;
      given.t = output.time(query.t, schedule);
      const auto* net = dynamic_cast<const Denoiser*>(role_.model.get());
      if (net && net->takes_end_time()) given.s = query.s.defined() ? output.time(query.s, schedule) : given.t;
      given.label = query.label;
      ctx.given = &given;
      x = output.input(x, query.t, schedule);
    }
    const bool low = size_of(role_.compute) == 2 && is_float(x.dtype());
    if (low) x = cast(x, role_.compute);
    if (want.states) {
      const Decoder& decoder = dynamic_cast<const Decoder&>(*role_.model);
      reply.states = {decoder.hidden(x, ctx), decoder.head_weight(ctx)};
      if (want.out) reply.out = linear(reply.states[0], reply.states[1]);
    } else {
      reply.out = role_.model->forward(x, ctx);
    }
    reply.taps = tapped(ctx, role_, want.taps);
    return reply;
  }

  const Role& role_;
};

class TableNet final : public Net {
 public:
  explicit TableNet(Tensor table) : table_(std::move(table)) {}
  Reply eval(const Query& query, const Want& want, Grad grad, Pass&) const override {
    if (!want.taps.empty()) throw ConfigError("a table of answers has no taps; hint: run the teacher online");
    if (grad != Grad::None) throw ConfigError("a table of answers cannot be trained, nor differentiated in its input");
    return {index_select(table_, 0, to(query.index, table_.device())), {}};
  }

 private:
  Tensor table_;
};
}  // namespace

std::unique_ptr<Net> model_net(const Role& role) { return std::make_unique<ModelNet>(role); }
std::unique_ptr<Net> table_net(Tensor table) { return std::make_unique<TableNet>(std::move(table)); }

void visit_role(Role& role, Visitor& v) {
  if (role.model) role.model->visit(v);
  for (auto& [name, head] : role.heads) v("heads." + name, *head.module);
}

namespace {
struct Collector : Visitor {
  std::vector<NamedParameter> parameters;
  std::vector<NamedBuffer> buffers;
  void parameter(const std::string& path, Parameter& p) override { parameters.push_back({path, &p}); }
  void buffer(const std::string& path, Buffer& b) override { buffers.push_back({path, &b}); }
};
}  // namespace

std::vector<NamedParameter> parameters_of(Role& role) {
  Collector c;
  visit_role(role, c);
  return std::move(c.parameters);
}

std::vector<NamedBuffer> buffers_of(Role& role) {
  Collector c;
  visit_role(role, c);
  return std::move(c.buffers);
}

}  // namespace retort

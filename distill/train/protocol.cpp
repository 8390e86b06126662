#include "distill/train/protocol.h"

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/create.h"
#include "autograd/ops/index.h"
#include "autograd/ops/shape.h"
#include "distill/data/image_grid.h"
#include "distill/train/pixel_sets.h"
#include "distill/train/ranks.h"
#include "nn/grad_accumulator.h"

namespace retort {

Protocol parse_protocol(Config& node, Config& models,
                        const std::function<std::shared_ptr<const Dataset>(Config&)>& set_named) {
  Protocol p;
  p.role = node.get<std::string>("role");
  p.arch = parse_call(models.child(node.get<std::string>("net")).child("arch"));
  if (node.has("real")) p.real = set_named(node.child("real"));
  p.nets = node.get_int("nets", p.nets, {.min = 1});
  p.steps = node.get_int("steps", p.steps, {.min = 1});
  p.batch = node.get_int("batch", p.batch, {.min = 1});
  p.optim = parse_optim(node.child("optim"));
  p.loss = node.get_choice("loss", {"ce", "sq"}, "ce") == "ce" ? InnerLoss::ce : InnerLoss::sq;
  p.learned_rate = node.get("learned_lr", false);
  for (Config& view : node.child("views").items()) {
    const std::string text = view.as<std::string>();
    p.views.emplace_back(text, text == "none" ? std::optional<Dsa>() : parse_dsa(parse_call(text, view.where())));
  }
  if (p.views.empty()) node.fail("name at least one view to train under: [dsa(own)], or [none]");
  return p;
}

namespace {
Examples chosen(const Examples& all, const Tensor& rows) {
  return {index_select(all.x, 0, rows), index_select(all.label, 0, rows),
          all.target.defined() ? index_select(all.target, 0, rows) : Tensor()};
}

/// A network trained on `data`: each step a batch of a random order, gone through again and again.
class Training {
 public:
  Training(const Protocol& protocol, const Examples& data, double rate, const std::optional<Dsa>& view)
      : protocol_(protocol), data_(data), rate_(rate), view_(view) {}

  void run(Role& role, const Rng& rng) const {
    const auto parameters = parameters_of(*role.model);
    const auto optimizer = protocol_.optim.make();
    GradAccumulator gradient(parameters);
    std::vector<StatUpdate> statistics;
    const bool meta = data_.x.meta();
    for (std::int64_t step = 0; step < (meta ? 1 : protocol_.steps); ++step) {
      Tape tape;
      Leaves leaves(tape);
      gradient.zero();
      gradient.attach(leaves);
      Pass pass{static_cast<std::uint32_t>(step), rng, true, &leaves, &statistics};
      Examples seen = batch(rng, step);
      if (view_) seen.x = (*view_)(seen.x, rng.stream("dsa", pass.step), meta ? Tensor() : arange(seen.x.size(0)));
      Ctx ctx = context_of(role, pass, Grad::Train, {});
      const Tensor loss = inner_loss(protocol_.loss, role.model->forward(seen.x, ctx), seen);
      const Tensor one = scalar_like(loss, 1);
      tape.backward(std::span(&loss, 1), std::span(&one, 1), gradient);
      Schedule schedule = protocol_.optim.schedule;
      if (rate_ > 0) schedule.base = rate_;
      optimizer->step(parameters, gradient.grads(), schedule(step, protocol_.steps));
      apply_statistics(statistics);
      statistics.clear();
    }
  }

 private:
  Examples batch(const Rng& rng, std::int64_t step) const {
    const std::int64_t n = data_.x.size(0);
    if (protocol_.batch >= n) return data_;
    if (data_.x.meta()) return chosen(data_, Tensor::empty({protocol_.batch}, DType::i64, data_.x.device()));
    const std::int64_t per_epoch = n / protocol_.batch;
    const RngKey key = rng.stream("order", static_cast<std::uint32_t>(step / per_epoch));
    std::vector<std::int64_t> rows;
    for (std::int64_t k = 0; k < protocol_.batch; ++k)
      rows.push_back(static_cast<std::int64_t>(permuted_index(
          key, static_cast<std::uint64_t>(n), static_cast<std::uint64_t>(step % per_epoch * protocol_.batch + k))));
    return chosen(data_, Tensor::of<std::int64_t>(rows, {protocol_.batch}));
  }

  const Protocol& protocol_;
  const Examples& data_;
  double rate_;
  const std::optional<Dsa>& view_;
};

Examples random_real(const Protocol& protocol, const PixelSet& set, std::uint64_t seed, DType dtype) {
  if (set.x.value.meta()) return {set.x.value, set.labels(), {}};
  const auto indices = random_per_class(*protocol.real, set.config.per_class, Rng(seed).stream("protocol/real"));
  SequentialBatches images(std::make_shared<Subset>(protocol.real, indices), static_cast<std::int64_t>(indices.size()),
                           dtype, 0);
  const DataBatch b = images.at(0);
  return {b.x, b.y, {}};
}
}  // namespace

std::vector<ProtocolRow> run_protocol(const Protocol& protocol, const Setup& setup, const EvalData& test,
                                      const ModelSizes& sizes, Communicator* ranks) {
  const Role& owner = setup.roles.at(protocol.role);
  const auto* set = dynamic_cast<const PixelSet*>(owner.model.get());
  if (!set) throw ConfigError("eval.protocol: role {} is no synthetic set", protocol.role);
  Ctx plain;
  const SetRows rows = set->rows({}, plain);
  const bool meta = setup.device.kind == DeviceKind::meta;
  const double rate = protocol.learned_rate && set->lr.value.defined() && !meta ? set->lr.value.item() : 0;
  std::vector<std::pair<std::string, Examples>> sets{{"distilled", {rows.x, rows.label, rows.target}}};
  if (protocol.real) sets.emplace_back("random real", random_real(protocol, *set, setup.seed, test.dtype));
  std::vector<ProtocolRow> table;
  for (const auto& [text, view] : protocol.views)
    for (const auto& [images, data] : sets) {
      ProtocolRow row{images, text, {}, {}};
      const Training training(protocol, data, rate, view);
      const auto judged = [&](std::int64_t k) {
        Role net;
        net.name = "net";
        net.compute = test.dtype;
        net.model = build_model(protocol.arch, sizes);
        const Rng rng(Rng(setup.seed).stream(fmt::format("protocol/{}", k)).key);
        initialize(*net.model, rng);
        if (test.dtype == DType::f64) convert(*net.model, DType::f64);
        if (meta) move_to(*net.model, kMeta);
        net.net = model_net(net);
        training.run(net, rng);
        return std::vector<double>{evaluate(net, test, setup.device).top1};
      };
      in_turn(ranks, meta ? 1 : protocol.nets, judged,
              [&](std::int64_t, std::span<const double> top1) { row.top1.push_back(top1[0]); });
      row.spread = spread_of(row.top1);
      table.push_back(std::move(row));
    }
  return table;
}

std::string protocol_table(const Protocol& protocol, const std::vector<ProtocolRow>& rows) {
  std::string text = fmt::format("{} networks {}, {} steps of at most {} images\n{:<14} {:<60} {:>9} {:>9}\n",
                                 protocol.nets, protocol.arch.str(), protocol.steps, protocol.batch, "images",
                                 "trained under", "top-1 %", "deviation");
  for (const ProtocolRow& row : rows)
    text += fmt::format("{:<14} {:<60} {:>9.2f} {:>9.2f}\n", row.images, row.view, 100 * row.spread.mean,
                        100 * row.spread.deviation);
  return text;
}

std::vector<std::uint8_t> set_grid_png(const PixelSet& set, int scale) {
  const Tensor x = set.config.shared ? set.x.value + set.shift.value : set.x.value;
  return image_grid_png(x, set.low.value.values(), set.high.value.values(), set.config.per_class, scale);
}

}  // namespace retort

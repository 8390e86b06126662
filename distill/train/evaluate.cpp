#include "distill/train/evaluate.h"

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/losses.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/reduce.h"
#include "distill/train/ranks.h"
#include "tensor/transfer.h"

namespace retort {

namespace {
/// On the host, whatever device the role lives on.
Tensor logits_of(const Role& role, const DataBatch& b, Device device) {
  Pass pass;
  pass.training = false;
  const Tensor out = role.net->eval({to(b.x, device), {}, {}, b.index, b.sample}, {}, Grad::None, pass).out;
  return on_host(out.dtype() == DType::f64 ? out : cast(out, DType::f32));
}
}  // namespace

std::vector<std::pair<std::string, double>> metrics_of(const std::string& role, const Evaluation& e) {
  std::vector<std::pair<std::string, double>> all{{"acc/top1/" + role, e.top1}, {"eval/ce/" + role, e.cross_entropy}};
  if (!e.text) return all;
  const auto add = [&](const char* name, const std::optional<double>& value) {
    if (value) all.emplace_back(name + role, *value);
  };
  add("ppl/", std::exp(e.cross_entropy));
  if (!std::isnan(e.text->bits_per_byte)) add("eval/bpb/", e.text->bits_per_byte);
  add("kl/forward/", e.text->kl_forward);
  add("kl/reverse/", e.text->kl_reverse);
  add("own/log_prob/", e.text->own_log_prob);
  add("own/teacher_log_prob/", e.text->teacher_log_prob);
  return all;
}

Evaluation evaluate(const Role& role, const EvalData& data, Device device, Communicator* ranks) {
  Evaluation e;
  SequentialBatches batches(data.set, data.batch, data.dtype);
  if (device.kind == DeviceKind::meta) {
    logits_of(role, batches.meta_batch(std::min(data.batch, data.set->size())), device);
    return e;
  }
  double correct = 0;
  const auto judge = [&](std::int64_t i) {
    const DataBatch b = batches.at(i);
    const Tensor z = logits_of(role, b, device);
    return std::vector<double>{sum(cross_entropy(z, b.y)).item(), sum(equal(argmax(z, 1), b.y)).item(),
                               static_cast<double>(b.x.shape()[0])};
  };
  in_turn(ranks, batches.size(), judge, [&](std::int64_t, std::span<const double> of_batch) {
    e.cross_entropy += of_batch[0];
    correct += of_batch[1];
    e.samples += static_cast<std::int64_t>(of_batch[2]);
  });
  e.top1 = correct / static_cast<double>(e.samples);
  e.cross_entropy /= static_cast<double>(e.samples);
  return e;
}

std::vector<Answer> answers_of(const Role& role, const EvalData& data, const std::vector<std::int64_t>& indices,
                               Device device) {
  SequentialBatches batches(std::make_shared<Subset>(data.set, indices), static_cast<std::int64_t>(indices.size()),
                            data.dtype, 0);
  const Tensor p = softmax(logits_of(role, batches.at(0), device), 1);
  const auto labels = argmax(p, 1).values<std::int64_t>();
  const auto values = p.values();
  std::vector<Answer> answers;
  for (std::size_t i = 0; i < labels.size(); ++i)
    answers.push_back({static_cast<int>(labels[i]),
                       values[i * static_cast<std::size_t>(p.shape()[1]) + static_cast<std::size_t>(labels[i])]});
  return answers;
}

}  // namespace retort

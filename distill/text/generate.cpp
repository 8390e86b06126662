#include "distill/text/generate.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/linalg.h"
#include "autograd/ops/shape.h"
#include "tensor/transfer.h"

namespace retort {

namespace {
std::vector<double> softmax_of(std::span<const double> logits, double temperature) {
  std::vector<double> p(logits.begin(), logits.end());
  const double top = *std::max_element(p.begin(), p.end());
  double total = 0;
  for (double& z : p) total += z = std::exp((z - top) / temperature);
  for (double& z : p) z /= total;
  return p;
}

/// Indices from the likeliest, ties by index, as far as truncation can keep them: vocabularies are long, and what is
/// kept is mostly short.
std::vector<std::size_t> ranked(std::span<const double> p, const Sampling& how) {
  const double top = *std::max_element(p.begin(), p.end());
  // All entries below this together have less than 1 - top_p, so that the mass before them reaches top_p.
  const double tail = how.top_p < 1 ? (1 - how.top_p) / static_cast<double>(p.size()) : 0;
  const double least = std::max(how.min_p * top, tail);
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < p.size(); ++i)
    if (p[i] >= least) order.push_back(i);
  const std::size_t kept = how.top_k > 0 ? std::min(order.size(), static_cast<std::size_t>(how.top_k)) : order.size();
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(kept), order.end(),
                    [&](std::size_t a, std::size_t b) { return p[a] > p[b] || (p[a] == p[b] && a < b); });
  order.resize(kept);
  return order;
}

/// One decoder that reads on: prompts padded on the left, then a column of tokens at a time.
class Voice {
 public:
  Voice(const Decoder& decoder, const Tensor& left_pad, std::int64_t rows, std::int64_t capacity,
        const std::function<Ctx()>& context, DType dtype)
      : decoder_(decoder), left_pad_(left_pad), context_(context), cache_(decoder.new_cache(rows, capacity, dtype)) {}
  /// Logits [n, V] after the last of `tokens` [n, t].
  std::vector<double> read(const Tensor& tokens) {
    Ctx ctx = context_();
    const Tensor h = decoder_.hidden(tokens, ctx, {.cache = &cache_, .left_pad = left_pad_});
    return to(linear(select(h, 1, h.size(1) - 1), decoder_.head_weight(ctx)), kCpu).values();
  }

 private:
  const Decoder& decoder_;
  Tensor left_pad_;
  const std::function<Ctx()>& context_;
  KvCache cache_;
};
}  // namespace

std::vector<double> sampling_law(std::span<const double> logits, const Sampling& how) {
  if (how.temperature == 0) {
    std::vector<double> law(logits.size(), 0);
    law[static_cast<std::size_t>(std::max_element(logits.begin(), logits.end()) - logits.begin())] = 1;
    return law;
  }
  std::vector<double> law = softmax_of(logits, how.temperature);
  if (how.top_k == 0 && how.top_p >= 1 && how.min_p == 0) return law;
  std::vector<double> truncated(law.size(), 0);
  double kept = 0;
  for (const std::size_t i : ranked(law, how)) {
    if (kept >= how.top_p) break;
    kept += truncated[i] = law[i];
  }
  for (double& p : truncated) p /= kept;
  return truncated;
}

std::int64_t draw_token(std::span<const double> law, double u) {
  double below = 0;
  std::size_t last = 0;
  for (std::size_t v = 0; v < law.size(); ++v) {
    if (law[v] <= 0) continue;
    last = v;
    below += law[v];
    if (u < below) break;
  }
  return static_cast<std::int64_t>(last);
}

Generated generate(const Decoder& decoder, const std::vector<std::vector<std::int64_t>>& prompts,
                   std::int64_t prompt_width, const GenerateSpec& spec, const RngKey& key,
                   std::span<const std::int64_t> samples, const std::function<Ctx()>& context, DType dtype) {
  const auto n = static_cast<std::int64_t>(prompts.size());
  std::vector<std::int64_t> padded, pads;
  for (const auto& prompt : prompts) {
    pads.push_back(prompt_width - static_cast<std::int64_t>(prompt.size()));
    padded.insert(padded.end(), static_cast<std::size_t>(pads.back()), 0);
    padded.insert(padded.end(), prompt.begin(), prompt.end());
  }
  const Tensor left_pad = Tensor::of<std::int64_t>(pads, {n});
  const std::int64_t capacity = prompt_width + spec.max_tokens;
  Voice own(decoder, left_pad, n, capacity, context, dtype);
  std::optional<Voice> second;
  if (spec.second.decoder) second.emplace(*spec.second.decoder, left_pad, n, capacity, context, dtype);
  const auto rows = static_cast<std::size_t>(n);
  Generated g{std::vector<std::vector<std::int64_t>>(rows), std::vector<std::vector<double>>(rows),
              std::vector<std::vector<double>>(rows)};
  std::vector<bool> done(rows, false);
  Tensor tokens = Tensor::of<std::int64_t>(padded, {n, prompt_width});
  for (std::int64_t t = 0; t < spec.max_tokens; ++t) {
    const std::vector<double> z = own.read(tokens), z2 = second ? second->read(tokens) : std::vector<double>();
    const std::size_t vocab = z.size() / rows;
    std::vector<std::int64_t> next(rows, 0);
    for (std::size_t i = 0; i < rows; ++i) {
      if (done[i]) continue;
      const auto logits = std::span(z).subspan(i * vocab, vocab);
      std::vector<double> law = sampling_law(logits, spec.sampling);
      const std::vector<double> p = softmax_of(logits, 1);
      std::vector<double> drawn_from = p;
      if (second) {
        const auto other = std::span(z2).subspan(i * vocab, vocab);
        const auto its = sampling_law(other, spec.sampling), its_p = softmax_of(other, 1);
        for (std::size_t v = 0; v < vocab; ++v) {
          law[v] = (1 - spec.second.share) * law[v] + spec.second.share * its[v];
          drawn_from[v] = (1 - spec.second.share) * p[v] + spec.second.share * its_p[v];
        }
      }
      double u = 0;
      fill_uniform(std::span(&u, 1), key, static_cast<std::uint64_t>(samples[i]), static_cast<std::uint64_t>(t));
      next[i] = draw_token(law, u);
      const auto v = static_cast<std::size_t>(next[i]);
      g.tokens[i].push_back(next[i]);
      g.log_prob[i].push_back(std::log(p[v]));
      g.weight[i].push_back(p[v] / drawn_from[v]);
      const bool closed = spec.watch && spec.watch(i, next[i]);
      done[i] = closed || next[i] == spec.end;
    }
    if (std::all_of(done.begin(), done.end(), [](bool d) { return d; })) break;
    tokens = Tensor::of<std::int64_t>(next, {n, 1});
  }
  return g;
}

}  // namespace retort

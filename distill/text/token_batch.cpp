#include "distill/text/token_batch.h"

#include <algorithm>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/index.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/losses.h"
#include "autograd/ops/shape.h"
#include "tensor/transfer.h"

namespace retort {

TextWidths TextWidths::of(const TokenSet& set) { return {set.width(), set.answer_width(), set.told_widths()}; }

namespace {
/// A block [rows, width] filled row by row, `rest` behind what is given.
template <class T>
struct Block {
  std::int64_t width;
  T rest;
  std::vector<T> values = {};
  template <class Row>
  void add(const Row& row) {
    const auto end = values.size() + static_cast<std::size_t>(width);
    values.insert(values.end(), row.begin(),
                  row.begin() + std::min<std::ptrdiff_t>(static_cast<std::ptrdiff_t>(row.size()), width));
    values.resize(end, rest);
  }
};
using Ids = Block<std::int64_t>;
using Reals = Block<double>;

Tensor ids_tensor(const Ids& block) {
  const auto rows = static_cast<std::int64_t>(block.values.size()) / block.width;
  return Tensor::of<std::int64_t>(block.values, {rows, block.width});
}
Tensor reals_tensor(const Reals& block) {
  const auto rows = static_cast<std::int64_t>(block.values.size()) / block.width;
  return Tensor::from(block.values, {rows, block.width}, DType::f64);
}
Tensor column(const Tensor& t) { return reshape(t, {t.shape()[0]}); }

/// `head` zeros, then `values`, or ones for each of `count` when there are none.
std::vector<double> behind(std::size_t head, const std::vector<double>& values) {
  std::vector<double> all(head, 0);
  all.insert(all.end(), values.begin(), values.end());
  return all;
}
}  // namespace

Batch text_batch(const TokenSet& set, const std::vector<Text>& texts, const TextWidths& widths, const Tensor& index,
                 const Tensor& sample) {
  Ids x{widths.total, 0}, answer{widths.answer, -1}, prompt{1, 0}, domain{1, 0};
  Reals mask{widths.total, 0}, hidden{widths.total, 0}, lp{widths.total, 0}, weight{widths.total, 0},
      others{widths.total, 0}, rate{1, 0};
  std::map<std::string, Ids> told;
  for (const auto& [name, width] : widths.told) told.emplace(name, Ids{width, -1});
  bool generated = false;
  for (const Text& t : texts) {
    TokenIds all = t.prompt;
    all.insert(all.end(), t.response.begin(), t.response.end());
    std::vector<double> secret;
    for (const std::int64_t id : all) secret.push_back(set.is_private(id) ? 1 : 0);
    x.add(all);
    hidden.add(secret);
    const std::size_t head = t.prompt.size();
    mask.add(behind(head, std::vector<double>(t.counts ? t.response.size() : 0, 1)));
    lp.add(behind(head, t.lp_old));
    weight.add(behind(head, t.is_weight));
    others.add(behind(head, t.off_policy));
    generated = generated || !t.lp_old.empty();
    prompt.add(TokenIds{static_cast<std::int64_t>(head)});
    answer.add(t.row->answer);
    domain.add(TokenIds{t.row->domain});
    rate.add(std::vector<double>{t.row->pass_rate});
    for (auto& [name, block] : told) {
      const auto found = t.row->told.find(name);
      block.add(found == t.row->told.end() ? TokenIds() : found->second);
    }
  }
  Batch b;
  b.x = ids_tensor(x);
  b.index = index;
  b.sample = sample;
  b.more = {{"mask", reals_tensor(mask)},
            {"prompt_length", column(ids_tensor(prompt))},
            {"answer", ids_tensor(answer)},
            {"domain", column(ids_tensor(domain))},
            {"pass_rate", column(reals_tensor(rate))},
            {"private", reals_tensor(hidden)}};
  for (const auto& [name, block] : told) b.more["told." + name] = ids_tensor(block);
  if (generated) {
    b.more["lp_old"] = reals_tensor(lp);
    b.more["is_weight"] = reals_tensor(weight);
    b.more["off_policy"] = reals_tensor(others);
  }
  return b;
}

Batch text_batch_meta(std::int64_t rows, const TextWidths& widths, bool generated) {
  const auto ids = [rows](std::int64_t width) { return Tensor::empty({rows, width}, DType::i64, kMeta); };
  const auto reals = [rows](std::int64_t width) { return Tensor::empty({rows, width}, DType::f64, kMeta); };
  Batch b;
  b.x = ids(widths.total);
  b.index = b.sample = column(ids(1));
  b.more = {{"mask", reals(widths.total)}, {"prompt_length", column(ids(1))}, {"answer", ids(widths.answer)},
            {"domain", column(ids(1))},    {"pass_rate", column(reals(1))},   {"private", reals(widths.total)}};
  for (const auto& [name, width] : widths.told) b.more["told." + name] = ids(width);
  if (generated)
    for (const char* name : {"lp_old", "is_weight", "off_policy"}) b.more[name] = reals(widths.total);
  return b;
}

TokenIds ids_in(const Tensor& padded, std::int64_t row) {
  TokenIds ids;
  for (const std::int64_t id : select(padded, 0, row).values<std::int64_t>())
    if (id >= 0) ids.push_back(id);
  return ids;
}

std::vector<Text> texts_of(const Batch& batch) {
  const auto heads = batch.more.at("prompt_length").values<std::int64_t>();
  const auto mask = batch.more.at("mask").values();
  const auto x = batch.x.values<std::int64_t>();
  const std::int64_t n = batch.size(), width = batch.x.size(1);
  const auto by_token = [&](const char* name) {
    const auto found = batch.more.find(name);
    return found == batch.more.end() ? std::vector<double>() : found->second.values();
  };
  const auto lp_old = by_token("lp_old"), is_weight = by_token("is_weight"), off_policy = by_token("off_policy");
  std::vector<Text> texts;
  for (std::int64_t b = 0; b < n; ++b) {
    const auto begin = x.begin() + static_cast<std::ptrdiff_t>(b * width),
               cut = begin + heads[static_cast<std::size_t>(b)];
    auto end = cut;
    for (auto t = cut; t != begin + width; ++t)
      if (mask[static_cast<std::size_t>(t - x.begin())] != 0) end = t + 1;
    Text text;
    text.prompt.assign(begin, cut);
    text.response.assign(cut, end);
    text.counts = end != cut;
    const auto cut_out = [&](const std::vector<double>& all) {
      if (all.empty()) return std::vector<double>();
      return std::vector<double>(all.begin() + (cut - x.begin()), all.begin() + (end - x.begin()));
    };
    text.lp_old = cut_out(lp_old);
    text.is_weight = cut_out(is_weight);
    text.off_policy = cut_out(off_policy);
    texts.push_back(std::move(text));
  }
  return texts;
}

TokenPlaces places_of(const Batch& batch) {
  TokenPlaces p;
  p.rows = batch.size();
  p.width = batch.x.size(1);
  if (batch.x.meta()) {
    const std::int64_t most = p.rows * (p.width - 1);
    for (Tensor* ids : {&p.row, &p.at, &p.token, &p.flat}) *ids = Tensor::empty({most}, DType::i64, kMeta);
    p.share = Tensor::empty({most}, DType::f64, kMeta);
    p.length = Tensor::empty({p.rows}, DType::f64, kMeta);
    return p;
  }
  const auto mask = batch.more.at("mask").values();
  const auto x = batch.x.values<std::int64_t>();
  std::vector<std::int64_t> row, at, token, flat;
  std::vector<double> length(static_cast<std::size_t>(p.rows), 0), share;
  for (std::int64_t b = 0; b < p.rows; ++b)
    for (std::int64_t t = 1; t < p.width; ++t) {  // nothing answers for a first token
      const auto i = static_cast<std::size_t>(b * p.width + t);
      if (mask[i] == 0) continue;
      row.push_back(b);
      at.push_back(t);
      flat.push_back(b * p.width + t);
      token.push_back(x[i]);
      length[static_cast<std::size_t>(b)] += 1;
    }
  for (const std::int64_t b : row) share.push_back(1 / length[static_cast<std::size_t>(b)]);
  const auto count = static_cast<std::int64_t>(row.size());
  const auto ids = [count](const std::vector<std::int64_t>& v) { return Tensor::of<std::int64_t>(v, {count}); };
  p.row = ids(row);
  p.at = ids(at);
  p.token = ids(token);
  p.flat = ids(flat);
  p.share = Tensor::from(share, {count}, DType::f64);
  p.length = Tensor::from(length, {p.rows}, DType::f64);
  return p;
}

namespace {
Tensor rows_at(const Tensor& values, const Tensor& index) {
  return index_select(values, 0, to(index, values.device()));
}
}  // namespace

Tensor by_place(const Tensor& values, const TokenPlaces& places) {
  return values.rank() == 1 ? rows_at(values, places.row) : rows_at(reshape(values, {-1}), places.flat);
}

Tensor beside(const Tensor& values, const Tensor& known) {
  return to(stop_gradient(cast(known, values.dtype())), values.device());
}

Tensor pick_places(const Tensor& signal, const TokenPlaces& places, const Tensor& at) {
  const std::int64_t width = signal.size(1);
  const Tensor t = at.defined() ? by_place(at, places) : places.at;
  return rows_at(reshape(signal, {signal.size(0) * width, signal.size(2)}), places.row * width + t - 1);
}

Tensor spread_places(const Tensor& values, const TokenPlaces& places) {
  return reshape(index_add(values, 0, to(places.flat, values.device()), places.rows * places.width),
                 {places.rows, places.width});
}

Tensor sum_rows(const Tensor& values, const TokenPlaces& places) {
  return index_add(values, 0, to(places.row, values.device()), places.rows);
}

Tensor token_log_prob(const Tensors& answer, const Batch& batch, const Tensor& at) {
  const TokenPlaces places = places_of(batch);
  Tensor z = pick_places(answer[0], places, at);
  if (answer.size() == 2) z = linear(z, answer[1]);
  return spread_places(neg(cross_entropy(z, to(places.token, z.device()))), places);
}

}  // namespace retort

#include "distill/text/table_lm.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/create.h"
#include "autograd/ops/shape.h"
#include "tensor/transfer.h"

namespace retort {

namespace {
std::int64_t count_states(std::int64_t vocab, std::int64_t order) {
  if (vocab < 2 || order < 1)
    throw ConfigError("table: vocab is at least 2 and order at least 1; got {} and {}", vocab, order);
  std::int64_t states = 0, power = 1;
  for (std::int64_t m = 1; m <= order; ++m) {
    power *= vocab;
    states += power;
    if (states > 1 << 20)
      throw ConfigError("table: a vocabulary of {} and order {} need too many states", vocab, order);
  }
  return states;
}
}  // namespace

TableLm::TableLm(std::int64_t vocab_size, std::int64_t context_order, double deviation)
    : vocab(vocab_size),
      order(context_order),
      spread(deviation),
      table({vocab_size, count_states(vocab_size, context_order)}, Init::normal(deviation)) {
  name_modules(*this);
}

std::int64_t TableLm::state_of(std::span<const std::int64_t> tokens) const {
  const auto seen = std::min<std::size_t>(tokens.size(), static_cast<std::size_t>(order));
  std::int64_t state = 0, first = 0, power = 1;
  for (std::size_t m = 1; m < seen; ++m) first += power *= vocab;
  for (const std::int64_t token : tokens.last(seen)) {
    if (token < 0 || token >= vocab) throw ValueError("table: tokens lie in [0, {}); got {}", vocab, token);
    state = state * vocab + token;
  }
  return first + state;
}

Tensor TableLm::hidden(const Tensor& tokens, Ctx&, const DecodeState& state) const {
  if (tokens.rank() != 2 || tokens.dtype() != DType::i64)
    throw ShapeError("table: tokens must be i64 [n, t]; got {}", tokens.str());
  const DType dtype = table.value.dtype();
  if (tokens.meta()) return Tensor::empty({tokens.size(0), tokens.size(1), states()}, dtype, tokens.device());
  Tensor all = tokens;
  if (state.cache) {
    const Tensor kept = cast(reshape(tokens, {tokens.size(0), 1, tokens.size(1), 1}), DType::f64);
    all = cast(state.cache->append_(0, kept, kept).k, DType::i64);
  }
  const std::int64_t n = tokens.size(0), seen = all.numel() / std::max<std::int64_t>(n, 1), t = tokens.size(1);
  const auto ids = all.values<std::int64_t>();
  const auto pads = state.left_pad.defined() ? state.left_pad.values<std::int64_t>()
                                             : std::vector<std::int64_t>(static_cast<std::size_t>(n), 0);
  std::vector<std::int64_t> at;
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t k = seen - t; k < seen; ++k) {
      const std::int64_t begin = std::min(pads[static_cast<std::size_t>(i)], k);  // a padding token is its own state
      at.push_back(state_of(
          std::span(ids).subspan(static_cast<std::size_t>(i * seen + begin), static_cast<std::size_t>(k + 1 - begin))));
    }
  return to(one_hot(Tensor::of<std::int64_t>(at, {n, t}), states(), dtype), table.value.device());
}

KvCache TableLm::new_cache(std::int64_t batch, std::int64_t capacity, DType) const {
  return {1, batch, 1, capacity, 1, DType::f64};
}

std::string TableLm::arch() const { return fmt::format("table(vocab={} order={} spread={})", vocab, order, spread); }

}  // namespace retort

#include "distill/objectives/token_reduce.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/reduce.h"
#include "distill/train/call.h"

namespace retort {

double TokenReduce::units(const Batch& batch) const {
  const bool meta = batch.x.meta();
  const TokenPlaces places = places_of(batch);
  if (kind == Kind::token) return static_cast<double>(places.size());
  const auto ones = std::vector<double>(static_cast<std::size_t>(places.rows), 1);
  const auto lengths = meta ? ones : places.length.values();
  const auto weights = kind == Kind::sequence_weighted && !meta ? batch.more.at("weight").values() : ones;
  double sequences = 0;
  for (std::size_t b = 0; b < lengths.size(); ++b)
    if (lengths[b] > 0) sequences += weights[b];
  return kind == Kind::constant ? sequences * length : sequences;
}

Tensor TokenReduce::total(const Tensor& value, const Tensor& weight, const Batch& batch,
                          const TokenPlaces& places) const {
  const auto as_value = [&](const Tensor& t) { return beside(value, t); };
  Tensor w = weight.defined() ? as_value(weight) : Tensor();
  const Tensor weighted = w.defined() ? value * w : value;
  switch (kind) {
    case Kind::token:
    case Kind::sequence_sum:
    case Kind::constant:
      return sum(weighted);
    case Kind::sequence_mean:
      return sum(weighted * as_value(places.share));
    case Kind::sequence_weighted:
      return sum(weighted * as_value(places.share * by_place(batch.more.at("weight"), places)));
    case Kind::weighted_mean: {
      if (!w.defined()) w = Tensor::full(value.shape(), 1, value.dtype(), value.device());
      const Tensor mass = sum_rows(w, places);
      const Tensor some = where(equal(mass, scalar_like(mass, 0)), scalar_like(mass, 1), mass);
      return sum(sum_rows(weighted, places) / some);
    }
  }
  throw InternalError("token_reduce: unknown kind {}", static_cast<int>(kind));
}

TokenReduce parse_token_reduce(Config& term) {
  using Kind = TokenReduce::Kind;
  static const std::map<std::string, Kind, std::less<>> table{{"sum/token", Kind::token},
                                                              {"tokmean/sequence", Kind::sequence_mean},
                                                              {"sum/sequence", Kind::sequence_sum},
                                                              {"tokmean/weight", Kind::sequence_weighted},
                                                              {"wmean/sequence", Kind::weighted_mean}};
  const std::string text = term.get<std::string>("reduce"), where = term.child("reduce").where();
  TokenReduce reduce;
  constexpr std::string_view kPer = "sum/";
  if (!text.starts_with("sum/const")) {
    reduce.kind = lookup(table, Call{text, {}, where}, "reduction");
    return reduce;
  }
  CallArgs args(parse_call(std::string_view(text).substr(kPer.size()), where));
  reduce.kind = Kind::constant;
  reduce.length = args.number("n", {.above = 0});
  args.done();
  return reduce;
}

}  // namespace retort

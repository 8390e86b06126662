// tests/op_cases/dropout.cpp -- dropout: masks keyed by sample and element.
#include "autograd/ops/nn.h"
#include "autograd/tape.h"
#include "tensor/write.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
const RngKey kKey = Rng(7).stream("dropout/test", 3);
Tensor indices(std::vector<std::int64_t> v) {
  return Tensor::of<std::int64_t>(v, {static_cast<std::int64_t>(v.size())});
}
}  // namespace

OP_CASE(dropout) {
  c.order = 2;
  c.fn = [](In in) { return Tensors{dropout(in[0], 0.3, kKey, in[1])}; };
  c.naive = [](In in) {
    auto v = in[0].values();
    const auto n = static_cast<std::size_t>(in[0].size(0)), row = v.size() / std::max<std::size_t>(n, 1);
    for (std::size_t i = 0; i < v.size(); ++i) {
      const auto sample = in[1].defined() ? in[1].values()[i / row] : static_cast<double>(i / row);
      double draw;
      fill_uniform(std::span(&draw, 1), kKey, static_cast<std::uint64_t>(sample), i % row);
      v[i] = draw < 0.3 ? 0.0 : v[i] / 0.7;
    }
    return Tensors{Tensor::from(v, in[0].shape(), DType::f64)};
  };
  c.samples = {{{randn({2, 5}), indices({4, 9})}},
               {{randn({3, 4, 5}), Tensor()}},
               {{randn({2, 3, 5, 7}), indices({1000000, 0})}},
               {{randn({6}), indices({5, 4, 3, 2, 1, 0})}},
               {{randn({0, 4}), indices({})}},
               {{randn({2, 35001}), indices({8, 3})}}};
  c.errors = {{"dropout: a probability lies in [0, 1); got 1", [] { dropout(randn({2}), 1.0, kKey); }},
              {"dropout: samples must be i64 [2]", [] {
                 dropout(randn({2, 3}), 0.5, kKey, indices({1}));
               }}};
}

TEST_CASE("dropout: splitting a batch changes nothing, p = 0 is the identity, nothing of the mask is kept") {
  const Tensor x = randn({4, 33});
  const auto whole = dropout(x, 0.5, kKey, indices({10, 11, 12, 13})).values();
  for (std::int64_t i = 0; i < 4; ++i) {
    const Tensor row = x.view({{1, 33}, {33, 1}, i * 33});
    const auto part = dropout(row, 0.5, kKey, indices({10 + i})).values();
    CHECK(std::equal(part.begin(), part.end(), whole.begin() + i * 33));
  }
  CHECK(dropout(x, 0.0, kKey).storage().get() == x.storage().get());
  Tape tape;
  const Tensor leaf = tape.watch(x);
  const Tensor y = dropout(leaf, 0.5, kKey);
  CHECK(tape.saved_bytes() == 0);
}

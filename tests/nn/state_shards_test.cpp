// tests/nn/state_shards_test.cpp -- shares of parameters: even, complete, in the parameters' memory, gathered again.
#include "nn/state_shards.h"

#include <doctest/doctest.h>

#include "tensor/error.h"
#include "tests/tensor/comm_world.h"

using namespace retort;
using namespace retort::testing;

namespace {
/// Several buckets; a kernel that lies channels-last, one without elements, one of another dtype.
std::vector<Parameter> parameters() {
  std::vector<Parameter> list;
  list.emplace_back(Shape{8, 3, 3, 3}, Init{});
  list.emplace_back(Tensor::zeros({700, 500}));
  list.emplace_back(Tensor::zeros({0, 4}));
  list.emplace_back(Tensor::zeros({5}, DType::f64));
  list.emplace_back(Tensor::zeros({1}));
  return list;
}

std::vector<NamedParameter> named(std::vector<Parameter>& list) {
  std::vector<NamedParameter> names;
  for (Parameter& p : list) names.push_back({"p" + std::to_string(names.size()), &p});
  return names;
}

void expect(bool holds, const std::string& what) {
  if (!holds) throw std::runtime_error(what);
}
}  // namespace

TEST_CASE("state shards: every element has one owner, and shares of a bucket are of one length") {
  std::vector<Parameter> list = parameters();
  const auto names = named(list);
  for (const int world : {1, 2, 3, 7}) {
    CAPTURE(world);
    std::vector<std::vector<int>> owners;
    for (const Parameter& p : list) owners.emplace_back(p.value.numel(), 0);
    for (const Bucket& bucket : plan_buckets(names))
      for (int r = 0; r < world; ++r) {
        std::int64_t in_share = 0;
        for (const Stretch& s : stretches_of(names, bucket, world, r)) {
          CHECK(s.at == in_share);
          in_share += s.end - s.begin;
          for (std::int64_t i = s.begin; i < s.end; ++i) ++owners[s.parameter][static_cast<std::size_t>(i)];
        }
        CHECK(in_share <= share_of(bucket, world));
      }
    for (const auto& of_one : owners)
      CHECK(std::all_of(of_one.begin(), of_one.end(), [](int count) { return count == 1; }));
  }
}

TEST_CASE("state shards: what ranks write into their stretches all get, and rank 0 gets the state") {
  const auto errors = in_world(Over::threads, 3, [](Communicator& c) {
    std::vector<Parameter> list = parameters();
    list[1].shadow = Tensor::zeros({700, 500}, DType::bf16);
    StateShards shards(c, named(list));
    const auto own = shards.own(0, list.size());
    for (std::size_t i = 0; i < own.size(); ++i) {
      expect(own[i].name == "p" + std::to_string(i), "name");
      const Tensor& piece = own[i].parameter->value;
      expect(piece.storage() == list[i].value.storage(), "memory of its own");
      visit_any(piece.dtype(), [&]<class T>(T) {
        for (std::int64_t k = 0; k < piece.numel(); ++k) piece.mutable_data<T>()[k] = static_cast<T>(10 + c.rank());
      });
    }
    shards.gather_values();
    for (const Parameter& p : list)
      for (const double v : p.value.values()) expect(v >= 10 && v <= 12, "a value that nobody owns");
    expect(list[1].shadow.values() == list[1].value.values(), "shadow");
    for (std::size_t i = 0; i < list.size(); ++i) {
      const Tensor& value = list[i].value;
      const Tensor whole = Tensor::empty(value.shape(), value.dtype(), kCpu, &value.strides());
      shards.gather(i, shards.own_of(std::span(&value, 1), i)[0], c.rank() == 0 ? whole : Tensor());
      if (c.rank() == 0) expect(whole.values() == value.values(), "state");
      const Tensor& piece = own[i].parameter->value;
      const Tensor taken = Tensor::zeros({piece.numel()}, piece.dtype());
      shards.take(i, value, taken);
      expect(taken.values() == piece.values(), "stretch");
    }
  });
  CHECK(errors == std::vector<std::string>(3));
}

TEST_CASE("state shards: a parameter with gaps in its memory is refused") {
  const auto alone = thread_group(2);
  std::vector<Parameter> list;
  list.emplace_back(Tensor());
  list[0].value = Tensor::zeros({4, 4}).view({{4, 2}, {4, 1}, 0});
  CHECK_THROWS_AS(StateShards(*alone[0], named(list)), ShapeError);
}

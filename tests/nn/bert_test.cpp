// tests/nn/bert_test.cpp -- encoders of texts against their reference, padding, segments, pooling.
#include "nn/models/bert.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/train/models.h"
#include "nn/grad_accumulator.h"
#include "tests/nn/fixture.h"
#include "tests/nn/reference.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
std::unique_ptr<Bert> built(const std::string& more) {
  auto model =
      build_model(parse_call("bert(vocab=9 context=8 width=8 depth=2 heads=2 hidden=12 " + more + ")", "test"), {});
  initialize(*model, Rng(5));
  convert(*model, DType::f64);
  return std::unique_ptr<Bert>(dynamic_cast<Bert*>(model.release()));
}

Tensor row(std::vector<std::int64_t> tokens) {
  const auto n = static_cast<std::int64_t>(tokens.size());
  return Tensor::of<std::int64_t>(tokens, {1, n});
}

double distance(const Tensor& a, const Tensor& b) { return sum(square(a - b)).item(); }
}  // namespace

TEST_CASE("bert: states, sentence embeddings and the pooler agree with transformers', and do not otherwise") {
  for (const char* name : {"bert", "bert_sentence", "bert_pooler"}) check_reference(name);
  const Reference reference("bert_sentence");
  const auto model = reference.model();
  auto& bert = dynamic_cast<Bert&>(*model);
  bert.config.padding = 28;  // nothing is padding
  CHECK(reference.compare_evaluation(bert).output > 1e-3);
  bert.config.padding = 0;
  bert.config.unit = false;
  CHECK(reference.compare_evaluation(bert).output > 1e-2);
  bert.config.unit = true;
  for (TransformerBlock& block : bert.blocks) block.post_norm = false;
  CHECK(reference.compare_evaluation(bert).output > 1e-2);
}

TEST_CASE("bert: roberta agrees with transformers', and does not when positions are those in the row") {
  check_reference("roberta");
  const Reference reference("roberta");
  const auto model = reference.model();
  auto& roberta = dynamic_cast<Bert&>(*model);
  roberta.config.counted = false;
  CHECK(reference.compare_evaluation(roberta).output > 1e-2);
  roberta.config.counted = true;
  roberta.embed_norm.eps = 1e-12;
  CHECK(reference.compare_evaluation(roberta).output > 1e-7);
}

TEST_CASE("bert: counted positions leave padding out on any side, and end with the table") {
  const auto built_roberta = [](const std::string& more) {
    auto model = build_model(
        parse_call("roberta(vocab=9 context=6 width=8 depth=2 heads=2 hidden=12 " + more + ")", "test"), {});
    initialize(*model, Rng(5));
    convert(*model, DType::f64);
    return model;
  };
  const auto model = built_roberta("pool=mean");
  Ctx ctx;
  const Tensor plain = model->forward(row({3, 4, 5, 3}), ctx);
  CHECK(distance(plain, model->forward(row({3, 4, 5, 3, 1, 1, 1}), ctx)) < 1e-24);
  CHECK(distance(plain, model->forward(row({1, 1, 3, 1, 4, 5, 3}), ctx)) < 1e-24);
  CHECK_THROWS_AS(model->forward(row({3, 4, 5, 3, 2}), ctx), ValueError);  // 6 positions, of which padding takes 2
  CHECK(model->arch() == model->clone()->arch());
  CHECK(model->arch().starts_with("roberta(vocab=9 context=6 "));
  CHECK_THROWS_WITH_AS(built_roberta("padding=5"), doctest::Contains("positions are counted from 6"), ConfigError);
}

TEST_CASE("bert: padding changes nothing, on any side, and a row of nothing else gives nought with finite gradients") {
  const auto bert = built("pool=mean norm=unit");
  Ctx ctx;
  const Tensor plain = bert->forward(row({3, 4, 5}), ctx);
  CHECK(distance(plain, bert->forward(row({3, 4, 5, 0, 0}), ctx)) < 1e-24);
  CHECK(distance(plain, bert->forward(row({3, 4, 5, 1}), ctx)) > 1e-6);
  CHECK(sum(square(plain)).item() == doctest::Approx(1).epsilon(1e-12));
  Tape tape;
  Leaves leaves(tape);
  GradAccumulator sink(parameters_of(*bert));
  sink.attach(leaves);
  Ctx tracked;
  tracked.leaves = &leaves;
  const Tensor both = bert->forward(Tensor::of<std::int64_t>(std::vector<std::int64_t>{3, 4, 0, 0}, {2, 2}), tracked);
  CHECK(sum(square(select(both.unlifted(), 0, 1))).item() == 0);
  const Tensor loss = sum(both), one = Tensor::full({}, 1, DType::f64);
  tape.backward(std::span(&loss, 1), std::span(&one, 1), sink);
  for (const Tensor& g : sink.grads()) CHECK(std::isfinite(sum(square(g)).item()));
}

TEST_CASE("bert: segments count, the first token is a pooling, and limits are errors") {
  const auto bert = built("pool=first"), states = built("");
  Ctx ctx;
  const Tensor tokens = row({3, 4, 5});
  CHECK(distance(bert->forward(tokens, ctx), select(states->forward(tokens, ctx), 1, 0)) == 0);
  const Tensor none = Tensor::zeros({1, 3}, DType::i64);
  CHECK(distance(bert->encode(tokens, none, ctx), bert->forward(tokens, ctx)) == 0);
  CHECK(distance(bert->encode(tokens, row({0, 1, 1}), ctx), bert->forward(tokens, ctx)) > 1e-6);
  CHECK_THROWS_AS(bert->encode(tokens, row({0, 1}), ctx), ShapeError);
  CHECK_THROWS_AS(bert->forward(Tensor::zeros({1, 9}, DType::i64), ctx), ShapeError);
  CHECK_THROWS_AS(bert->forward(Tensor::zeros({3}, DType::i64), ctx), ShapeError);
  CHECK_THROWS_AS(built("pool=max"), ConfigError);
  CHECK_THROWS_AS(built("norm=two"), ConfigError);
  for (const char* arch :
       {"bert(vocab=9 context=8 width=8 depth=1 heads=2 hidden=12 types=3 padding=1 act=relu eps=1e-06 pool=mean "
        "norm=unit dropout=0.1)",
        "bert(vocab=9 context=8 width=8 depth=1 heads=2 hidden=12 types=1 padding=0 act=gelu eps=1e-12 pool=pooler "
        "norm=none dropout=0)"}) {
    const auto model = build_model(parse_call(arch, "test"), {});
    CHECK(model->arch() == arch);
    CHECK(model->clone()->arch() == arch);
  }
}

// tests/distill/models_test.cpp -- architectures by name.
#include "distill/train/models.h"

#include <doctest/doctest.h>

using namespace retort;

TEST_CASE("models: a single width is a list of one") {
  const auto model = build_model(parse_call("mlp(in=4 classes=3 widths=8)", "test"), {});
  CHECK(parameter_count(*model) == 4 * 8 + 8 + 8 * 3 + 3);
  CHECK(model->arch().find("widths=8 ") != std::string::npos);
}

// tests/nn/models_conv_test.cpp -- convolutional models against their reference implementations.
#include <doctest/doctest.h>

#include "nn/models/convnet.h"
#include "tests/nn/reference.h"

using namespace retort;
using namespace retort::testing;

TEST_CASE("models: convnet agrees with the same network of torch") {
  check_reference("convnet");
  const Reference reference("convnet");
  const auto model = reference.model();
  auto& net = dynamic_cast<ConvNet&>(*model);
  std::get<BatchNorm2d>(net.stages[1].blocks[0].norm).eps = 1e-4;
  CHECK(reference.compare(net).output > 1e-6);
  net.stages.pop_back();
  CHECK_THROWS_WITH_AS(reference.fill(net), doctest::Contains("stages.1.blocks.0.conv.weight (not in the model)"),
                       ShapeError);
}

// tests/nn/models_conv_test.cpp -- convolutional models against their reference implementations.
#include <doctest/doctest.h>

#include "distill/train/models.h"
#include "nn/models/convnet.h"
#include "nn/models/resnet.h"
#include "tests/nn/reference.h"

using namespace retort;
using namespace retort::testing;

namespace {
/// The difference after `change`, which must be noticed.
template <class Net, class Change>
double after(const std::string& fixture, Change change) {
  const Reference reference(fixture);
  const auto model = reference.model();
  change(dynamic_cast<Net&>(*model));
  return reference.compare_evaluation(*model).output;
}
}  // namespace

TEST_CASE("models: convnet agrees with the same network of torch") {
  check_reference("convnet");
  CHECK(after<ConvNet>("convnet",
                       [](ConvNet& net) { std::get<BatchNorm2d>(net.stages[1].blocks[0].norm).eps = 1e-4; }) > 1e-6);
  const Reference reference("convnet");
  const auto model = reference.model();
  dynamic_cast<ConvNet&>(*model).stages.pop_back();
  CHECK_THROWS_WITH_AS(reference.fill(*model), doctest::Contains("stages.1.blocks.0.conv.weight (not in the model)"),
                       ShapeError);
}

TEST_CASE("models: residual networks of CIFAR agree with RepDistiller's") {
  check_reference("resnet20");
  check_reference("resnet8x4");
  CHECK(after<ResNet>("resnet20", [](ResNet& net) {
          auto& body = net.stages[1].blocks[0].body;  // the stride moved to the second convolution
          std::swap(body[0].conv.options.stride, body[1].conv.options.stride);
        }) > 1e-3);
  CHECK(after<ResNet>("resnet8x4", [](ResNet& net) { net.stages[2].blocks[0].act = Activation::none; }) > 1e-3);
  CHECK_THROWS_WITH_AS(CifarResNet({.depth = 18}), doctest::Contains("6 n + 2"), ConfigError);
}

TEST_CASE("models: residual networks of ImageNet agree with torchvision's") {
  check_reference("resnet18");
  CHECK(after<ResNet>("resnet18", [](ResNet& net) { net.pool = false; }) > 1e-3);
  CHECK_THROWS_AS(ImageResNet({.depth = 20}), ConfigError);
}

TEST_CASE("models: residual networks with bottlenecks agree with torchvision's") {
  check_reference("resnet50");
  CHECK(after<ResNet>("resnet50", [](ResNet& net) {
          auto& body = net.stages[1].blocks[0].body;  // the stride of the first version of the paper
          std::swap(body[0].conv.options.stride, body[1].conv.options.stride);
        }) > 1e-3);
}

TEST_CASE("models: named networks have the published numbers of parameters, print their expression and run on meta") {
  struct Named {
    const char* call;
    std::int64_t parameters;
  };
  // With 100 classes, the figures of RepDistiller's networks; torchvision's have 1000.
  for (const Named& named : {
           Named{"resnet_cifar(depth=8)", 83892},
           {"resnet_cifar(depth=14)", 181108},
           {"resnet_cifar(depth=20)", 278324},
           {"resnet_cifar(depth=32)", 472756},
           {"resnet_cifar(depth=44)", 667188},
           {"resnet_cifar(depth=56)", 861620},
           {"resnet_cifar(depth=110)", 1736564},
           {"resnet_cifar(depth=8 width=4)", 1233540},
           {"resnet_cifar(depth=32 width=4)", 7433860},
           {"resnet(classes=1000 depth=18)", 11689512},
           {"resnet(classes=1000 depth=34)", 21797672},
           {"resnet(classes=1000 depth=50)", 25557032},
           {"resnet(classes=1000 depth=101)", 44549160},
           {"resnet(classes=1000 depth=152)", 60192808},
       }) {
    const ModelSizes sizes{3, 32, 32, 100};
    const auto model = build_model(parse_call(named.call, "test"), sizes);
    INFO(named.call);
    CHECK(parameter_count(*model) == named.parameters);
    const std::string arch = model->arch();
    CHECK(build_model(parse_call(arch, "test"), {})->arch() == arch);
    const auto ghost = model->clone();
    move_to(*ghost, kMeta);
    Ctx ctx;
    ctx.training = true;
    ctx.wanted = {{"stages.0", "pre_act"}, {"features"}, {"head", "in"}};
    const Tensor y = ghost->forward(Tensor::empty({2, 3, 32, 32}, DType::f32, kMeta), ctx);
    CHECK(y.meta());
    CHECK(y.size(1) == (arch.find("classes=1000") == arch.npos ? 100 : 1000));
    REQUIRE(ctx.tapped.size() == 3);
    for (const Tensor& tap : ctx.tapped) CHECK(tap.defined());
    CHECK(ctx.tapped[1].shape() == ctx.tapped[2].shape());
  }
}

TEST_CASE("models: convolutional networks start from the laws of their references") {
  const auto init_of = [](const std::string& call, const std::string& name) {
    const auto model = build_model(parse_call(call, "test"), {3, 32, 32, 100});
    for (const auto& p : parameters_of(*model))
      if (p.name == name) return p.parameter->init;
    throw ValueError("no parameter {}", name);
  };
  const auto is = [](const Init& init, Init::Law law, double scale) {
    return init.law == law && std::abs(init.scale - scale) < 1e-12;
  };
  const auto normal = Init::Law::normal, uniform = Init::Law::uniform;
  const std::string resnet = "resnet_cifar(depth=20)";
  CHECK(is(init_of(resnet, "stages.1.blocks.0.body.0.conv.weight"), normal, std::sqrt(2. / (9 * 32))));
  CHECK(is(init_of(resnet, "stages.1.blocks.0.shortcut.conv.weight"), normal, std::sqrt(2. / 32)));
  CHECK(is(init_of(resnet, "stages.1.blocks.0.body.1.norm.weight"), Init::Law::constant, 1));
  CHECK(is(init_of(resnet, "head.weight"), uniform, 1. / 8));
  CHECK(is(init_of(resnet, "head.bias"), uniform, 1. / 8));
}

// tests/nn/models_conv_test.cpp -- convolutional models against their reference implementations.
#include <doctest/doctest.h>

#include "distill/train/models.h"
#include "nn/models/convnet.h"
#include "nn/models/mobilenet.h"
#include "nn/models/resnet.h"
#include "nn/models/shufflenet.h"
#include "nn/models/vgg.h"
#include "nn/models/wrn.h"
#include "tests/nn/reference.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

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

TEST_CASE("models: wide residual networks agree with RepDistiller's") {
  check_reference("wrn16_1");
  check_reference("wrn16_2");
  CHECK(after<WideResNet>("wrn16_2", [](WideResNet& net) {
          auto& block = net.stages[1].blocks[0];  // the stride moved to the second convolution
          std::swap(block.conv1.options.stride, block.conv2.options.stride);
        }) > 1e-3);
  CHECK_THROWS_WITH_AS(WideResNet({.depth = 20}), doctest::Contains("6 n + 4"), ConfigError);
}

TEST_CASE("models: vgg agrees with RepDistiller's") {
  check_reference("vgg13");
  CHECK(after<Vgg>("vgg13", [](Vgg& net) { std::swap(net.stages[3].pool, net.stages[4].pool); }) > 1e-3);
  CHECK_THROWS_AS(Vgg({.depth = 12}), ConfigError);
}

TEST_CASE("models: mobilenet_v2 agrees with RepDistiller's for small images and torchvision's for large ones") {
  check_reference("mobilenet_v2_cifar");
  check_reference("mobilenet_v2");
  CHECK(after<MobileNetV2>("mobilenet_v2_cifar", [](MobileNetV2& net) { net.stages[2].blocks[1].adds = false; }) >
        1e-3);
}

TEST_CASE("models: shufflenets agree with RepDistiller's") {
  check_reference("shufflenet_v1");
  check_reference("shufflenet_v2");
  const auto linear_depthwise = [](ShuffleNetV1& net) {  // as the paper has it
    net.stages[0].blocks[1].depthwise.act = Activation::none;
  };
  CHECK(after<ShuffleNetV1>("shufflenet_v1", linear_depthwise) > 1e-3);
  const auto swapped_sides = [](ShuffleNetV2& net) {
    std::swap(net.stages[1].blocks[0].left, net.stages[1].blocks[0].right);
  };
  CHECK(after<ShuffleNetV2>("shufflenet_v2", swapped_sides) > 1e-3);
}

TEST_CASE("models: channels are shuffled as a matrix is transposed") {
  const Tensor x = randn({2, 6, 3, 2});
  const Tensor y = channel_shuffle(x, 3);
  CHECK(y.layout().channels_last());
  const auto before = x.values(), after = y.values();
  for (std::size_t n = 0; n < 2; ++n)
    for (std::size_t g = 0; g < 3; ++g)
      for (std::size_t c = 0; c < 2; ++c)
        for (std::size_t p = 0; p < 6; ++p)
          CHECK(after[(6 * n + 3 * c + g) * 6 + p] == before[(6 * n + 2 * g + c) * 6 + p]);
  CHECK_THROWS_AS(channel_shuffle(x, 4), ShapeError);
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
           {"wrn(depth=16 width=1)", 180916},
           {"wrn(depth=16 width=2)", 703284},
           {"wrn(depth=40 width=1)", 569780},
           {"wrn(depth=40 width=2)", 2255156},
           {"vgg(depth=8)", 3965028},
           {"vgg(depth=11)", 9277284},
           {"vgg(depth=13)", 9462180},
           {"vgg(depth=16)", 14774436},
           {"vgg(depth=19)", 20086692},
           {"mobilenet_v2_cifar(width=0.5)", 812836},
           {"mobilenet_v2(classes=1000)", 3504872},
           {"shufflenet_v1", 949258},
           {"shufflenet_v2(width=1)", 1355528},
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
    move_to(*model, kMeta);
    Ctx ctx;
    ctx.training = true;
    ctx.wanted = {{"stages.0", "pre_act"}, {"features"}, {"head", "in"}};
    const Tensor y = model->forward(Tensor::empty({2, 3, 32, 32}, DType::f32, kMeta), ctx);
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
  CHECK(is(init_of("wrn", "stages.1.blocks.0.conv1.weight"), normal, std::sqrt(2. / (9 * 32))));
  CHECK(is(init_of("wrn", "head.bias"), Init::Law::constant, 0));
  CHECK(is(init_of("vgg", "stages.1.blocks.0.conv.weight"), normal, std::sqrt(2. / (9 * 128))));
  CHECK(is(init_of("vgg", "stages.1.blocks.0.conv.bias"), Init::Law::constant, 0));
  CHECK(is(init_of("vgg", "head.weight"), normal, 0.01));
  const std::string mobile = "mobilenet_v2";
  CHECK(is(init_of(mobile, "stages.1.blocks.0.body.1.conv.weight"), normal, std::sqrt(2. / (9 * 96))));
  CHECK(is(init_of(mobile, "head.weight"), normal, 0.01));
  CHECK(is(init_of("shufflenet_v1", "stages.0.blocks.1.depthwise.conv.weight"), uniform, 1. / 3));
  CHECK(is(init_of("shufflenet_v2", "tail.conv.weight"), uniform, 1 / std::sqrt(464.)));
}

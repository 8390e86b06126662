// tests/distill/models_test.cpp -- architectures by name.
#include "distill/train/models.h"

#include <doctest/doctest.h>

#include "distill/train/trainer.h"
#include "tests/distill/tiny_job.h"

using namespace retort;

TEST_CASE("models: a single width is a list of one") {
  const auto model = build_model(parse_call("mlp(in=4 classes=3 widths=8)", "test"), {});
  CHECK(parameter_count(*model) == 4 * 8 + 8 + 8 * 3 + 3);
  CHECK(model->arch().find("widths=8 ") != std::string::npos);
}

TEST_CASE("models: a residual network is the student of a job whose hint reads one of its stages") {
  const test::TemporaryFolder folder;
  const auto file = testing::write_tiny_job(folder.path(), "fitnet", "", "resnet_cifar(depth=8)");
  for (const Device device : {kCpu, kMeta}) {
    Job job = testing::tiny_job(file, {"run.steps=2"}, device);
    const Role& student = job.setup.roles.at("student");
    CHECK(student.model->arch() == "resnet_cifar(in=1 classes=4 depth=8 width=1 stem=16)");
    Trainer trainer(job.setup);
    while (!trainer.finished()) trainer.advance();
  }
}

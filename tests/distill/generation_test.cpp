// tests/distill/generation_test.cpp -- Frechet distances against closed forms, and jobs that judge what they generate.
#include "distill/train/generation.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "distill/train/run.h"
#include "distill/train/spread.h"
#include "distill/train/state.h"
#include "io/checkpoint.h"
#include "tensor/write.h"
#include "tests/distill/child.h"
#include "tests/distill/data_fixture.h"
#include "tests/io/test_files.h"
#include "tests/op_case.h"
#include "tests/tensor/comm_world.h"

using namespace retort;
using namespace retort::testing;

namespace {
Tensor vector_of(const std::vector<double>& v) {
  return Tensor::from(v, {static_cast<std::int64_t>(v.size())}, DType::f64);
}
Tensor square_of(const std::vector<double>& v) {
  const auto n = static_cast<std::int64_t>(std::lround(std::sqrt(v.size())));
  return Tensor::from(v, {n, n}, DType::f64);
}
}  // namespace

TEST_CASE("frechet: two Gaussians have the distance of the closed form") {
  const Tensor zero = vector_of({0, 0});
  SUBCASE("diagonal: squares of the differences of means and deviations") {
    const double d =
        frechet_distance(vector_of({1, -2}), square_of({4, 0, 0, 9}), vector_of({.5, 1}), square_of({1, 0, 0, .25}));
    CHECK(d == doctest::Approx(.25 + 9 + 1 + 6.25).epsilon(1e-12));
  }
  SUBCASE("covariances that do not commute: tr (AB)^(1/2) = (tr AB + 2 (det AB)^(1/2))^(1/2) for two dimensions") {
    const double a[] = {2, .8, .8, 1}, b[] = {.5, -.3, -.3, 1.5};
    const double trace_ab = a[0] * b[0] + a[1] * b[2] + a[2] * b[1] + a[3] * b[3];
    const double det = (a[0] * a[3] - a[1] * a[2]) * (b[0] * b[3] - b[1] * b[2]);
    const double expected = 3 + 2 - 2 * std::sqrt(trace_ab + 2 * std::sqrt(det));
    const Tensor first = square_of({2, .8, .8, 1}), second = square_of({.5, -.3, -.3, 1.5});
    CHECK(frechet_distance(zero, first, zero, second) == doctest::Approx(expected).epsilon(1e-12));
    CHECK(frechet_distance(zero, second, zero, first) == doctest::Approx(expected).epsilon(1e-12));
    CHECK(std::abs(expected - (3 + 2 - 2 * trace_ab)) > .05);  // without the root
  }
  SUBCASE("equal ones have none, also where a direction does not vary") {
    const Tensor flat = square_of({1, 1, 1, 1});
    CHECK(std::abs(frechet_distance(zero, flat, zero, flat)) < 1e-7);
    CHECK(frechet_distance(zero, flat, zero, square_of({0, 0, 0, 0})) == doctest::Approx(2));
  }
}

TEST_CASE("frechet: a covariance that is not positive is an error, on either side") {
  const Tensor zero = vector_of({0, 0}), good = square_of({1, 0, 0, 1}), bad = square_of({1, 2, 2, 1});
  CHECK_THROWS_WITH_AS(frechet_distance(zero, bad, zero, good), doctest::Contains("not positive"), NumericError);
  CHECK_THROWS_WITH_AS(frechet_distance(zero, good, zero, bad), doctest::Contains("not positive"), NumericError);
  CHECK_THROWS_AS(frechet_distance(zero, good, vector_of({0, 0, 0}), good), ShapeError);
  CHECK_THROWS_AS(frechet_distance(zero, square_of({1}), zero, good), ShapeError);
}

TEST_CASE("frechet: moments are unbiased, and those of the whole however it is cut") {
  const Tensor f = Tensor::from(std::vector<double>{1, 2, 3, 2, 5, 8, -1, 0, 7, 4}, {5, 2}, DType::f64);
  FeatureMoments whole, parts;
  whole.add(f);
  for (const auto& [first, last] : std::vector<std::pair<int, int>>{{0, 1}, {1, 3}, {3, 5}})
    parts.add(slice(f, 0, first, last));
  // Of (1, 3, 5, -1, 7) and (2, 2, 8, 0, 4) by hand: sums of products 40, 28, 36.8 over n - 1.
  for (const FeatureMoments* m : {&whole, &parts}) {
    CHECK(m->count() == 5);
    CHECK(m->mean().values()[0] == doctest::Approx(3));
    CHECK(m->mean().values()[1] == doctest::Approx(3.2));
    const auto c = m->covariance().values();
    CHECK(c[0] == doctest::Approx(10).epsilon(1e-12));
    CHECK(c[1] == doctest::Approx(7).epsilon(1e-12));
    CHECK(c[2] == doctest::Approx(7).epsilon(1e-12));
    CHECK(c[3] == doctest::Approx(9.2).epsilon(1e-12));
  }
  FeatureMoments one;
  one.add(slice(f, 0, 0, 1));
  CHECK_THROWS_AS(one.covariance(), ValueError);
  CHECK_THROWS_AS(whole.add(Tensor::zeros({2, 3})), ShapeError);
}

namespace {
/// A feature network trained for a few steps, and a job that trains a denoiser of 8 x 8 and judges it by that.
struct Judged {
  test::TemporaryFolder folder;
  std::string net, job;

  Judged() {
    const OpenedJob opened = open_job("ce", {"job.task=tiny", "job.output_dir=" + folder.path(), "run.steps=4"});
    Job trained = build_job(opened.config, opened.file, kCpu);
    RunFolder run = RunFolder::create(trained.folder, {trained.raw, trained.resolved, "test", "{}"});
    run_job(trained, run, {});
    net = (run.path() / "latest" / "model.h5").string();
    job = folder.path() + "/judged.yaml";
    write_file_atomic(job, "job: {name: judged, output_dir: " + folder.path() +
                               "}\n"
                               "data:\n"
                               "  train: {kind: patterns, count: 64, normalize: {mean: .4, std: .6}}\n"
                               "  test: {kind: patterns, count: 64, seed: 2, normalize: {mean: .4, std: .6}}\n"
                               "sources: {data: {set: train, batch: 16}}\n"
                               "models:\n"
                               "  student: {arch: unet(image=8 width=8 mult=1x2 blocks=1 attention=none embed_mult=2 "
                               "classes=4 dropout=0), schedule: ve, out: edm(.5)}\n"
                               "method: {extends: edm, roles: {student: {ema: {decay: .9}}}}\n"
                               "optim: {student: {adam: {lr: .002}}}\n"
                               "run: {steps: 3}\n"
                               "samplers:\n"
                               "  two: {classes: 4, stages: [{role: student.ema, levels: [80, 1], step: renoise}]}\n"
                               "eval:\n"
                               "  set: test\n"
                               "  generate:\n"
                               "    reference: train\n"
                               "    count: 40\n"
                               "    batch: 16\n"
                               "    seeds: 2\n"
                               "    features: {net: " +
                               net +
                               ", normalize: {mean: .4, std: .3}}\n"
                               "    rows:\n"
                               "      two calls: {sampler: two}\n"
                               "      one call: {classes: 4, seeds: 1, stages: [{role: student, levels: [80]}]}\n");
  }
  Job built(const std::vector<std::string>& overrides = {}, Device device = kCpu) const {
    return build_job(read_job(job, overrides), job, device);
  }
};
}  // namespace

TEST_CASE("generate: a job writes distances, samples and pictures; `eval` finds them again") {
  const Judged judged;
  Job job = judged.built();
  RunFolder run = RunFolder::create(job.folder, {job.raw, job.resolved, "test", "{}"});
  std::string said;
  RunObserver observer;
  observer.line = [&](const std::string& line) { said += line + "\n"; };
  run_job(job, run, observer);
  const auto metrics = read_metrics(run.path());
  for (const char* name : {"frechet/two calls", "frechet/one call", "frechet/real test images"}) {
    CAPTURE(name);
    REQUIRE(metrics.contains(name));
    CHECK(metrics.at(name).values.at(0) > 0);
  }
  CHECK(metrics.at("frechet/two calls").values[0] > metrics.at("frechet/real test images").values[0]);
  CHECK(metrics.at("frechet deviation/two calls").values.at(0) > 0);
  CHECK(metrics.at("network calls/two calls").values.at(0) == 2);
  for (const char* file : {"samples_two_calls.png", "samples_one_call.png", "samples.h5"})
    CHECK(std::filesystem::exists(run.path() / file));
  const CheckpointReader samples(run.path() / "samples.h5");
  REQUIRE(samples.find("two_calls"));
  CHECK(samples.find("two_calls")->shape == Shape{40, 1, 8, 8});
  const std::string page = read_file(run.path() / "report.html");
  CHECK(page.find("two calls, 2 network calls") != std::string::npos);
  CHECK(page.find("real test images") != std::string::npos);

  const auto log = std::filesystem::path(judged.folder.path()) / "output";
  const Ended e = Child({"eval", run.path().string()}, log).wait();
  CHECK(e.exit_code == 0);
  const std::string row =
      said.substr(said.find("two calls"), said.find('\n', said.find("two calls")) - said.find("two calls"));
  CAPTURE(row);
  CHECK(e.output.find(row) != std::string::npos);
}

TEST_CASE("run: several seeds are summed up by accuracies and by the distances of generated rows") {
  const Judged judged;
  const auto summary = [&](std::vector<std::string> arguments, const char* name) {
    arguments.insert(arguments.end(),
                     {"job.seeds=[1, 2]", "job.output_dir=" + judged.folder.path(), std::string("job.name=") + name});
    const Ended e = Child(arguments, judged.folder.file("log")).wait();
    INFO(e.output);
    REQUIRE(e.exit_code == 0);
    return read_file(judged.folder.file(std::string(name) + "/summary.txt"));
  };
  const auto line = [&](const char* run, const char* metric, double unit, const std::string& words) {
    std::vector<double> values;
    for (const int seed : {1, 2}) {
      const auto all = read_metrics(judged.folder.file(fmt::format("{}/seed_{}", run, seed)));
      values.push_back(unit * all.at(metric).values.back());
    }
    const Spread s = spread_of(values);
    CHECK(s.deviation > 0);
    return fmt::format("{}  {:.4g} +- {:.2g}\n", words, s.mean, s.deviation);
  };
  const std::string rows = summary({"run", judged.job}, "rows");
  CHECK(rows.starts_with("mean and deviation over 2 seeds\n"));
  CHECK(test::contains(rows, line("rows", "frechet/two calls", 1, "two calls, Frechet distance")));
  const std::string labels = summary({"run", "ce", "job.task=tiny", "run.steps=8"}, "labels");
  CHECK(test::contains(labels, line("labels", "acc/top1/student", 100, "student, top-1 %")));
}

TEST_CASE("generate: the batch changes no distance beyond rounding, and planning draws shapes alone") {
  const Judged judged;
  Job job = judged.built();
  const auto distances = [&](std::int64_t batch, std::uint64_t seed) {
    Generation g = *job.generation;
    g.batch = batch;
    job.setup.seed = seed;
    std::vector<double> all;
    for (const GeneratedRow& row : run_generation(g, job.setup, job.eval.data).rows)
      all.insert(all.end(), row.distances.begin(), row.distances.end());
    return all;
  };
  const auto small = distances(7, 1), large = distances(40, 1), other = distances(40, 2);
  REQUIRE(small.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(small[i] == doctest::Approx(large[i]).epsilon(1e-6));
    CHECK(std::abs(other[i] - large[i]) > 1e-6 * large[i]);
  }
  CHECK(large[0] != large[1]);
  Job planned = judged.built({"eval.generate.count=100000000"}, kMeta);
  CHECK(plan_job(planned).evaluation_peak > 0);
}

TEST_CASE("generate: ranks share the batches, and come to the distances and pictures of one process") {
  const Judged judged;
  const auto run = [&](Communicator* ranks) {
    Job job = judged.built({"eval.generate.batch=7"});
    return run_generation(*job.generation, job.setup, job.eval.data, ranks);
  };
  const GenerationResult alone = run(nullptr);
  std::vector<GenerationResult> several(2);
  const auto errors =
      in_world(Over::threads, 2, [&](Communicator& c) { several[static_cast<std::size_t>(c.rank())] = run(&c); });
  REQUIRE(errors == std::vector<std::string>(2));
  for (const GenerationResult& of_rank : several) {
    CHECK(of_rank.floor == alone.floor);
    for (std::size_t i = 0; i < alone.rows.size(); ++i) {
      CHECK(of_rank.rows[i].distances == alone.rows[i].distances);
      CHECK(of_rank.rows[i].calls == alone.rows[i].calls);
    }
  }
  for (std::size_t i = 0; i < alone.rows.size(); ++i)
    CHECK(several[0].rows[i].shown.values() == alone.rows[i].shown.values());
}

TEST_CASE("generate: features of real images depend on the normalisation of their network; the floor is of sets") {
  const Judged judged;
  const auto floor = [&](const std::vector<std::string>& overrides) {
    Job job = judged.built(overrides);
    job.generation->rows.clear();
    return run_generation(*job.generation, job.setup, job.eval.data).floor;
  };
  const double usual = floor({});
  CHECK(usual > 0);
  CHECK(floor({"eval.set=train"}) < 1e-6 * usual);
  CHECK(floor({"data.train.normalize={mean: .1, std: .9}", "data.test.normalize={mean: .5, std: .2}"}) ==
        doctest::Approx(usual).epsilon(1e-6));
  CHECK(std::abs(floor({"eval.generate.features.normalize={mean: .4, std: .6}"}) - usual) > 1e-3 * usual);
  CHECK(std::abs(floor({"eval.generate.features.tap=stages.0"}) - usual) > 1e-3 * usual);
}

TEST_CASE("generate: what is wrong is an error at its place") {
  const Judged judged;
  const auto says = [&](const std::string& override, const char* what) {
    CAPTURE(override);
    CHECK_THROWS_WITH_AS(judged.built({override}), doctest::Contains(what), ConfigError);
  };
  says("eval.generate.rows={a: {sampler: tow}}", "two");
  says("eval.generate.rows={}", "name at least one");
  says("eval.generate.rows={a b: {sampler: two}, a_b: {sampler: two}}", "the file name a_b");
  says("eval.generate.rows={a: {sampler: two, sampels: 3}}", "sampels");
  says("eval.generate.referenze=train", "referenze");
  says("eval.generate.reference=trian", "train");
  says("eval.generate.features.normalize={mean: [.1, .2]}", "one number a channel");
  says("samplers.two.stages=[{role: studnet, levels: [80]}]", "student");
  CHECK_THROWS_AS(judged.built({"eval.generate.features.net=absent.h5"}), IoError);
}

TEST_CASE("methods: samplers that train nothing write their samples, and none or all steps of a base are one sampler") {
  const test::TemporaryFolder folder;
  const auto samples = [&](const char* name, const char* k) {
    const OpenedJob opened = open_job("diversity-distillation", {"job.task=tiny", "job.output_dir=" + folder.path(),
                                                                 std::string("method.numbers.k=") + k});
    Job job = build_job(opened.config, opened.file, kCpu);
    CHECK(job.setup.phases.empty());
    for (const GeneratedRow& row : run_generation(*job.generation, job.setup, job.eval.data).rows)
      if (row.name == name) return row.shown.values();
    return std::vector<double>();
  };
  CHECK(samples("mixed", "0") == samples("distilled", "1"));
  CHECK(samples("mixed", "4") == samples("base", "1"));
  CHECK(samples("mixed", "1") != samples("mixed", "0"));
  CHECK(samples("mixed", "1").size() == 200);
}

TEST_CASE("jobs: the diffusion model of Fashion-MNIST and the students of its checkpoint are built and planned") {
  const test::TemporaryFolder folder;
  std::vector<std::string> overrides;  // the same on drawn patterns
  for (const char* set : {"train", "test"})
    overrides.push_back(fmt::format(
        "data.{}={{kind: patterns, count: 128, classes: 10, size: 28, normalize: {{mean: .2860, std: .7060}}}}", set));
  overrides.emplace_back("eval.generate.batch=10");
  for (const std::string size : {"_gpu", ""}) {
    const OpenedJob teacher = open_job("fashion_edm" + size, overrides);
    {
      Job job = build_job(teacher.config, teacher.file, kCpu);
      const std::int64_t parameters = parameter_count(*job.setup.roles.at("student").model);
      CHECK((size.empty() ? parameters <= 250'000 : parameters > 5'000'000));
      Trainer trainer(job.setup);
      // The last layer begins at zero, where a label says nothing yet.
      for (NamedParameter& p : parameters_of(job.setup.roles.at("student.ema")))
        assign_(p.parameter->value, p.parameter->value + .05, "test");
      save_checkpoint(folder.path(), job.setup, trainer, {});
    }
    std::vector<std::string> of_students = overrides;
    of_students.push_back("models.teacher.init_from=" + folder.path() + "/model.h5");
    for (const char* name : {"cd", "dmd2", "sid", "scm", "meanflow", "progressive", "reflow"}) {
      CAPTURE(name + size);
      const OpenedJob opened = open_job("fashion_" + (name + size), of_students);
      Job job = build_job(opened.config, opened.file, kMeta);
      const PlanReport plan = plan_job(job);
      CHECK(plan.steps >= 1000);
      CHECK(plan.evaluation_peak > 0);
      std::map<std::string, std::int64_t> calls;
      for (const GeneratedRow& row : run_generation(*job.generation, job.setup, job.eval.data).rows)
        calls[row.name] = row.calls;
      CHECK(calls == std::map<std::string, std::int64_t>{
                         {"one step", 1}, {"two steps", 2}, {"teacher, one call", 1}, {"teacher, two calls", 2}});
    }
  }
  overrides = {"models.teacher.init_from=" + folder.path() + "/model.h5"};
  for (const char* name : {"sds", "vsd", "csd", "nfsd", "ism"}) {
    CAPTURE(std::string(name));
    const OpenedJob opened = open_job(std::string("fashion_image_") + name, overrides);
    Job job = build_job(opened.config, opened.file, kCpu);
    const Tensor& images = parameters_of(job.setup.roles.at("student")).at(0).parameter->value;
    const std::vector<double> was = images.values();
    Trainer(job.setup).advance();
    const std::vector<double> is = images.values();
    for (std::size_t i = 0; i < 10; ++i)
      if (i != 6 || name != std::string("csd")) CHECK(was[i * 784] != is[i * 784]);  // its own negative, at first
    const GenerationResult drawn = run_generation(*job.generation, job.setup, {});
    CHECK(drawn.rows.at(0).shown.shape() == Shape{10, 1, 28, 28});
    CHECK(!samples_png(*job.generation, 0, drawn.rows[0]).empty());
  }
}

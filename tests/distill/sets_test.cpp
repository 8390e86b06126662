// tests/distill/sets_test.cpp -- what stands around synthetic sets: drawn weights, clusters, activation maps,
// histograms of gradients, the protocol that judges a set.
#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "autograd/ops/reduce.h"
#include "distill/data/clusters.h"
#include "distill/data/hog.h"
#include "distill/train/job.h"
#include "distill/train/run.h"
#include "distill/train/state.h"
#include "tests/distill/inner_fixture.h"
#include "tests/io/test_files.h"
#include "tests/tensor/comm_world.h"

using namespace retort;
using namespace retort::testing;

namespace {
Job tiny(const std::string& slug, std::vector<std::string> overrides = {}) {
  overrides.insert(overrides.begin(), "job.task=tiny");
  const OpenedJob opened = open_job(slug, overrides);
  return build_job(opened.config, opened.file, kCpu);
}

std::vector<double> weights(Job& job, const std::string& role) {
  std::vector<double> all;
  for (const NamedParameter& p : parameters_of(*job.setup.roles.at(role).model))
    for (const double v : p.parameter->value.values()) all.push_back(v);
  return all;
}
}  // namespace

TEST_CASE("sets: clusters choose one member of each blob, and everybody when there are as many") {
  std::vector<double> rows;
  for (int i = 0; i < 12; ++i)
    for (int d = 0; d < 2; ++d) rows.push_back(10 * (i % 3) * (d == 0 ? 1 : -1) + .1 * i * (d + 1) - .5);
  const Tensor f = Tensor::from(rows, {12, 2}, DType::f64);
  for (std::uint32_t step = 0; step < 8; ++step) {
    const auto chosen = nearest_to_centroids(f, 3, Rng(1).stream("k", step));
    REQUIRE(chosen.size() == 3);
    CHECK(std::set<std::int64_t>{chosen[0] % 3, chosen[1] % 3, chosen[2] % 3}.size() == 3);
    for (const std::int64_t c : chosen) CHECK((c / 3 == 1 || c / 3 == 2));  // the middle of four
  }
  CHECK(nearest_to_centroids(f, 12, Rng(1).stream("k")).size() == 12);
  CHECK(nearest_to_centroids(f, 40, Rng(1).stream("k")).size() == 12);
}

TEST_CASE("sets: an activation map averages to the logit; scaled, it spans 0 to 1") {
  std::vector<double> v(2 * 3 * 4);
  fill_normal(std::span<double>(v), Rng(4).stream("f"), 0);
  const Tensor f = Tensor::from(v, {2, 3, 2, 2}, DType::f64);
  const Tensor w = Tensor::from(std::vector<double>{1, -2, .5, .3, .4, -1}, {2, 3}, DType::f64);
  const auto cam = class_activation(f, w, Tensor::of<std::int64_t>(std::vector<std::int64_t>{1, 0}, {2})).values();
  for (std::size_t n = 0; n < 2; ++n) {
    const auto row = w.values();
    std::vector<double> map(4, 0);
    for (std::size_t d = 0; d < 3; ++d)
      for (std::size_t k = 0; k < 4; ++k) map[k] += row[3 * (1 - n) + d] * v[12 * n + 4 * d + k];
    const double low = *std::min_element(map.begin(), map.end()), high = *std::max_element(map.begin(), map.end());
    for (std::size_t k = 0; k < 4; ++k) CHECK(cam[4 * n + k] == doctest::Approx((map[k] - low) / (high - low)));
  }
}

TEST_CASE("sets: histograms of gradients know directions, and are 0 where nothing changes") {
  CHECK(oriented_gradients(Tensor::full({1, 1, 8, 8}, .3, DType::f64), 4).values() == std::vector<double>(36, 0));
  std::vector<double> across(64), down(64);
  for (std::size_t i = 0; i < 64; ++i) {
    across[i] = static_cast<double>(i % 8);
    down[i] = static_cast<double>(i / 8);
  }
  const auto a = oriented_gradients(Tensor::from(across, {1, 1, 8, 8}, DType::f64), 8).values();
  const auto d = oriented_gradients(Tensor::from(down, {1, 1, 8, 8}, DType::f64), 8).values();
  CHECK(a[4] == doctest::Approx(1));  // a right angle is the middle of nine bins
  CHECK(d[0] == doctest::Approx(1));
}

TEST_CASE("sets: fresh networks come anew when they are due, pools grow old, and both repeat") {
  Job job = tiny("dsa", {"run.steps=6", "method.roles.net.params=fresh(every=3)"});
  Trainer trainer(job.setup);
  std::vector<std::vector<double>> seen;
  while (!trainer.finished()) {
    trainer.advance();
    seen.push_back(weights(job, "net"));
  }
  CHECK(seen[0] != seen[1]);  // trained on the set
  Job other = tiny("dsa", {"run.steps=6", "method.roles.net.params=fresh(every=3)"});
  Trainer again(other.setup);
  for (const auto& expected : seen) {
    again.advance();
    CHECK(weights(other, "net") == expected);
  }
  Job pool = tiny("krr", {"run.steps=6", "method.roles.net.params=pool(size=2 age=2)"});
  Trainer t(pool.setup);
  while (!t.finished()) t.advance();
  std::vector<std::int64_t> ages;
  pool.setup.drawn.at("net")->visit_state([&](const std::string& name, Tensor& value) {
    if (name == "ages") ages = value.values<std::int64_t>();
  });
  REQUIRE(ages.size() == 2);
  for (const std::int64_t age : ages) CHECK((age == -1 || (age >= 1 && age <= 2)));
}

TEST_CASE("sets: roles of one store see one draw, so many points apart, inside the window") {
  Job job = tiny("mtt", {"method.numbers.length=4", "method.numbers.last=2", "run.steps=12"});
  Trainer trainer(job.setup);
  while (trainer.phase().name.starts_with("experts")) trainer.advance();
  const Tensor& table = job.setup.trajectories.at("experts").table;
  CHECK(table.size(0) == 2);
  CHECK(table.size(1) == 5);
  CHECK(select(select(table, 0, 0), 0, 0).values() != select(select(table, 0, 1), 0, 0).values());
  std::set<std::int64_t> points;
  std::set<std::int64_t> runs;
  const auto all = table.values();
  const auto width = static_cast<std::size_t>(table.size(2));
  while (!trainer.finished()) {
    trainer.advance();
    const auto path = weights(job, "path"), goal = weights(job, "goal");
    std::int64_t found = -1;
    for (std::size_t row = 0; row < 10; ++row)
      if (std::equal(path.begin(), path.end(), all.begin() + static_cast<std::ptrdiff_t>(row * width)))
        found = static_cast<std::int64_t>(row);
    REQUIRE(found >= 0);
    CHECK(std::equal(goal.begin(), goal.end(),
                     all.begin() + static_cast<std::ptrdiff_t>((static_cast<std::size_t>(found) + 1) * width)));
    runs.insert(found / 5);
    points.insert(found % 5);
  }
  CHECK(runs.size() == 2);
  CHECK(*points.rbegin() <= 2);
  CHECK(points.size() >= 2);
}

TEST_CASE("sets: a run that is interrupted while experts are recorded, or later, continues bit for bit") {
  const std::vector<std::string> how{"method.numbers.length=2", "run.steps=4"};
  Job whole = tiny("mtt", how);
  Trainer straight(whole.setup);
  while (!straight.finished()) straight.advance();
  for (const int stop : {3, 10}) {
    const test::TemporaryFolder folder;
    {
      Job first = tiny("mtt", how);
      Trainer trainer(first.setup);
      for (int i = 0; i < stop; ++i) trainer.advance();
      save_checkpoint(folder.path(), first.setup, trainer, {.step = trainer.step()});
    }
    Job second = tiny("mtt", how);
    Trainer trainer(second.setup);
    load_checkpoint(folder.path(), second.setup, trainer);
    while (!trainer.finished()) trainer.advance();
    CHECK(weights(second, "syn") == weights(whole, "syn"));
  }
}

TEST_CASE("sets: the batch-norm term is 0 for images whose statistics are the running ones") {
  Job job = tiny("sre2l", {"run.dtype=f64"});
  auto& set = dynamic_cast<PixelSet&>(*job.setup.roles.at("syn").model);
  Role& teacher = job.setup.roles.at("teacher");
  Config config =
      Config::parse("term: {set: syn, net: teacher, statistic: bn(first=10), solver: direct, distance: norm}", "test");
  const auto term = make_inner(parse_inner("term", config.child("term"), {}));
  const auto value = [&] {
    Tape tape;
    Leaves leaves(tape);
    Pass pass{0, Rng(1), true, &leaves, nullptr};
    const std::set<std::string> trained{"syn"};
    const Part part = term->eval({{}, {}, {}, {}, nullptr, &job.setup.roles, &pass, &trained});
    const Tensor x = leaves.of(set.x, false);
    for (const double g : tape.gradients(part.total, std::span(&x, 1))[0].values()) CHECK(std::isfinite(g));
    return part.total.item();
  };
  CHECK(value() > .1);
  // What the set is like becomes what the teacher remembers, layer after layer.
  for (int i = 0; i < 2; ++i) {
    Ctx ctx;
    ctx.compute = DType::f64;
    std::vector<TapId> inputs;
    std::vector<Buffer*> buffers;
    for (const NamedBuffer& b : buffers_of(*teacher.model)) {
      const auto dot = b.name.rfind('.');
      if (b.name.ends_with("running_mean")) inputs.push_back({b.name.substr(0, dot), "in"});
      buffers.push_back(b.buffer);
    }
    ctx.wanted = inputs;
    teacher.model->forward(set.x.value, ctx);
    for (std::size_t k = 0; k < inputs.size(); ++k) {
      const Tensor flat = reshape(permute(ctx.tapped[k], {1, 0, 2, 3}), {ctx.tapped[k].size(1), -1});
      assign_(buffers[2 * k]->value, mean(flat, {1}), "test");
      assign_(buffers[2 * k + 1]->value, var(flat, {1}), "test");
    }
  }
  CHECK(value() < 1e-9);
}

TEST_CASE("sets: the protocol repeats, reports every row, and tells a set of patterns from noise") {
  const test::TemporaryFolder folder;
  const auto accuracy = [&](const std::string& name, const std::string& init) {
    Job job = tiny("dm", {"run.steps=2", "method.roles.syn.init=" + init, "method.roles.syn.net=pixels(ipc=8)",
                          "method.phases=[{name: main, steps: job, update: [{train: [syn.x], terms: {match: 1}, optim: "
                          "{syn.x: {sgd: {lr: 0}}}}]}]",
                          "eval.protocol.steps=60", "eval.protocol.views=[none]", "job.output_dir=" + folder.path(),
                          "job.name=" + name});
    RunFolder run = RunFolder::create(job.folder, {job.raw, job.resolved, "test", "{}"});
    const RunResult result = run_job(job, run, {});
    CHECK(std::filesystem::exists(run.path() / "report.html"));
    bool apart = false;  // networks of different seeds
    Protocol brief = *job.protocol;
    brief.steps = 3;
    const auto alone = run_protocol(brief, job.setup, job.eval.data, job.sizes);
    for (const ProtocolRow& row : alone) apart = apart || row.spread.deviation > 0;
    CHECK(apart);
    const auto errors = in_world(Over::threads, 2, [&](Communicator& c) {
      const auto shared = run_protocol(brief, job.setup, job.eval.data, job.sizes, &c);
      for (std::size_t i = 0; i < alone.size(); ++i)
        if (shared[i].top1 != alone[i].top1) throw std::runtime_error("ranks that share networks find others");
    });
    CHECK(errors == std::vector<std::string>(2));
    REQUIRE(result.evaluations.size() == 2);
    CHECK(result.evaluations[0].first == "distilled, none");
    CHECK(result.evaluations[1].first == "random real, none");
    return std::pair(result.evaluations[0].second.top1, result.evaluations[1].second.top1);
  };
  const auto [real, random] = accuracy("a", "real(real)");
  const auto [noise, same] = accuracy("b", "noise");
  CHECK(same == random);
  CHECK(real > .6);
  CHECK(real > noise + .2);
  CHECK(accuracy("c", "real(real)").first == real);
}

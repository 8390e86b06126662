// tests/tensor/capture_test.cpp -- steps on an emulated GPU that are captured end as they do without captures.
//
// What each wait, slot and hold is for, and which case fails without it:
//   replay waits for the last one, which is recorded   "keys, rates and uploads .."
//   replay fills its slots                             the same
//   a section is compared by values too                "a value of the host .."
//   large uploads and synchronize flush                "large uploads and waits .."
//   download flushes                                   "a step's memory .."
//   the end of a step flushes                          "long steps are cut .."
//   releases wait for noted work                       "memory that a step gives back .."
//   Arena::take refuses what is in use                 "what outlives a step .."
//   an error runs what was noted before it             "other shapes, errors .."
#include "tensor/gpu/capture.h"

#include <doctest/doctest.h>

#include <atomic>
#include <cmath>
#include <set>
#include <thread>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/reduce.h"
#include "tensor/gpu/arena.h"
#include "tensor/optim_attrs.h"
#include "tensor/primitive.h"
#include "tensor/random.h"
#include "tensor/transfer.h"
#include "tensor/write.h"
#include "tests/emulators.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
Tensor numbers(const Shape& shape, std::uint64_t seed) { return normal(shape, Rng(seed).stream("numbers")); }
std::vector<double> values_of(const Tensor& t) { return to(t, kCpu).values(); }

/// Runs `steps` steps on copies of `start`, captured or not, and gives what they became.
using Work = std::function<void(std::int64_t step, const Tensor& state)>;
std::vector<double> after(Device device, const Tensor& start, int steps, const Work& work, StepCapture* capture) {
  const Tensor state = copy_of(to(start, device));
  for (int i = 0; i < steps; ++i) {
    const auto step = [&] { work(i, state); };
    capture ? capture->run("step", step) : step();
  }
  return values_of(state);
}

void adamw(const Tensor& gradient, const Tensor& p, const Tensor& m, const Tensor& v, std::int64_t step) {
  static const Primitive kStep("adamw_step");
  const double t = static_cast<double>(step + 1);
  const AdamAttrs attrs{.lr = 0.1 / t,
                        .beta1 = .9,
                        .beta2 = .99,
                        .eps = 1e-6,
                        .weight_decay = .1,
                        .correction1 = 1 - std::pow(.9, t),
                        .correction2 = 1 - std::pow(.99, t),
                        .decoupled = true};
  const Tensor out[] = {p, m, v, Tensor()};
  run_kernel(kStep, std::span(&gradient, 1), AttrBox::of(attrs), out);
}
}  // namespace

TEST_CASE("capture: keys, rates and uploads change from step to step, and so do replays") {
  for (const gpu::Schedule schedule : {gpu::Schedule::forward, gpu::Schedule::reverse, gpu::Schedule::random}) {
    const Device emu = emulator(schedule);
    const Tensor w = to(numbers({6, 6}, 2), emu);
    const auto run = [&](StepCapture* capture) {
      const Tensor m = Tensor::zeros({5, 6}, DType::f32, emu), v = Tensor::zeros({5, 6}, DType::f32, emu);
      return after(
          emu, numbers({5, 6}, 1), 8,
          [&](std::int64_t step, const Tensor& p) {
            const auto at = static_cast<std::uint32_t>(step);
            const Tensor small = to(Tensor::full({5, 6}, 0.1 * static_cast<double>(step)), emu);
            const Tensor large = to(Tensor::full({40, 5, 6}, 0.01 * static_cast<double>(step)), emu);  // 4800 bytes
            const Tensor noise = normal({5, 6}, Rng(4).stream("noise", at), DType::f32, emu);
            const Tensor kept = dropout(matmul(p, w), 0.4, Rng(4).stream("dropout", at), Tensor());
            const Tensor g = kept + noise + small + sum(large, {0});
            scale_(g, 1.0 / static_cast<double>(step + 1));
            adamw(g, p, m, v, step);
          },
          capture);
    };
    const std::vector<double> want = run(nullptr);
    StepCapture capture(emu);
    CHECK(run(&capture) == want);
    const StepCapture::Report& report = capture.reports().at("step");
    CAPTURE(report.reason);
    CHECK(report.settled());
    CHECK(report.sections > 0);
    CHECK(report.replays == 6 * report.sections);  // the first step is planned, the second seen
  }
}

TEST_CASE("capture: a step's memory lies at the same addresses, apart while it is in use, and downloads see the step") {
  const Device emu = emulator(gpu::Schedule::random);
  StepCapture capture(emu);
  const Tensor x = to(numbers({64, 64}, 1), emu), y = to(numbers({64, 64}, 2), emu);
  const double want = sum(exp(to(x, kCpu)) * to(y, kCpu)).item();
  std::vector<std::set<const std::byte*>> places(6);
  for (std::size_t i = 0; i < places.size(); ++i)
    capture.run("step", [&] {
      Tensor a = x;
      for (int k = 0; k < 5; ++k) {
        a = a * y;
        places[i].insert(a.storage()->data());
      }
      const Tensor b = exp(x) * y;
      places[i].insert(b.storage()->data());
      CHECK(to(sum(b), kCpu).item() == doctest::Approx(want).epsilon(1e-5));
    });
  CHECK(places[2] == places[1]);
  CHECK(places[5] == places[1]);
  // Six blocks of 16 KiB, of which two or three are in use at a time.
  const std::int64_t arena = capture.reports().at("step").arena_bytes;
  CHECK(arena >= 2 * 64 * 64 * 4);
  CHECK(arena <= 4 * 64 * 64 * 4);
  CHECK(capture.reports().at("step").settled());
}

TEST_CASE("capture: large uploads and waits within a step come after what is noted") {
  const Device emu = emulator(gpu::Schedule::random);
  StepCapture capture(emu);
  const Tensor x = to(numbers({5000}, 1), emu), total = Tensor::zeros({}, DType::f32, emu);
  for (int i = 0; i < 5; ++i)
    capture.run("step", [&] {
      Tensor sums = x + x;
      const std::byte* const place = sums.storage()->data();
      accumulate_(total, sum(sums));
      sums = Tensor();
      const Tensor large = to(Tensor::full({5000}, i), emu);  // where the sums were
      if (i > 0) CHECK(large.storage()->data() == place);
      CHECK(values_of(large)[4999] == i);
      fill_(total, 7);
      GpuDevice::of(emu).synchronize();
      CHECK(*reinterpret_cast<const float*>(total.storage()->data()) == 7);  // the emulator's memory is the host's
    });
}

TEST_CASE("capture: long steps are cut, so that the device begins before the host is done") {
  const Device emu = emulator(gpu::Schedule::forward);
  StepCapture capture(emu);
  const Tensor x = Tensor::zeros({4}, DType::f32, emu), one = Tensor::full({4}, 1, DType::f32, emu);
  for (int i = 0; i < 4; ++i)
    capture.run("step", [&] {
      for (int k = 0; k < 600; ++k) accumulate_(x, one);
    });
  CHECK(values_of(x) == std::vector<double>(4, 2400));
  CHECK(capture.reports().at("step").sections == 3);
  CHECK(capture.reports().at("step").settled());
}

TEST_CASE("capture: plans put what is alive together apart, whatever the order of releases") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    AllocationLog log;
    std::vector<std::byte> bytes(400);
    struct Life {
      std::size_t block;
      int begin, end;
    };
    std::vector<Life> lives;
    std::vector<std::pair<std::size_t, std::size_t>> alive;  // byte that stands for it, block
    std::int64_t total = 0;
    std::size_t next = 0;
    for (int now = 0; now < 300; ++now) {
      const std::uint64_t draw = uniform_int(Rng(seed).stream("lives"), 0, static_cast<std::uint64_t>(now), 1000);
      if (draw < 550 || alive.empty()) {
        const auto size = static_cast<std::int64_t>(1 + draw * 7);
        log.allocated(&bytes[next], size);
        alive.emplace_back(next, lives.size());
        lives.push_back({lives.size(), now, 300});
        total += size;
        ++next;
      } else {
        const auto gone = alive.begin() + static_cast<std::ptrdiff_t>(draw % alive.size());
        log.released(&bytes[gone->first]);
        lives[gone->second].end = now;
        alive.erase(gone);
      }
    }
    const ArenaPlan plan = log.plan();
    REQUIRE(plan.blocks.size() == lives.size());
    Arena arena(bytes.data(), plan.peak);
    for (const Life& a : lives) {
      const ArenaPlan::Block& p = plan.blocks[a.block];
      CHECK(p.offset.has_value() == (a.end < 300));
      if (!p.offset) continue;
      CHECK(*p.offset + p.bytes <= plan.peak);
      for (const Life& b : lives) {
        const ArenaPlan::Block& q = plan.blocks[b.block];
        if (b.block <= a.block || !q.offset || b.begin > a.end || a.begin > b.end) continue;
        CHECK((*p.offset + p.bytes <= *q.offset || *q.offset + q.bytes <= *p.offset));
      }
    }
    CHECK(plan.peak < total);
  }
}

TEST_CASE("capture: an arena hands nothing out twice") {
  std::byte bytes[100];
  Arena arena(bytes, 100);
  CHECK(arena.take(10, 20) == bytes + 10);
  CHECK(arena.take(29, 5) == nullptr);
  CHECK(arena.take(0, 11) == nullptr);
  CHECK(arena.take(0, 10) == bytes);
  CHECK(arena.take(30, 71) == nullptr);
  CHECK(arena.take(30, 70) == bytes + 30);
  arena.give_back(bytes + 10);
  CHECK(arena.take(12, 18) == bytes + 12);
  CHECK(!arena.idle());
}

TEST_CASE("capture: what outlives a step, or lives longer than planned, keeps its values") {
  const Device emu = emulator(gpu::Schedule::random);
  StepCapture capture(emu);
  const Tensor x = to(numbers({16}, 1), emu);
  const auto want = [&](double factor) { return values_of(to(x, kCpu) * factor); };
  const auto times = [&](int i) { return x * to(Tensor::full({16}, i), emu); };
  std::vector<Tensor> kept;
  for (int i = 0; i < 20; ++i)
    capture.run("step", [&] {
      Tensor first = times(i);
      if (i == 4) kept.push_back(first);
      Tensor held = i == 12 ? first : Tensor();
      first = Tensor();
      const Tensor second = times(i + 100), third = times(i + 200);
      CHECK(values_of(second) == want(i + 100));
      CHECK(values_of(third) == want(i + 200));
      if (held.defined()) CHECK(values_of(held) == want(i));
    });
  CHECK(values_of(kept[0]) == want(4));
  const StepCapture::Report& report = capture.reports().at("step");
  CAPTURE(report.reason);
  CHECK(report.settled());
  // Three plans: at the begin, after step 4, after step 12; a section is replayed when it comes for the second time.
  CHECK(report.replays >= 10 * report.sections);
}

TEST_CASE("capture: a value of the host that changes in a launch keeps its section from being replayed, and is named") {
  const Device emu = emulator(gpu::Schedule::random);
  StepCapture capture(emu);
  const Tensor x = to(numbers({16}, 1), emu);
  for (int i = 0; i < 5; ++i)
    capture.run("step", [&] {
      const Tensor y = x * Tensor::full({16}, i, DType::f32, emu);
      CHECK(values_of(y) == values_of(to(x, kCpu) * static_cast<double>(i)));
    });
  const StepCapture::Report& report = capture.reports().at("step");
  CHECK(report.replayed == 0);
  CHECK(report.reason.find("fill_strided") != std::string::npos);
  CHECK(report.reason.find("argument 2 differs") != std::string::npos);
}

TEST_CASE("capture: memory that a step gives back and got from outside waits for work that is noted") {
  for (const gpu::Schedule schedule : {gpu::Schedule::forward, gpu::Schedule::reverse, gpu::Schedule::random}) {
    const Device emu = emulator(schedule);
    StepCapture capture(emu);
    Tensor held = to(numbers({8}, 1), emu);
    std::vector<double> want = values_of(held);
    for (int i = 0; i < 6; ++i) {
      capture.run("step", [&] {
        const Tensor next = held + held;
        held = next;  // the old one goes before the sum is run
        const Tensor other = Tensor::zeros({8}, DType::f32, emu);
        static_cast<void>(other);
      });
      for (double& w : want) w *= 2;
      CHECK(values_of(held) == want);
    }
  }
}

TEST_CASE("capture: other threads may use the device while a step is on") {
  const Device emu = emulator(gpu::Schedule::random);
  StepCapture capture(emu);
  const Tensor x = numbers({32}, 1), there = to(x, emu), sum = Tensor::zeros({32}, DType::f32, emu);
  const std::vector<double> doubled = values_of(x * 2.0);
  std::atomic<int> wrong = 0;
  std::atomic<bool> stop = false;
  std::thread other([&] {
    for (Tensor kept; !stop;) {
      const Tensor own = to(x, emu);
      kept = own + own;  // it lives from step to step
      if (values_of(kept) != doubled) ++wrong;
    }
  });
  for (int i = 0; i < 200; ++i)
    capture.run("step", [&] {
      const Tensor twice = there + there;
      accumulate_(sum, twice);
      if (values_of(twice) != doubled) ++wrong;
    });
  stop = true;
  other.join();
  CHECK(wrong == 0);
  CHECK(values_of(sum * 0.0025)[7] == doctest::Approx(x.values()[7]).epsilon(1e-4));
}

TEST_CASE("capture: other shapes, errors and steps within steps leave the device as it was") {
  const Device emu = emulator(gpu::Schedule::random);
  StepCapture capture(emu);
  const Tensor x = to(numbers({40}, 1), emu);
  const auto twice = [&](std::int64_t n) {
    Tensor y;
    capture.run("step", [&] {
      const Tensor part = x.view({{n}, {1}, 0});
      y = to(part + part, kCpu);
    });
    CHECK(y.values() == (to(x.view({{n}, {1}, 0}), kCpu) * 2.0).values());
  };
  for (const std::int64_t n : {40, 40, 40, 7, 40, 40, 40}) twice(n);
  CHECK(capture.reports().at("step").settled());
  const Tensor sum = Tensor::zeros({40}, DType::f32, emu);
  CHECK_THROWS_AS(capture.run("step",
                              [&] {
                                accumulate_(sum, x);
                                throw ValueError("a step ends early");
                              }),
                  ValueError);
  CHECK(values_of(sum) == values_of(x));  // what came before the error was done
  StepCapture second(emu);
  CHECK_THROWS_AS(capture.run("outer", [&] { second.run("inner", [] {}); }), DeviceError);
  twice(40);
}

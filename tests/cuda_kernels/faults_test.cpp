// tests/cuda_kernels/faults_test.cpp -- planted faults: each is noticed under every schedule, and the right kernel
// passes.
#include <doctest/doctest.h>

#include <numeric>

#include "cuda_kernels/device.cuh"
#include "tests/cuda_kernels/on_device.h"

using namespace retort;
using namespace retort::kernels::emu;
using gpu::Fault;
using kernel_test::download;
using kernel_test::on_every_schedule;
using kernel_test::room_for;
using kernel_test::upload;

namespace {

constexpr unsigned kThreads = 96;

enum class Plant {
  none,
  missing_barrier,
  overrun,
  wrong_mask,
  no_lane,
  unwritten_shared,
  divergent_barrier,
  two_barriers
};

/// y[block, i] = x[block, n - 1 - i] by way of shared memory, then summed over pairs of lanes and reversed back.
template <Plant plant>
RETORT_KERNEL void planted(In<float> x, Out<float> y) {
  RETORT_SHARED(float, line, kThreads);
  const unsigned t = thread_index().x, base = block_index().x * kThreads;
  if (plant != Plant::unwritten_shared || t != 7) line[t] = x[base + t];
  if (plant == Plant::divergent_barrier) {
    if (t >= 40) return;
    sync_block();
  } else if (plant == Plant::two_barriers) {
    if (t < 40)
      sync_block();
    else
      sync_block();
  } else if (plant != Plant::missing_barrier) {
    sync_block();
  }
  const float v = line[kThreads - 1 - t];
  float other = 0;
  if (plant == Plant::wrong_mask) {
    // Lanes 16-31 are named and do not come.
    if (t % 32 < 16) other = shuffle_xor(kFullWarp, v, 1);
  } else if (plant == Plant::no_lane) {
    other = shuffle_xor(0xffffu << (t % 32 / 16 * 16), v, 16);
  } else {
    other = shuffle_xor(kFullWarp, v, 1);
  }
  y[base + t + (plant == Plant::overrun ? 1 : 0)] = v + other;
}

/// What a run of two blocks ends in.
template <Plant plant>
void run_planted(gpu::Device& device) {
  const gpu::Stream stream = device.default_stream();
  std::vector<float> x(2 * kThreads);
  std::iota(x.begin(), x.end(), 1.0f);
  float* const px = upload(stream, x);
  float* const y = room_for<float>(stream, x.size());
  RETORT_LAUNCH(stream, (gpu::LaunchShape{{2}, {kThreads}}), planted<plant>, px, y);
  const auto got = download(stream, y, x.size());
  for (unsigned i = 0; i < x.size(); ++i) {
    const unsigned base = i / kThreads * kThreads, t = i % kThreads;
    const float want = x[base + kThreads - 1 - t] + x[base + kThreads - 1 - (t ^ 1u)];
    REQUIRE(got[i] == want);
  }
}

void require_fault(Fault fault, const std::function<void()>& f) {
  try {
    f();
  } catch (const gpu::KernelFault& e) {
    INFO(e.what());
    CHECK(e.fault() == fault);
    CHECK(std::string(e.what()).find("block") != std::string::npos);
    return;
  }
  FAIL("not noticed");
}

RETORT_KERNEL void double_all(In<float> x, Out<float> y, int n) {
  const int i = static_cast<int>(block_index().x * block_extent().x + thread_index().x);
  if (i < n) y[i] = 2.0f * x[i];
}

/// Two blocks write the same place.
RETORT_KERNEL void write_first(Out<float> y) { y[0] = static_cast<float>(block_index().x); }
RETORT_KERNEL void count_all(Out<int> y) { atomic_add(y, 1); }

enum class Steps { all, no_wait, no_upload, no_join };

/// x goes up on one stream, is doubled on a second, comes down on the first: every step needs its event.
std::vector<float> two_streams(gpu::Device& device, Steps leave_out) {
  constexpr int n = 100;
  const gpu::Stream copies = device.create_stream(), work = device.create_stream();
  const gpu::Event up = device.create_event(), done = device.create_event();
  auto* const pinned = static_cast<float*>(device.allocate_pinned(n * sizeof(float)));
  for (int i = 0; i < n; ++i) pinned[i] = static_cast<float>(i);
  auto* const x = static_cast<float*>(device.allocate(n * sizeof(float), copies));
  auto* const y = static_cast<float*>(device.allocate(n * sizeof(float), copies));
  if (leave_out != Steps::no_upload) device.copy_to_device(x, pinned, n * sizeof(float), copies);
  device.record(up, copies);
  if (leave_out != Steps::no_wait) device.wait(work, up);
  RETORT_LAUNCH(work, (gpu::LaunchShape{{4}, {32}}), double_all, x, y, n);
  device.record(done, work);
  if (leave_out != Steps::no_join) device.wait(copies, done);
  device.copy_to_host(pinned, y, n * sizeof(float), copies);
  device.synchronize();
  std::vector<float> out(pinned, pinned + n);
  device.release_pinned(pinned);
  return out;
}

}  // namespace

TEST_CASE("cuda_kernels: the right kernel passes under every schedule") { on_every_schedule(run_planted<Plant::none>); }

TEST_CASE("cuda_kernels: planted faults of kernels are noticed under every schedule") {
  on_every_schedule([](gpu::Device& d) {
    require_fault(Fault::race, [&] {
      try {
        run_planted<Plant::missing_barrier>(d);
      } catch (const gpu::KernelFault& e) {
        // Whoever runs first reads what is not yet written; whoever runs last reads what nothing orders.
        if (e.fault() != Fault::uninitialised) throw;
        throw gpu::KernelFault(Fault::race, e.what());
      }
    });
  });
  on_every_schedule(
      [](gpu::Device& d) { require_fault(Fault::out_of_bounds, [&] { run_planted<Plant::overrun>(d); }); });
  on_every_schedule(
      [](gpu::Device& d) { require_fault(Fault::divergent_warp, [&] { run_planted<Plant::wrong_mask>(d); }); });
  on_every_schedule(
      [](gpu::Device& d) { require_fault(Fault::divergent_warp, [&] { run_planted<Plant::no_lane>(d); }); });
  on_every_schedule(
      [](gpu::Device& d) { require_fault(Fault::uninitialised, [&] { run_planted<Plant::unwritten_shared>(d); }); });
  on_every_schedule([](gpu::Device& d) {
    require_fault(Fault::divergent_barrier, [&] { run_planted<Plant::divergent_barrier>(d); });
  });
  on_every_schedule(
      [](gpu::Device& d) { require_fault(Fault::divergent_barrier, [&] { run_planted<Plant::two_barriers>(d); }); });
}

TEST_CASE("cuda_kernels: a report names the kernel, the block and the threads") {
  const auto device = gpu::open_emulator({gpu::Schedule::forward});
  try {
    run_planted<Plant::divergent_barrier>(*device);
    FAIL("not noticed");
  } catch (const gpu::KernelFault& e) {
    const std::string message = e.what();
    CHECK(message.find("planted<plant>: block 0") != std::string::npos);
    CHECK(message.find("at a barrier: 0-39") != std::string::npos);
  }
  // A failure leaves fibers in order: the next kernel of the same device runs.
  run_planted<Plant::none>(*device);
}

TEST_CASE("cuda_kernels: blocks that write one place race; atomic additions do not") {
  on_every_schedule([](gpu::Device& d) {
    const gpu::Stream stream = d.default_stream();
    float* const y = upload(stream, std::vector<float>{0});
    RETORT_LAUNCH(stream, (gpu::LaunchShape{{2}, {1}}), write_first, y);
    require_fault(Fault::race, [&] { d.synchronize(); });
    int* const count = upload(stream, std::vector<int>{0});
    RETORT_LAUNCH(stream, (gpu::LaunchShape{{3}, {40}}), count_all, count);
    CHECK(download(stream, count, 1)[0] == 120);
  });
}

TEST_CASE("cuda_kernels: a missing event wait or copy is noticed under every schedule") {
  on_every_schedule([](gpu::Device& d) {
    const auto got = two_streams(d, Steps::all);
    for (int i = 0; i < 100; ++i) REQUIRE(got[static_cast<std::size_t>(i)] == 2.0f * static_cast<float>(i));
  });
  on_every_schedule([](gpu::Device& d) {
    CHECK_THROWS_AS(two_streams(d, Steps::no_wait), gpu::KernelFault);  // a race, or a read of what is not there yet
  });
  on_every_schedule(
      [](gpu::Device& d) { require_fault(Fault::uninitialised, [&] { two_streams(d, Steps::no_upload); }); });
  on_every_schedule([](gpu::Device& d) { CHECK_THROWS_AS(two_streams(d, Steps::no_join), gpu::KernelFault); });
}

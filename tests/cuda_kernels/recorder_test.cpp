// tests/cuda_kernels/recorder_test.cpp -- noted work: replayed when it is the same, run as it comes when it is not.
#include "cuda_kernels/recorder.h"

#include <doctest/doctest.h>

#include "cuda_kernels/device.cuh"
#include "tests/cuda_kernels/on_device.h"

using namespace retort;
using namespace retort::kernels::emu;
using kernel_test::download;
using kernel_test::on_every_schedule;
using kernel_test::upload;

namespace {

/// y = factor y + x
RETORT_KERNEL void mix_into(In<float> x, Out<float> y, float factor, int n) {
  const int i = static_cast<int>(thread_index().x);
  if (i < n) y[i] = factor * y[i] + x[i];
}
void mix_into(gpu::Stream stream, const float* x, float* y, float factor, int n = 8) {
  RETORT_LAUNCH(stream, (gpu::LaunchShape{{1}, {32}}),
                static_cast<void (*)(In<float>, Out<float>, float, int)>(mix_into), x, y, factor, n);
}

/// What a host puts into a stream whose device notes it.
gpu::Section noted(gpu::Device& device, const std::function<void(gpu::Recorder&, gpu::Stream)>& work) {
  gpu::Recorder recorder(device);
  work(recorder, recorder.default_stream());
  return recorder.take();
}

/// Copies through pinned memory that stays until the device is gone.
gpu::Upload plain_upload(gpu::Device& d) {
  return [&d](void* to, const void* from, std::size_t bytes) {
    void* const pinned = d.allocate_pinned(bytes);
    std::memcpy(pinned, from, bytes);
    d.copy_to_device(to, pinned, bytes, d.default_stream());
  };
}

}  // namespace

TEST_CASE("cuda_kernels: a section that comes again is replayed, each time with the bytes that were uploaded then") {
  on_every_schedule([](gpu::Device& d) {
    const gpu::Stream stream = d.default_stream();
    float* const x = upload(stream, std::vector<float>(8, 0.0f));
    float* const y = upload(stream, std::vector<float>(8, 0.0f));
    gpu::GraphTable graphs(d);
    float want = 0;
    for (int step = 1; step <= 6; ++step) {
      const std::vector<float> bytes(8, static_cast<float>(step));
      const gpu::Section section = noted(d, [&](gpu::Recorder& r, gpu::Stream s) {
        r.upload(x, bytes.data(), 32);
        mix_into(s, x, y, 2.0f);
        r.copy(x, y, 16, s);
        mix_into(s, x, y, 1.0f);
      });
      // Nobody waits between replays: their uploads may not overtake each other.
      CHECK(graphs.run(section, stream, plain_upload(d)) == (step > 1));
      want = 2 * want + static_cast<float>(step);
      want += want;
    }
    CHECK(graphs.size() == 1);
    CHECK(download(stream, y, 8)[3] == want);
  });
}

TEST_CASE("cuda_kernels: a section that differs in a value, an address or a size is run as it comes") {
  on_every_schedule([](gpu::Device& d) {
    const gpu::Stream stream = d.default_stream();
    float* const x = upload(stream, std::vector<float>(8, 1.0f));
    float* const y = upload(stream, std::vector<float>(8, 0.0f));
    gpu::GraphTable graphs(d);
    const auto section = [&](float factor, const float* from, int n) {
      return noted(d, [&](gpu::Recorder&, gpu::Stream s) { mix_into(s, from, y, factor, n); });
    };
    const auto run = [&](const gpu::Section& s) { return graphs.run(s, stream, plain_upload(d)); };
    CHECK(!run(section(2, x, 8)));
    CHECK(run(section(2, x, 8)));
    CHECK(download(stream, y, 8)[7] == 3);
    CHECK(!run(section(3, x, 8)));
    CHECK(download(stream, y, 8)[7] == 10);
    CHECK(!run(section(2, x, 7)));
    CHECK(!run(section(2, y, 8)));
    CHECK(download(stream, y, 8)[6] == 63);  // 10 -> 21 -> 2 * 21 + 21
    CHECK(run(section(2, x, 8)));
    CHECK(download(stream, y, 8)[6] == 127);
    CHECK(gpu::difference(section(2, x, 8), section(3, x, 8)).find("argument 3 differs") != std::string::npos);
    CHECK(gpu::difference(section(2, x, 8), section(2, y, 8)).find("argument 1 differs") != std::string::npos);
    CHECK(gpu::difference(section(2, x, 8), {}) == "0 pieces where there were 1");
    CHECK(gpu::difference(section(2, x, 8), section(2, x, 8)).empty());
  });
}

TEST_CASE("cuda_kernels: captures are forgotten when there are too many, and made anew") {
  const auto device = gpu::open_emulator();
  const gpu::Stream stream = device->default_stream();
  std::vector<float*> x;
  for (int i = 0; i < 3; ++i) x.push_back(upload(stream, std::vector<float>(8, 1.0f)));
  float* const y = upload(stream, std::vector<float>(8, 0.0f));
  gpu::GraphTable graphs(*device, 2);
  int replayed = 0;
  for (int round = 0; round < 6; ++round)
    for (float* const from : x) {
      const gpu::Section section = noted(*device, [&](gpu::Recorder&, gpu::Stream s) { mix_into(s, from, y, 1.0f); });
      replayed += graphs.run(section, stream, plain_upload(*device)) ? 1 : 0;
      CHECK(graphs.size() <= 2);
    }
  CHECK(replayed == 15);  // all but the first round
  CHECK(download(stream, y, 8)[0] == 18);
}

TEST_CASE(
    "cuda_kernels: while work is recorded nothing else is allowed, and a replay of memory that is gone is noticed") {
  const auto device = gpu::open_emulator();
  const gpu::Stream stream = device->default_stream();
  gpu::Recorder recorder(*device);
  CHECK_THROWS_AS(recorder.allocate(8, stream), gpu::StateError);
  CHECK_THROWS_AS(recorder.synchronize(), gpu::StateError);
  CHECK_THROWS_AS(recorder.begin_capture(stream), gpu::StateError);
  float* const x = upload(stream, std::vector<float>(8, 1.0f));
  float* const y = upload(stream, std::vector<float>(8, 0.0f));
  const gpu::Section section = noted(*device, [&](gpu::Recorder&, gpu::Stream s) { mix_into(s, x, y, 2.0f); });
  gpu::GraphTable graphs(*device);
  graphs.run(section, stream, plain_upload(*device));
  graphs.run(section, stream, plain_upload(*device));
  device->release(x, stream);
  graphs.run(section, stream, plain_upload(*device));
  CHECK_THROWS_AS(device->synchronize(), gpu::KernelFault);
}

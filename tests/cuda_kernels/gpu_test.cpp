// tests/cuda_kernels/gpu_test.cpp -- memory, streams, events and captures of the emulated device.
#include <doctest/doctest.h>

#include "cuda_kernels/device.cuh"
#include "tests/cuda_kernels/on_device.h"

using namespace retort;
using namespace retort::kernels::emu;
using kernel_test::download;
using kernel_test::on_every_schedule;
using kernel_test::upload;

namespace {

RETORT_KERNEL void add_to(In<float> x, Out<float> y, int n) {
  const int i = static_cast<int>(thread_index().x);
  if (i < n) y[i] = y[i] + x[i];
}
void add_to(gpu::Stream stream, const float* x, float* y, int n) {
  RETORT_LAUNCH(stream, (gpu::LaunchShape{{1}, {32}}), static_cast<void (*)(In<float>, Out<float>, int)>(add_to), x, y,
                n);
}

/// Every word that kernels are written in, once.
RETORT_KERNEL void exchanges(Out<unsigned> y) {
  const unsigned t = thread_index().x;
  const unsigned down = shuffle_down(kFullWarp, t, 3), all = ballot(kFullWarp, t % 3 == 0);
  const unsigned half = shuffle(0xffffu << (t / 16 * 16), t, t / 16 * 16 + 5);
  sync_warp(kFullWarp);
  y[t] = down + 100 * half;
  y[32 + t] = all;
  y[64 + t] = warp_reduce(t, AddJoin{});
}

}  // namespace

TEST_CASE("cuda_kernels: size classes waste at most a quarter and grow with the request") {
  std::size_t last = 0;
  for (std::size_t bytes = 1; bytes < 100'000; bytes += 37) {
    const std::size_t size = gpu::size_class(bytes);
    CHECK(size >= bytes);
    CHECK(size >= last);
    CHECK(size % 512 == 0);
    if (bytes > 4096) CHECK(size * 4 <= bytes * 5);
    CHECK(gpu::size_class(size) == size);
    last = size;
  }
}

TEST_CASE("cuda_kernels: exchanges of a warp give what the definitions say") {
  on_every_schedule([](gpu::Device& d) {
    const gpu::Stream stream = d.default_stream();
    unsigned* const y = kernel_test::room_for<unsigned>(stream, 96);
    RETORT_LAUNCH(stream, (gpu::LaunchShape{{1}, {32}}), exchanges, y);
    const auto got = download(stream, y, 96);
    unsigned votes = 0;
    for (unsigned t = 0; t < 32; t += 3) votes |= 1u << t;
    for (unsigned t = 0; t < 32; ++t) {
      CHECK(got[t] == (t + 3 < 32 ? t + 3 : t) + 100 * (t / 16 * 16 + 5));
      CHECK(got[32 + t] == votes);
      CHECK(got[64 + t] == 31 * 32 / 2);
    }
  });
}

TEST_CASE("cuda_kernels: pointers of the wrong kind are refused") {
  const auto device = gpu::open_emulator();
  const gpu::Stream stream = device->default_stream();
  std::vector<float> host(8, 1.0f);
  float* const x = upload(stream, host);
  float* const pinned = static_cast<float*>(device->allocate_pinned(32));
  CHECK_THROWS_AS(device->copy_to_device(x, host.data(), 32, stream), gpu::PointerError);
  CHECK_THROWS_AS(device->copy_to_device(pinned, x, 32, stream), gpu::PointerError);
  CHECK_THROWS_AS(device->copy_to_device(x, pinned, 33, stream), gpu::PointerError);
  CHECK_THROWS_AS(device->fill(host.data(), 0, 32, stream), gpu::PointerError);
  CHECK_THROWS_AS(add_to(stream, host.data(), x, 8), gpu::PointerError);
  CHECK_THROWS_AS(add_to(stream, x, pinned, 8), gpu::PointerError);
  CHECK_THROWS_AS(device->release(x + 1, stream), gpu::PointerError);
  device->release(x, stream);
  CHECK_THROWS_AS(device->release(x, stream), gpu::PointerError);
  CHECK_THROWS_AS(device->fill(x, 0, 32, stream), gpu::PointerError);
  device->release_pinned(pinned);
}

TEST_CASE("cuda_kernels: memory released on one stream while another uses it is noticed") {
  on_every_schedule([](gpu::Device& d) {
    const gpu::Stream first = d.default_stream(), second = d.create_stream();
    float* const x = upload(first, std::vector<float>(8, 1.0f));
    float* const y = upload(first, std::vector<float>(8, 1.0f));
    d.synchronize();
    add_to(second, x, y, 8);
    d.release(x, first);
    CHECK_THROWS_AS(d.synchronize(), gpu::KernelFault);
  });
}

TEST_CASE("cuda_kernels: a full device says so, and memory comes back") {
  const auto device = gpu::open_emulator({gpu::Schedule::random, 0, 4096});
  const gpu::Stream stream = device->default_stream();
  void* const x = device->allocate(3000, stream);
  CHECK(device->memory_use().used_bytes == 3072);
  CHECK_THROWS_AS(device->allocate(1025, stream), gpu::OutOfMemory);
  device->release(x, stream);
  device->synchronize();
  CHECK(device->memory_use().used_bytes == 0);
  CHECK(device->allocate(4096, stream) != nullptr);
}

TEST_CASE("cuda_kernels: a capture runs when it is replayed, with its order of streams") {
  on_every_schedule([](gpu::Device& d) {
    const gpu::Stream main = d.default_stream(), side = d.create_stream();
    float* const x = upload(main, std::vector<float>(8, 1.0f));
    float* const y = upload(main, std::vector<float>(8, 0.0f));
    float* const z = upload(main, std::vector<float>(8, 0.0f));
    const gpu::Event fork = d.create_event(), join = d.create_event();
    d.begin_capture(main);
    CHECK_THROWS_AS(d.allocate(8, main), gpu::StateError);
    CHECK_THROWS_AS(d.synchronize(), gpu::StateError);
    add_to(main, x, y, 8);
    d.record(fork, main);
    d.wait(side, fork);
    add_to(side, y, z, 8);
    add_to(main, x, x, 8);  // nothing orders it against the side stream, which does not touch x
    d.record(join, side);
    d.wait(main, join);
    add_to(main, z, y, 8);
    const gpu::Graph graph = d.end_capture(main);
    CHECK(download(main, y, 8)[3] == 0.0f);
    float a = 1, b = 0, c = 0;
    for (int i = 0; i < 3; ++i) {
      d.replay(graph, main);
      b += a;
      c += b;
      a += a;
      b += c;
    }
    CHECK(download(main, y, 8)[3] == b);
    CHECK(download(main, z, 8)[7] == c);
    d.destroy(graph);
    CHECK_THROWS_AS(d.replay(graph, main), gpu::StateError);
  });
}

TEST_CASE("cuda_kernels: a captured stream that is not joined, and a missing wait within a capture, are noticed") {
  on_every_schedule([](gpu::Device& d) {
    const gpu::Stream main = d.default_stream(), side = d.create_stream();
    float* const x = upload(main, std::vector<float>(8, 1.0f));
    const gpu::Event fork = d.create_event(), join = d.create_event();
    d.begin_capture(main);
    d.record(fork, main);
    d.wait(side, fork);
    add_to(side, x, x, 8);
    CHECK_THROWS_AS(d.end_capture(main), gpu::StateError);

    d.begin_capture(main);
    add_to(main, x, x, 8);
    d.record(fork, main);
    d.wait(side, fork);
    add_to(side, x, x, 8);
    add_to(main, x, x, 8);
    d.record(join, side);
    d.wait(main, join);
    d.replay(d.end_capture(main), main);
    CHECK_THROWS_AS(d.synchronize(), gpu::KernelFault);
  });
}

TEST_CASE("cuda_kernels: work is put off until somebody waits, and events order what the host does") {
  on_every_schedule([](gpu::Device& d) {
    const gpu::Stream stream = d.default_stream();
    int calls = 0;
    d.call([&] { ++calls; }, stream);
    CHECK(calls == 0);
    const gpu::Event event = d.create_event();
    d.record(event, stream);
    d.synchronize(event);
    CHECK(calls == 1);
    CHECK(d.done(event));
    CHECK_THROWS_AS(d.wait(gpu::Stream{&d, 99}, event), gpu::StateError);
  });
}

TEST_CASE("cuda_kernels: without a driver there are no devices, and opening one says so") {
  if (gpu::cuda_devices() > 0) return;
  CHECK_THROWS_AS(gpu::open_cuda(0), gpu::Unavailable);
}

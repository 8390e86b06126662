// cuda_kernels/emulate/kernel.h -- the words of device.cuh on the host: checked memory, fibers for threads.
#pragma once
#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "cuda_kernels/arguments.h"
#include "cuda_kernels/emulate/block.h"
#include "cuda_kernels/emulate/device.h"
#include "cuda_kernels/emulate/float16.h"
#include "cuda_kernels/gpu.h"

#define RETORT_BACKEND emu
#define RETORT_KERNEL
#define RETORT_DEVICE inline
#define RETORT_UNROLL
#define RETORT_SHARED(T, name, count) \
  static const char name##_site = 0;  \
  const ::retort::kernels::emu::Shared<T> name = ::retort::kernels::emu::shared_at<T>(&name##_site, count)
#define RETORT_SHARED_DYNAMIC(T, name) \
  const ::retort::kernels::emu::Shared<T> name = ::retort::kernels::emu::shared_dynamic<T>()
#define RETORT_LAUNCH(stream, shape, kernel, ...) launch(stream, #kernel, shape, kernel, __VA_ARGS__)

namespace retort::kernels::emu {

/// An element of checked memory: reading and writing it is noted.
template <class T>
class Element {
 public:
  Element(T* p, gpu::Region* region) : p_(p), region_(region) {}
  operator T() const {
    touch(gpu::TouchMode::read);
    return *p_;
  }
  const Element& operator=(T v) const {
    touch(gpu::TouchMode::write);
    *p_ = v;
    return *this;
  }
  const Element& operator=(const Element& other) const { return *this = static_cast<T>(other); }
  Element(const Element&) = default;

 private:
  void touch(gpu::TouchMode mode) const { region_->touch(p_, sizeof(T), mode, gpu::self()); }
  T* p_;
  gpu::Region* region_;
};

/// A pointer into device or shared memory. A const T can only be read.
template <class T>
class Pointer {
 public:
  using Value = std::remove_const_t<T>;
  Pointer() = default;
  Pointer(T* p) : p_(p) {}  // NOLINT: arguments of launches are plain pointers
  Pointer(T* p, gpu::Region* region) : p_(p), region_(region) {}
  operator Pointer<const Value>() const { return {p_, region_}; }

  void bind(gpu::Binder& binder) { region_ = binder.find(p_); }
  Pointer operator+(std::int64_t n) const {
    // By whole numbers: an index out of bounds is found when it is used.
    return {reinterpret_cast<T*>(reinterpret_cast<std::uintptr_t>(p_) + static_cast<std::uintptr_t>(n) * sizeof(T)),
            region_};
  }
  auto operator[](std::int64_t i) const {
    const Pointer at = *this + i;
    if constexpr (std::is_const_v<T>)
      return static_cast<Value>(Element<Value>(const_cast<Value*>(at.p_), region()));
    else
      return Element<T>(at.p_, region());
  }
  explicit operator bool() const { return p_ != nullptr; }
  T* get() const { return p_; }
  gpu::Region* region() const {
    if (!region_)
      throw gpu::KernelFault(gpu::Fault::out_of_bounds, std::string(gpu::self().name) + ": uses a null pointer");
    return region_;
  }

 private:
  T* p_ = nullptr;
  gpu::Region* region_ = nullptr;
};

template <class T>
using In = Pointer<const T>;
template <class T>
using Out = Pointer<T>;
template <class T>
using Shared = Pointer<T>;

template <class T>
Shared<T> shared_at(const void* site, std::size_t count) {
  gpu::Region& region = gpu::self().runner->shared(site, count * sizeof(T));
  return {reinterpret_cast<T*>(region.data()), &region};
}
template <class T>
Shared<T> shared_dynamic() {
  gpu::Region& region = gpu::self().runner->dynamic_shared();
  return {reinterpret_cast<T*>(region.data()), &region};
}

inline gpu::Extent thread_index() { return gpu::self().thread_index; }
inline gpu::Extent block_index() { return gpu::self().block_index; }
inline gpu::Extent block_extent() { return gpu::self().block_extent; }
inline gpu::Extent grid_extent() { return gpu::self().grid_extent; }

inline void sync_block(int line = __builtin_LINE()) { gpu::self().runner->sync_block(line); }
inline void sync_warp(unsigned mask, int line = __builtin_LINE()) {
  gpu::self().runner->meet({"sync_warp", mask, line, nullptr, nullptr});
}

/// What a lane brings to an exchange and takes from it.
template <class T>
struct Exchange {
  T value;
  unsigned from;
  T result;
  bool bad = false;
};
/// The value of lane `from`; reading a lane outside of the mask is a fault.
template <class T>
T exchange(const char* what, unsigned mask, T value, unsigned from, int line) {
  Exchange<T> mine{value, from, value};
  gpu::self().runner->meet({what, mask, line, &mine, [](void* const* payloads, std::uint32_t lanes) {
                              for (unsigned lane = 0; lane < 32; ++lane) {
                                if ((lanes >> lane & 1u) == 0) continue;
                                auto& taker = *static_cast<Exchange<T>*>(payloads[lane]);
                                if (taker.from < 32 && (lanes >> taker.from & 1u))
                                  taker.result = static_cast<Exchange<T>*>(payloads[taker.from])->value;
                                else
                                  taker.bad = true;
                              }
                            }});
  if (mine.bad)
    throw gpu::KernelFault(gpu::Fault::divergent_warp, std::string(gpu::self().name) + ": block " +
                                                           std::to_string(gpu::self().block) + ", thread " +
                                                           std::to_string(gpu::self().thread) + ": " + what +
                                                           " of line " + std::to_string(line) + " reads lane " +
                                                           std::to_string(from) + ", which is outside of the mask");
  return mine.result;
}
template <class T>
T shuffle(unsigned mask, T v, unsigned lane, int line = __builtin_LINE()) {
  return exchange("shuffle", mask, v, lane % 32, line);
}
template <class T>
T shuffle_xor(unsigned mask, T v, unsigned lanes, int line = __builtin_LINE()) {
  return exchange("shuffle_xor", mask, v, gpu::self().lane() ^ lanes, line);
}
/// Lanes whose source would be beyond the warp keep their own value.
template <class T>
T shuffle_down(unsigned mask, T v, unsigned lanes, int line = __builtin_LINE()) {
  const unsigned lane = gpu::self().lane();
  return exchange("shuffle_down", mask, v, lane + lanes < 32 ? lane + lanes : lane, line);
}
inline unsigned ballot(unsigned mask, bool predicate, int line = __builtin_LINE()) {
  struct Vote {
    bool yes;
    unsigned result = 0;
  } mine{predicate};
  gpu::self().runner->meet({"ballot", mask, line, &mine, [](void* const* payloads, std::uint32_t lanes) {
                              unsigned votes = 0;
                              for (unsigned lane = 0; lane < 32; ++lane)
                                if (lanes >> lane & 1u)
                                  votes |= unsigned{static_cast<Vote*>(payloads[lane])->yes} << lane;
                              for (unsigned lane = 0; lane < 32; ++lane)
                                if (lanes >> lane & 1u) static_cast<Vote*>(payloads[lane])->result = votes;
                            }});
  return mine.result;
}

template <class T>
T atomic_add(Pointer<T> p, T v) {
  p.region()->touch(p.get(), sizeof(T), gpu::TouchMode::atomic, gpu::self());
  const T before = *p.get();
  *p.get() = static_cast<T>(before + v);
  return before;
}

template <class T, int N>
struct Pack {
  T value[N];
};
/// Checks the whole pack's alignment, as the device does.
template <class T>
void require_aligned(const Pointer<T>& p, std::size_t bytes) {
  if (reinterpret_cast<std::uintptr_t>(p.get()) % bytes != 0)
    throw gpu::KernelFault(gpu::Fault::misaligned, std::string(gpu::self().name) + ": a pack of " +
                                                       std::to_string(bytes) + " bytes is misaligned");
}
template <int N, class T>
Pack<std::remove_const_t<T>, N> load_pack(Pointer<T> p) {
  require_aligned(p, N * sizeof(T));
  Pack<std::remove_const_t<T>, N> pack;
  for (int i = 0; i < N; ++i) pack.value[i] = p[i];
  return pack;
}
template <int N, class T>
void store_pack(Pointer<T> p, const Pack<T, N>& pack) {
  require_aligned(p, N * sizeof(T));
  for (int i = 0; i < N; ++i) p[i] = pack.value[i];
}

/// Two neighbouring 16-bit values as one word, the first in the low half.
template <class T>
unsigned load_pair(Pointer<T> p) {
  require_aligned(p, 4);
  const std::remove_const_t<T> low = p[0], high = p[1];
  return low.bits | unsigned{high.bits} << 16;
}

/// c += a b for one 16 x 8 x 16 product of the warp, summed over k in order. Lane l holds rows l / 4 and l / 4 + 8 of a
/// and c, column l / 4 of b, and in them the pairs from 2 (l % 4) on.
template <class T>
void mma(MmaC& c, const MmaA& a, const MmaB& b, int line = __builtin_LINE()) {
  struct Fragments {
    MmaC* c;
    const MmaA* a;
    const MmaB* b;
  } mine{&c, &a, &b};
  gpu::self().runner->meet({"mma", 0xffffffffu, line, &mine, [](void* const* payloads, std::uint32_t) {
                              const auto half = [](unsigned pair, int which) {
                                T v;
                                v.bits = static_cast<std::uint16_t>(pair >> (16 * which));
                                return to_float(v);
                              };
                              float left[16][16], right[16][8];
                              for (int lane = 0; lane < 32; ++lane) {
                                const auto& f = *static_cast<Fragments*>(payloads[lane]);
                                const int group = lane / 4, first = lane % 4 * 2;
                                for (int h = 0; h < 2; ++h) {
                                  for (int q = 0; q < 4; ++q)
                                    left[group + q % 2 * 8][first + q / 2 * 8 + h] = half(f.a->pair[q], h);
                                  for (int q = 0; q < 2; ++q) right[first + q * 8 + h][group] = half(f.b->pair[q], h);
                                }
                              }
                              for (int lane = 0; lane < 32; ++lane) {
                                const auto& f = *static_cast<Fragments*>(payloads[lane]);
                                for (int e = 0; e < 4; ++e) {
                                  const int row = lane / 4 + e / 2 * 8, column = lane % 4 * 2 + e % 2;
                                  float sum = f.c->value[e];
                                  for (int k = 0; k < 16; ++k) sum += left[row][k] * right[k][column];
                                  f.c->value[e] = sum;
                                }
                              }
                            }});
}

/// Finds the memory of an argument: pointers, and structs with a member `bind` that hands on theirs.
template <class P>
void bind_argument(gpu::Binder& binder, P& argument) {
  if constexpr (requires { argument.bind(binder); }) argument.bind(binder);
}

template <class... P>
class BoundKernel final : public gpu::EmulatedKernel {
 public:
  BoundKernel(void (*kernel)(P...), P... arguments) : kernel_(kernel), arguments_(arguments...) {}
  void bind(gpu::Binder& binder) override {
    std::apply([&](auto&... a) { (bind_argument(binder, a), ...); }, arguments_);
  }
  void run_thread() override { std::apply(kernel_, arguments_); }

 private:
  void (*kernel_)(P...);
  std::tuple<P...> arguments_;
};

template <class... P, class... A>
void launch(gpu::Stream stream, const char* name, const gpu::LaunchShape& shape, void (*kernel)(P...), A... arguments) {
  static_assert(sizeof...(P) == sizeof...(A));
  static_assert((kBytesTell<P> && ...), "arguments have no padding; see cuda_kernels/arguments.h");
  static constexpr std::size_t bytes[] = {kArgumentBytes<P>...};
  const auto put = [&](P... parameters) {
    void* addresses[] = {static_cast<void*>(&parameters)...};
    gpu::Kernel code;
    code.name = name;
    code.entry = reinterpret_cast<const void*>(kernel);
    code.arguments = addresses;
    code.argument_bytes = bytes;
    code.argument_count = sizeof...(P);
    code.body = std::make_shared<BoundKernel<P...>>(kernel, parameters...);
    stream.device->launch(code, shape, stream);
  };
  put(static_cast<P>(arguments)...);
}

}  // namespace retort::kernels::emu

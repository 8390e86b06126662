#include "tensor/cpu/fft_plan.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numbers>

namespace retort::cpu {

namespace {

/// e^(-2 pi i k / n), exact to f64 rounding: the angle is reduced to an eighth of a turn in integers.
struct Root {
  double re, im;
};
Root root_of_unity(std::int64_t k, std::int64_t n) {
  k %= n;
  const std::int64_t octant = 8 * k / n;
  // The distance, in units of 1/(8n) turns, to the nearest multiple of a quarter turn on either side.
  const std::int64_t quarter = (octant + 1) / 2;
  const double angle = 2 * std::numbers::pi * static_cast<double>(4 * k - quarter * n) / static_cast<double>(4 * n);
  const double c = std::cos(angle), s = std::sin(angle);
  switch (quarter % 4) {
    case 0:
      return {c, -s};
    case 1:
      return {-s, -c};
    case 2:
      return {-c, s};
    default:
      return {s, c};
  }
}

// Butterflies pass arrays of vectors by pointer: only inlined do those stay in registers.
#define RETORT_INLINE [[gnu::always_inline]] inline

/// As many elements as a vector register of 64 bytes holds. Vectors go by pointer and reference, never by value: that
/// would have no stable calling convention on machines without such registers.
template <class T>
struct Wide {
  static constexpr std::int64_t count = 64 / static_cast<std::int64_t>(sizeof(T));
  using type [[gnu::vector_size(64)]] = T;
};
template <class V, class T>
RETORT_INLINE void load(V& v, const T* p) {
  std::memcpy(&v, p, sizeof(V));
}
template <class V, class T>
RETORT_INLINE void store(const V& v, T* p) {
  std::memcpy(p, &v, sizeof(V));
}

template <class V>
RETORT_INLINE void add_sub(V& a, V& b) {
  const V d = a - b;
  a = a + b;
  b = d;
}

// In-place transforms of `radix` values, forward, in natural order. V is an element or a vector of them.
template <class V>
RETORT_INLINE void transform_2(V* re, V* im) {
  add_sub(re[0], re[1]);
  add_sub(im[0], im[1]);
}
template <class V>
RETORT_INLINE void transform_4(V* re, V* im) {
  add_sub(re[0], re[2]);
  add_sub(im[0], im[2]);
  add_sub(re[1], re[3]);
  add_sub(im[1], im[3]);
  add_sub(re[0], re[1]);
  add_sub(im[0], im[1]);
  // re/im[2] -+ i re/im[3]: values 1 and 3 of the result.
  const V r = re[2] - im[3], i = im[2] + re[3];
  re[2] = re[2] + im[3];
  im[2] = im[2] - re[3];
  re[3] = r;
  im[3] = i;
  std::swap(re[1], re[2]);
  std::swap(im[1], im[2]);
}
template <class V, class T>
RETORT_INLINE void transform_8(V* re, V* im, T half_root) {
  V even_re[4] = {re[0], re[2], re[4], re[6]}, even_im[4] = {im[0], im[2], im[4], im[6]};
  V odd_re[4] = {re[1], re[3], re[5], re[7]}, odd_im[4] = {im[1], im[3], im[5], im[7]};
  transform_4(even_re, even_im);
  transform_4(odd_re, odd_im);
  const V r1 = (odd_re[1] + odd_im[1]) * half_root, i1 = (odd_im[1] - odd_re[1]) * half_root;
  const V r3 = (odd_im[3] - odd_re[3]) * half_root, i3 = -(odd_re[3] + odd_im[3]) * half_root;
  const V r[4] = {odd_re[0], r1, odd_im[2], r3}, i[4] = {odd_im[0], i1, -odd_re[2], i3};
  for (int k = 0; k < 4; ++k) {
    re[k] = even_re[k] + r[k];
    im[k] = even_im[k] + i[k];
    re[k + 4] = even_re[k] - r[k];
    im[k + 4] = even_im[k] - i[k];
  }
}
/// Odd radices: values j and radix - j enter by their sum and difference.
template <int radix, class V, class T>
RETORT_INLINE void transform_odd(V* re, V* im, const T* cosines, const T* sines) {
  constexpr int half = (radix - 1) / 2;
  V sum_re[half], sum_im[half], dif_re[half], dif_im[half];
  const V re0 = re[0], im0 = im[0];
  for (int j = 0; j < half; ++j) {
    sum_re[j] = re[j + 1] + re[radix - 1 - j];
    sum_im[j] = im[j + 1] + im[radix - 1 - j];
    dif_re[j] = re[j + 1] - re[radix - 1 - j];
    dif_im[j] = im[j + 1] - im[radix - 1 - j];
    re[0] = re[0] + sum_re[j];
    im[0] = im[0] + sum_im[j];
  }
  for (int k = 1; k <= half; ++k) {
    V cos_re = re0, cos_im = im0, sin_re = dif_re[0] * sines[k], sin_im = dif_im[0] * sines[k];
    for (int j = 0; j < half; ++j) {
      const int turn = (j + 1) * k % radix;
      cos_re = cos_re + sum_re[j] * cosines[turn];
      cos_im = cos_im + sum_im[j] * cosines[turn];
      if (j == 0) continue;
      sin_re = sin_re + dif_re[j] * sines[turn];
      sin_im = sin_im + dif_im[j] * sines[turn];
    }
    re[k] = cos_re + sin_im;
    im[k] = cos_im - sin_re;
    re[radix - k] = cos_re - sin_im;
    im[radix - k] = cos_im + sin_re;
  }
}

template <int radix, class V, class T>
RETORT_INLINE void transform(V* re, V* im, const FftStage<T>& stage) {
  if constexpr (radix == 2)
    transform_2(re, im);
  else if constexpr (radix == 4)
    transform_4(re, im);
  else if constexpr (radix == 8)
    transform_8(re, im, static_cast<T>(std::numbers::sqrt2 / 2));
  else
    transform_odd<radix>(re, im, stage.cosines.data(), stage.sines.data());
}

/// The transform of `radix` values that lie `apart` elements apart, before any twiddle factors.
template <int radix, class V, class T>
RETORT_INLINE void butterfly(const FftStage<T>& stage, const T* re, const T* im, std::int64_t apart, V* out_re,
                             V* out_im) {
  for (int j = 0; j < radix; ++j) {
    load(out_re[j], re + j * apart);
    load(out_im[j], im + j * apart);
  }
  transform<radix>(out_re, out_im, stage);
}
template <class V, class W>
RETORT_INLINE void turn(V& re, V& im, const W& c, const W& s) {
  const V r = re * c - im * s;
  im = re * s + im * c;
  re = r;
}

/// Strides of a vector or more: whole vectors along them, one twiddle factor for all.
template <int radix, class T>
void long_stride_pass(const FftStage<T>& stage, Planes<const T> x, Planes<T> y) {
  using V = typename Wide<T>::type;
  const std::int64_t s = stage.stride, apart = s * stage.span;
  const auto at = [&]<class Lane>(std::int64_t p, std::int64_t q) {
    Lane re[radix], im[radix];
    butterfly<radix>(stage, x.re + q + s * p, x.im + q + s * p, apart, re, im);
    T *to_re = y.re + q + s * radix * p, *to_im = y.im + q + s * radix * p;
    for (int k = 0; k < radix; ++k) {
      const auto w = static_cast<std::size_t>(p * (radix - 1) + k - 1);
      if (k > 0 && p > 0) turn(re[k], im[k], stage.twiddle_re[w], stage.twiddle_im[w]);
      store(re[k], to_re + s * k);
      store(im[k], to_im + s * k);
    }
  };
  for (std::int64_t p = 0; p < stage.span; ++p) {
    std::int64_t q = 0;
    for (; q + Wide<T>::count <= s; q += Wide<T>::count) at.template operator()<V>(p, q);
    for (; q < s; ++q) at.template operator()<T>(p, q);
  }
}

/// Short strides: vectors run across butterflies, which lie side by side in the input; each lane has its own twiddle
/// factors, and results are spread out in pieces of `stride` elements.
template <int radix, class T>
void short_stride_pass(const FftStage<T>& stage, Planes<const T> x, Planes<T> y) {
  using V = typename Wide<T>::type;
  constexpr std::int64_t kLanes = Wide<T>::count;
  const std::int64_t s = stage.stride, apart = s * stage.span;
  const auto at = [&]<class Lane>(std::int64_t i, T* values_re, T* values_im, std::int64_t lanes) {
    Lane re[radix], im[radix];
    butterfly<radix>(stage, x.re + i, x.im + i, apart, re, im);
    for (int k = 0; k < radix; ++k) {
      if (k > 0) {
        Lane c, w;
        load(c, stage.twiddle_re.data() + (k - 1) * apart + i);
        load(w, stage.twiddle_im.data() + (k - 1) * apart + i);
        turn(re[k], im[k], c, w);
      }
      store(re[k], values_re + k * lanes);
      store(im[k], values_im + k * lanes);
    }
  };
  alignas(64) T re[radix * kLanes], im[radix * kLanes];
  std::int64_t i = 0;
  const auto spread = [&](std::int64_t lanes) {
    for (std::int64_t l = 0; l < lanes; ++l) {
      const std::int64_t p = (i + l) / s, to = (i + l) - p * s + p * s * radix;
      for (int k = 0; k < radix; ++k) {
        y.re[to + s * k] = re[k * lanes + l];
        y.im[to + s * k] = im[k * lanes + l];
      }
    }
  };
  // Strides that divide a vector, as constants: then pieces are moved by single instructions.
  const auto spread_pieces = [&]<int piece>(std::integral_constant<int, piece>) {
    for (std::int64_t l = 0; l < kLanes; l += piece)
      for (int k = 0; k < radix; ++k) {
        std::memcpy(y.re + (i + l) * radix + piece * k, re + k * kLanes + l, piece * sizeof(T));
        std::memcpy(y.im + (i + l) * radix + piece * k, im + k * kLanes + l, piece * sizeof(T));
      }
  };
  for (; i + kLanes <= apart; i += kLanes) {
    at.template operator()<V>(i, re, im, kLanes);
    switch (s) {
      case 1:
        spread_pieces(std::integral_constant<int, 1>{});
        break;
      case 2:
        spread_pieces(std::integral_constant<int, 2>{});
        break;
      case 4:
        spread_pieces(std::integral_constant<int, 4>{});
        break;
      case 8:
        if constexpr (kLanes >= 8) spread_pieces(std::integral_constant<int, 8>{});
        break;
      default:
        spread(kLanes);
    }
  }
  for (; i < apart; ++i) {
    at.template operator()<T>(i, re, im, 1);
    spread(1);
  }
}

template <int radix, class T>
void pass(const FftStage<T>& stage, Planes<const T> x, Planes<T> y) {
  if (stage.stride < Wide<T>::count)
    short_stride_pass<radix>(stage, x, y);
  else
    long_stride_pass<radix>(stage, x, y);
}

template <class T>
void run_stage(const FftStage<T>& stage, Planes<const T> x, Planes<T> y) {
  switch (stage.radix) {
    case 2:
      return pass<2>(stage, x, y);
    case 3:
      return pass<3>(stage, x, y);
    case 4:
      return pass<4>(stage, x, y);
    case 5:
      return pass<5>(stage, x, y);
    case 7:
      return pass<7>(stage, x, y);
    case 8:
      return pass<8>(stage, x, y);
    case 11:
      return pass<11>(stage, x, y);
    default:
      return pass<13>(stage, x, y);
  }
}

/// The passes of a length, or nothing when it has a prime factor that no pass handles.
std::vector<std::int64_t> radices_of(std::int64_t n) {
  std::vector<std::int64_t> radices;
  for (const std::int64_t r : {8, 4, 2, 3, 5, 7, 11, 13})
    for (; n % r == 0; n /= r) radices.push_back(r);
  if (n != 1) radices.clear();
  return radices;
}

template <class T>
FftStage<T> make_stage(std::int64_t radix, std::int64_t span, std::int64_t stride) {
  FftStage<T> stage{radix, span, stride, {}, {}, {}, {}};
  const auto push = [&](std::int64_t turns) {
    const Root w = root_of_unity(turns, radix * span);
    stage.twiddle_re.push_back(static_cast<T>(w.re));
    stage.twiddle_im.push_back(static_cast<T>(w.im));
  };
  if (stride < Wide<T>::count) {
    for (std::int64_t k = 1; k < radix; ++k)
      for (std::int64_t i = 0; i < span * stride; ++i) push(i / stride * k);
  } else {
    for (std::int64_t p = 0; p < span; ++p)
      for (std::int64_t k = 1; k < radix; ++k) push(p * k);
  }
  for (std::int64_t j = 0; j < radix; ++j) {
    const Root w = root_of_unity(j, radix);
    stage.cosines.push_back(static_cast<T>(w.re));
    stage.sines.push_back(static_cast<T>(-w.im));
  }
  return stage;
}

}  // namespace

template <class T>
FftPlan<T>::FftPlan(std::int64_t n) : length_(n) {
  if (n <= 1) return;
  const auto radices = radices_of(n);
  if (!radices.empty()) {
    std::int64_t rest = n, stride = 1;
    for (const std::int64_t r : radices) {
      rest /= r;
      stages_.push_back(make_stage<T>(r, rest, stride));
      stride *= r;
    }
    return;
  }
  const auto padded = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(2 * n - 1)));
  chirp_plan_ = std::make_unique<FftPlan>(padded);
  std::vector<double> re(static_cast<std::size_t>(padded), 0.0), im(re), work_re(re), work_im(re);
  for (std::int64_t k = 0; k < n; ++k) {
    // k^2 mod 2n without the overflow or the lost digits of k^2 itself.
    const auto square = static_cast<std::int64_t>(static_cast<unsigned __int128>(k) * static_cast<std::uint64_t>(k) %
                                                  static_cast<std::uint64_t>(2 * n));
    const Root w = root_of_unity(square, 2 * n);
    chirp_re_.push_back(static_cast<T>(w.re));
    chirp_im_.push_back(static_cast<T>(w.im));
    for (const std::int64_t at : {k, (padded - k) % padded}) {
      re[static_cast<std::size_t>(at)] = w.re;
      im[static_cast<std::size_t>(at)] = -w.im;
    }
  }
  const FftPlan<double> exact(padded);
  const Planes<double> filter = exact.run({re.data(), im.data()}, {work_re.data(), work_im.data()});
  for (std::int64_t k = 0; k < padded; ++k) {
    filter_re_.push_back(static_cast<T>(filter.re[k] / static_cast<double>(padded)));
    filter_im_.push_back(static_cast<T>(filter.im[k] / static_cast<double>(padded)));
  }
}

template <class T>
std::int64_t FftPlan<T>::room() const {
  return chirp_plan_ ? chirp_plan_->length() : length_;
}

template <class T>
Planes<T> FftPlan<T>::run(Planes<T> x, Planes<T> work) const {
  if (chirp_plan_) return convolve(x, work);
  for (const FftStage<T>& stage : stages_) {
    run_stage<T>(stage, {x.re, x.im}, work);
    std::swap(x, work);
  }
  return x;
}

/// jk = (j^2 + k^2 - (k - j)^2) / 2 turns the transform into a convolution between two multiplications by the chirp.
template <class T>
Planes<T> FftPlan<T>::convolve(Planes<T> x, Planes<T> work) const {
  const std::int64_t n = length_, padded = chirp_plan_->length();
  const auto multiply = [](Planes<T> a, const std::vector<T>& re, const std::vector<T>& im, std::int64_t count) {
    const T *c = re.data(), *s = im.data();
    for (std::int64_t k = 0; k < count; ++k) turn(a.re[k], a.im[k], c[k], s[k]);
  };
  multiply(x, chirp_re_, chirp_im_, n);
  std::fill(x.re + n, x.re + padded, T(0));
  std::fill(x.im + n, x.im + padded, T(0));
  Planes<T> y = chirp_plan_->run(x, work);
  multiply(y, filter_re_, filter_im_, padded);
  const Planes<T> other = y.re == x.re ? work : x;
  y = chirp_plan_->run(y.swapped(), other.swapped()).swapped();
  multiply(y, chirp_re_, chirp_im_, n);
  return y;
}

template <class T>
RealFftPlan<T>::RealFftPlan(std::int64_t n) : length(n), complex(n % 2 == 0 ? n / 2 : n) {
  if (n % 2 != 0) return;
  for (std::int64_t k = 0; k <= n / 2; ++k) {
    const Root w = root_of_unity(k, n);
    cosines.push_back(static_cast<T>(w.re));
    sines.push_back(static_cast<T>(-w.im));
  }
}

template <class Plan>
std::shared_ptr<const Plan> plan_for(std::int64_t n) {
  constexpr std::size_t kKept = 8;
  struct Entry {
    std::int64_t length;
    std::shared_ptr<const Plan> plan;
  };
  static thread_local std::vector<Entry> kept;  // most recently used last
  const auto found = std::find_if(kept.begin(), kept.end(), [n](const Entry& e) { return e.length == n; });
  if (found != kept.end()) {
    std::rotate(found, found + 1, kept.end());
  } else {
    if (kept.size() == kKept) kept.erase(kept.begin());
    kept.push_back({n, std::make_shared<const Plan>(n)});
  }
  return kept.back().plan;
}

template class FftPlan<float>;
template class FftPlan<double>;
template struct RealFftPlan<float>;
template struct RealFftPlan<double>;
template std::shared_ptr<const FftPlan<float>> plan_for(std::int64_t);
template std::shared_ptr<const FftPlan<double>> plan_for(std::int64_t);
template std::shared_ptr<const RealFftPlan<float>> plan_for(std::int64_t);
template std::shared_ptr<const RealFftPlan<double>> plan_for(std::int64_t);

}  // namespace retort::cpu

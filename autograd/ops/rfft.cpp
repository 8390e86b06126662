// autograd/ops/rfft.cpp -- half the spectrum of a real signal, and its inverse. They are each other's adjoints when
// bins that stand for two count alike: once in the spectrum of rfft, twice in the signal of irfft.
#include "autograd/ops/fft_checks.h"

namespace retort {

namespace {
Tensor half_spectrum(const Tensor& x, const FftAttrs& attrs);
Tensor real_signal(const Tensor& x, const FftAttrs& attrs);

struct Rfft : Linear<Rfft> {
  static constexpr std::string_view name = "rfft";
  static void infer(InferCall& call) {
    infer::require_f32_or_f64(call);
    Shape shape = call.in[0].shape();
    shape[shape.rank() - 1] = call.attrs.as<FftAttrs>().length / 2 + 1;
    shape.push_back(2);
    call.output(shape, call.in[0].dtype());
  }
  static Tensor transpose(std::size_t, const Tensor& cot, const VjpCall& c) {
    return real_signal(cot, c.attrs.as<FftAttrs>());
  }
};
REGISTER_OP(Rfft);

struct RfftInverse : Linear<RfftInverse> {
  static constexpr std::string_view name = "rfft_inverse";
  static void infer(InferCall& call) {
    infer::require_f32_or_f64(call);
    Shape shape = call.in[0].shape();
    shape.erase(shape.rank() - 1);
    shape[shape.rank() - 1] = call.attrs.as<FftAttrs>().length;
    call.output(shape, call.in[0].dtype());
  }
  static Tensor transpose(std::size_t, const Tensor& cot, const VjpCall& c) {
    return half_spectrum(cot, c.attrs.as<FftAttrs>());
  }
};
REGISTER_OP(RfftInverse);

Tensor half_spectrum(const Tensor& x, const FftAttrs& attrs) { return apply_with<Rfft>(AttrBox::of(attrs), x); }
Tensor real_signal(const Tensor& x, const FftAttrs& attrs) { return apply_with<RfftInverse>(AttrBox::of(attrs), x); }
}  // namespace

Tensor rfft(const Tensor& x, FftNorm norm) {
  if (x.rank() < 1 || x.rank() >= kMaxRank || x.size(-1) < 1)
    throw ShapeError("rfft: needs a signal [.., n >= 1] of rank below {}; got {}", kMaxRank, x.str());
  const std::int64_t n = x.size(-1);
  return half_spectrum(x, {n, fft_scale(n, norm, false), false, 1});
}

Tensor irfft(const Tensor& x, std::int64_t n, FftNorm norm) {
  const std::int64_t bins = complex_length(x, "irfft"), length = n < 0 ? 2 * (bins - 1) : n;
  if (length < 1 || length / 2 + 1 != bins)
    throw ShapeError("irfft: a signal of length {} has {} bins; got {}", length, length / 2 + 1, x.str());
  return real_signal(x, {length, fft_scale(length, norm, true), true, 2});
}

}  // namespace retort

// autograd/ops/fft.cpp -- the complex Fourier transform. Its adjoint is the transform the other way, scaled alike.
#include "autograd/ops/fft.h"

#include "autograd/ops/fft_checks.h"
#include "autograd/ops/shape.h"

namespace retort {

namespace {
struct Fft : Linear<Fft> {
  static constexpr std::string_view name = "fft";
  static void infer(InferCall& call) {
    infer::require_f32_or_f64(call);
    call.output(call.in[0].shape(), call.in[0].dtype());
  }
  static Tensor transpose(std::size_t, const Tensor& cot, const VjpCall& c) {
    FftAttrs a = c.attrs.as<FftAttrs>();
    a.inverse = !a.inverse;
    return apply_with<Fft>(AttrBox::of(a), cot);
  }
};
REGISTER_OP(Fft);

Tensor transformed(const Tensor& x, FftNorm norm, bool inverse, std::string_view op) {
  const std::int64_t n = complex_length(x, op);
  return apply_with<Fft>(AttrBox::of(FftAttrs{n, fft_scale(n, norm, inverse), inverse}), x);
}
Tensor transformed_twice(const Tensor& x, FftNorm norm, bool inverse, std::string_view op) {
  if (x.rank() < 3) throw ShapeError("{}: needs complex values [.., h, w, 2]; got {}", op, x.str());
  const Tensor rows = transformed(x, norm, inverse, op);
  return transpose(transformed(transpose(rows, -3, -2), norm, inverse, op), -3, -2);
}
}  // namespace

Tensor fft(const Tensor& x, FftNorm norm) { return transformed(x, norm, false, "fft"); }
Tensor ifft(const Tensor& x, FftNorm norm) { return transformed(x, norm, true, "ifft"); }
Tensor fft2(const Tensor& x, FftNorm norm) { return transformed_twice(x, norm, false, "fft2"); }
Tensor ifft2(const Tensor& x, FftNorm norm) { return transformed_twice(x, norm, true, "ifft2"); }

}  // namespace retort

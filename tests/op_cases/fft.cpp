// tests/op_cases/fft.cpp -- Fourier transforms against the defining sums, and identities of the short-time ones.
#include "autograd/ops/fft.h"

#include <cmath>
#include <complex>
#include <numbers>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
using Complex = std::complex<double>;
using Line = std::vector<Complex>;

/// sum_j x_j e^(sign 2 pi i jk / n).
Line naive_dft(const Line& x, int sign) {
  const std::size_t n = x.size();
  Line roots(n), y(n);
  for (std::size_t k = 0; k < n; ++k)
    roots[k] = std::polar(1.0, sign * 2 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(n));
  for (std::size_t k = 0; k < n; ++k)
    for (std::size_t j = 0; j < n; ++j) y[k] += x[j] * roots[j * k % n];
  return y;
}
std::vector<Line> lines_of(const Tensor& x) {
  const auto v = x.values();
  const auto n = static_cast<std::size_t>(x.size(-2));
  std::vector<Line> lines;
  for (std::size_t at = 0; at < v.size(); at += 2 * n) {
    Line line;
    for (std::size_t k = 0; k < n; ++k) line.push_back({v[at + 2 * k], v[at + 2 * k + 1]});
    lines.push_back(line);
  }
  return lines;
}
void append(std::vector<double>& out, const Line& line, std::size_t count, double scale) {
  for (std::size_t k = 0; k < count; ++k) {
    out.push_back(line[k].real() * scale);
    out.push_back(line[k].imag() * scale);
  }
}

Sample complex_sample(const Shape& shape, bool inverse, FftNorm norm, double scale) {
  return {{randn(shape)},
          [=](In in) { return Tensors{inverse ? ifft(in[0], norm) : fft(in[0], norm)}; },
          [=](In in) {
            std::vector<double> out;
            for (const Line& x : lines_of(in[0])) append(out, naive_dft(x, inverse ? 1 : -1), x.size(), scale);
            return Tensors{Tensor::from(out, in[0].shape(), DType::f64)};
          },
          shape.str()};
}
Sample real_sample(const Shape& shape) {
  return {{randn(shape)},
          [](In in) { return Tensors{rfft(in[0])}; },
          [](In in) {
            const auto v = in[0].values();
            const auto n = static_cast<std::size_t>(in[0].size(-1));
            std::vector<double> out;
            for (std::size_t at = 0; at < v.size(); at += n)
              append(out,
                     naive_dft(Line(v.begin() + static_cast<std::ptrdiff_t>(at),
                                    v.begin() + static_cast<std::ptrdiff_t>(at + n)),
                               -1),
                     n / 2 + 1, 1);
            Shape out_shape = in[0].shape();
            out_shape[out_shape.rank() - 1] = static_cast<std::int64_t>(n) / 2 + 1;
            out_shape.push_back(2);
            return Tensors{Tensor::from(out, out_shape, DType::f64)};
          },
          shape.str()};
}
/// Spectra are filled up to n bins by symmetry, with real ends.
Sample signal_sample(const Shape& shape, std::int64_t n, bool told = true) {
  return {{randn(shape)},
          [=](In in) { return Tensors{told ? irfft(in[0], n) : irfft(in[0])}; },
          [=](In in) {
            std::vector<double> out;
            for (Line x : lines_of(in[0])) {
              const auto length = static_cast<std::size_t>(n);
              x[0] = x[0].real();
              if (n % 2 == 0) x.back() = x.back().real();
              x.resize(length);
              for (std::size_t k = length / 2 + 1; k < length; ++k) x[k] = std::conj(x[length - k]);
              for (const Complex& c : naive_dft(x, 1)) out.push_back(c.real() / static_cast<double>(n));
            }
            Shape out_shape = in[0].shape();
            out_shape.erase(out_shape.rank() - 1);
            out_shape[out_shape.rank() - 1] = n;
            return Tensors{Tensor::from(out, out_shape, DType::f64)};
          },
          fmt::format("{} to {}", shape.str(), n)};
}
}  // namespace

OP_CASE(fft) {
  c.order = 2;
  c.dtypes = {DType::f32};
  c.tolerance = 1e-13;
  for (const std::int64_t n : {6, 1, 2, 3, 4, 5, 7, 8, 11, 13, 16, 17, 30, 31, 34, 48, 64, 77, 97, 128, 169, 240, 720})
    c.samples.push_back(complex_sample({2, n, 2}, false, FftNorm::backward, 1));
  c.samples.push_back(complex_sample({2, 3, 5, 2}, true, FftNorm::backward, 0.2));
  c.samples.push_back(complex_sample({19, 2}, true, FftNorm::ortho, 1 / std::sqrt(19.0)));
  c.samples.push_back(complex_sample({4, 2}, false, FftNorm::ortho, 0.5));
  c.samples.push_back(complex_sample({5, 2}, false, FftNorm::forward, 0.2));
  c.samples.push_back(complex_sample({5, 2}, true, FftNorm::forward, 1));
  c.samples.push_back(complex_sample({0, 5, 2}, false, FftNorm::backward, 1));
  c.samples.push_back(complex_sample({70, 480, 2}, false, FftNorm::backward, 1));
  c.errors = {{"fft: needs complex values",
               [] {
                 fft(randn({4, 3}));
               }},
              {"fft: computed in f32 or f64 only",
               [] {
                 fft(cast(randn({4, 2}), DType::f16));
               }},
              {"ifft: needs complex values",
               [] {
                 ifft(randn({0, 2}));
               }},
              {"fft2: needs complex values", [] {
                 fft2(randn({4, 2}));
               }}};
}

OP_CASE(rfft) {
  c.order = 2;
  c.dtypes = {DType::f32};
  c.tolerance = 1e-13;
  for (const std::int64_t n : {6, 1, 2, 3, 4, 5, 8, 9, 14, 17, 22, 34, 64, 100, 1024})
    c.samples.push_back(real_sample({2, n}));
  c.samples.push_back(real_sample({2, 2, 3, 5}));
  c.samples.push_back(real_sample({0, 4}));
  c.samples.push_back(real_sample({140, 480}));
  c.errors = {{"rfft: needs a signal",
               [] {
                 rfft(randn({3, 0}));
               }},
              {"rfft: computed in f32 or f64 only", [] { rfft(cast(randn({4}), DType::bf16)); }}};
}

OP_CASE(irfft) {
  c.order = 2;
  c.covers = {"rfft_inverse"};
  c.dtypes = {DType::f32};
  c.tolerance = 1e-13;
  for (const std::int64_t n : {6, 1, 2, 3, 4, 5, 8, 9, 14, 17, 22, 34, 64, 101})
    c.samples.push_back(signal_sample({2, n / 2 + 1, 2}, n));
  c.samples.push_back(signal_sample({2, 3, 3, 2}, 5));
  c.samples.push_back(signal_sample({0, 3, 2}, 4));
  c.samples.push_back(signal_sample({2, 5, 2}, 8, false));
  c.errors = {{"irfft: a signal of length 6 has 4 bins; got",
               [] {
                 irfft(randn({3, 2}), 6);
               }},
              {"irfft: needs complex values", [] {
                 irfft(randn({3, 3}));
               }}};
}

OP_CASE(fft2) {
  c.order = 2;
  c.covers = {"fft"};
  c.dtypes = {DType::f32};
  c.fn = [](In in) { return Tensors{fft2(in[0])}; };
  c.naive = [](In in) {
    const auto x = in[0].values();
    const std::int64_t h = in[0].size(-3), w = in[0].size(-2);
    std::vector<double> y(x.size());
    for (std::size_t image = 0; image < x.size(); image += static_cast<std::size_t>(2 * h * w))
      for (std::int64_t u = 0; u < h; ++u)
        for (std::int64_t v = 0; v < w; ++v) {
          Complex sum = 0;
          for (std::int64_t i = 0; i < h; ++i)
            for (std::int64_t j = 0; j < w; ++j) {
              const auto at = image + static_cast<std::size_t>(2 * (i * w + j));
              const double turns = static_cast<double>(u * i) / static_cast<double>(h) +
                                   static_cast<double>(v * j) / static_cast<double>(w);
              sum += Complex(x[at], x[at + 1]) * std::polar(1.0, -2 * std::numbers::pi * turns);
            }
          const auto to = image + static_cast<std::size_t>(2 * (u * w + v));
          y[to] = sum.real();
          y[to + 1] = sum.imag();
        }
    return Tensors{Tensor::from(y, in[0].shape(), DType::f64)};
  };
  c.samples = {{{randn({2, 3, 2})}}, {{randn({2, 5, 7, 2})}}, {{randn({2, 2, 4, 6, 2})}}};
}

namespace {
Tensor hann(std::int64_t n) {
  std::vector<double> w;
  for (std::int64_t i = 0; i < n; ++i)
    w.push_back(0.5 - 0.5 * std::cos(2 * std::numbers::pi * static_cast<double>(i) / static_cast<double>(n)));
  return Tensor::from(w, {n}, DType::f64);
}
/// Frame by frame from the definition.
Tensors naive_stft(In in, std::int64_t hop, bool centre) {
  const auto window = in[1].values();
  const auto width = static_cast<std::int64_t>(window.size()), n = in[0].size(-1), margin = centre ? width / 2 : 0;
  const std::int64_t frames = (n + 2 * margin - width) / hop + 1, bins = width / 2 + 1, rows = in[0].numel() / n;
  const auto x = in[0].values();
  std::vector<double> y(static_cast<std::size_t>(rows * bins * frames * 2));
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t t = 0; t < frames; ++t) {
      Line frame;
      for (std::int64_t j = 0; j < width; ++j) {
        std::int64_t at = t * hop + j - margin;
        if (at < 0) at = -at;
        if (at >= n) at = 2 * (n - 1) - at;
        frame.push_back(x[static_cast<std::size_t>(r * n + at)] * window[static_cast<std::size_t>(j)]);
      }
      const Line spectrum = naive_dft(frame, -1);
      for (std::int64_t k = 0; k < bins; ++k) {
        const auto to = static_cast<std::size_t>(((r * bins + k) * frames + t) * 2);
        y[to] = spectrum[static_cast<std::size_t>(k)].real();
        y[to + 1] = spectrum[static_cast<std::size_t>(k)].imag();
      }
    }
  Shape shape = in[0].shape();
  shape[shape.rank() - 1] = bins;
  shape.push_back(frames);
  shape.push_back(2);
  return {Tensor::from(y, shape, DType::f64)};
}
}  // namespace

OP_CASE(stft) {
  c.covers = {"rfft"};
  c.order = 2;
  c.dtypes = {DType::f32};
  const auto sample = [](const Shape& shape, std::int64_t width, std::int64_t hop, bool centre) {
    return Sample{{randn(shape), hann(width) + 0.1},
                  [=](In in) { return Tensors{stft(in[0], in[1], {.hop = hop, .centre = centre})}; },
                  [=](In in) { return naive_stft(in, hop, centre); }};
  };
  c.samples = {sample({9}, 4, 2, true),     sample({2, 9}, 5, 3, true), sample({2, 3, 12}, 4, 1, false),
               sample({2, 8}, 8, 3, false), sample({2, 6}, 1, 2, true), sample({3, 700}, 64, 16, true)};
  c.errors = {{"stft: the signal is too short", [] { stft(randn({2}), hann(4)); }},
              {"stft: the window must be a list",
               [] {
                 stft(randn({2, 9}), randn({2, 2}));
               }},
              {"stft: frames must follow at a distance of at least 1", [] { stft(randn({9}), hann(4), {.hop = -1}); }}};
}

OP_CASE(istft) {
  c.covers = {"rfft_inverse"};
  c.order = 2;
  c.dtypes = {DType::f32};
  const auto sample = [](const Shape& shape, std::int64_t width, std::int64_t hop, bool centre, std::int64_t n) {
    return Sample{{randn(shape), hann(width) + 0.1},
                  [=](In in) { return Tensors{istft(in[0], in[1], {.hop = hop, .centre = centre}, n)}; }};
  };
  c.samples = {sample({3, 4, 2}, 4, 2, true, -1), sample({2, 3, 4, 2}, 5, 3, false, 7),
               sample({2, 9, 12, 2}, 16, 4, true, 40)};
  c.errors = {{"istft: needs spectra [.., 3, frames, 2]",
               [] {
                 istft(randn({4, 4, 2}), hann(4));
               }},
              {"istft: no window reaches some sample",
               [] {
                 istft(randn({3, 4, 2}), hann(4), {.hop = 4, .centre = false});
               }},
              {"istft: 4 frames reach over", [] {
                 istft(randn({3, 4, 2}), hann(4), {}, 100);
               }}};
}

TEST_CASE("ops: inverse transforms give the signal back, spectra in f32 are good to 1e-6") {
  for (const std::int64_t n : {1, 2, 12, 37, 100, 1009, 4096}) {
    const Tensor x = randn({3, n}), z = randn({3, n, 2});
    CHECK(relative_error(ifft(fft(z)), z) < 1e-14);
    CHECK(relative_error(irfft(rfft(x), n), x) < 1e-14);
    const Tensor low = cast(z, DType::f32);
    CHECK(relative_error(cast(fft(low), DType::f64), fft(cast(low, DType::f64))) < 5e-7);
  }
  const Tensor image = randn({4, 6, 2});
  CHECK(relative_error(ifft2(fft2(image)), image) < 1e-14);
  const Tensor wave = randn({2, 400});
  for (const bool centre : {false, true}) {
    const StftOptions options{.hop = 16, .centre = centre};
    const Tensor window = hann(64) + 0.05;
    CHECK(relative_error(istft(stft(wave, window, options), window, options, 400), wave) < 1e-13);
  }
}

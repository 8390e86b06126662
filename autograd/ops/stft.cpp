// autograd/ops/stft.cpp -- short-time spectra and the signal closest to given ones, as compositions: frames are read
// and added by index, mirrored ends included.
#include <algorithm>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/fft.h"
#include "autograd/ops/index.h"
#include "autograd/ops/shape.h"

namespace retort {

namespace {
struct Frames {
  std::int64_t width, hop, margin;  ///< samples of a frame, from frame to frame, and before the first one's middle
};
Frames frames_of(const Tensor& window, const StftOptions& options, std::string_view op) {
  if (window.rank() != 1 || window.size(0) < 1)
    throw ShapeError("{}: the window must be a list of weights [w]; got {}", op, window.str());
  const std::int64_t width = window.size(0),
                     hop = options.hop == 0 ? std::max<std::int64_t>(width / 4, 1) : options.hop;
  if (hop < 1) throw ValueError("{}: frames must follow at a distance of at least 1; got hop {}", op, options.hop);
  return {width, hop, options.centre ? width / 2 : 0};
}

/// For element j of frame t: `place(t hop + j)`, i64 [frames, width].
template <class Place>
Tensor positions(const Frames& f, std::int64_t frames, Device device, const Place& place) {
  if (device.kind == DeviceKind::meta) return Tensor::empty({frames, f.width}, DType::i64, device);
  std::vector<std::int64_t> at;
  at.reserve(static_cast<std::size_t>(frames * f.width));
  for (std::int64_t t = 0; t < frames; ++t)
    for (std::int64_t j = 0; j < f.width; ++j) at.push_back(place(t * f.hop + j));
  return Tensor::of<std::int64_t>(at, {frames, f.width});
}
}  // namespace

Tensor stft(const Tensor& x, const Tensor& window, const StftOptions& options) {
  const Frames f = frames_of(window, options, "stft");
  if (x.rank() < 1) throw ShapeError("stft: needs a signal [.., n]; got {}", x.str());
  const std::int64_t n = x.size(-1), padded = n + 2 * f.margin;
  if (padded < f.width || n <= f.margin)
    throw ShapeError("stft: the signal is too short for a window of {} samples; got {}", f.width, x.str());
  const std::int64_t frames = (padded - f.width) / f.hop + 1;
  const auto mirrored = [&](std::int64_t i) {
    const std::int64_t at = std::abs(i - f.margin);
    return at < n ? at : 2 * (n - 1) - at;
  };
  const Tensor read = index_select(x, -1, positions(f, frames, x.device(), mirrored));
  return transpose(rfft(read * window), -3, -2);
}

Tensor istft(const Tensor& x, const Tensor& window, const StftOptions& options, std::int64_t n) {
  const Frames f = frames_of(window, options, "istft");
  if (x.rank() < 3 || x.size(-1) != 2 || x.size(-3) != f.width / 2 + 1 || x.size(-2) < 1)
    throw ShapeError("istft: needs spectra [.., {}, frames, 2] for a window of {} samples; got {}", f.width / 2 + 1,
                     f.width, x.str());
  const std::int64_t frames = x.size(-2), reach = (frames - 1) * f.hop + f.width;
  const std::int64_t end = n < 0 ? reach - f.margin : f.margin + n;
  if (end > reach || end <= f.margin)
    throw ShapeError("istft: {} frames reach over {} samples; asked for {}", frames, reach - f.margin, end - f.margin);
  const Tensor place = positions(f, frames, x.device(), [](std::int64_t i) { return i; });
  const Tensor framed = irfft(transpose(x, -3, -2), f.width) * window;
  const auto trimmed = [&](const Tensor& t) { return slice(t, -1, f.margin, end); };
  const Tensor added = trimmed(index_add(framed, framed.rank() - 2, place, reach));
  const Tensor weight = trimmed(index_add(broadcast_to(square(window), {frames, f.width}), 0, place, reach));
  if (!weight.meta())
    for (const double w : weight.values())
      if (w < 1e-11)
        throw ValueError(
            "istft: no window reaches some sample between {} and {}; hint: a shorter hop or another window", 0,
            end - f.margin);
  return added / weight;
}

}  // namespace retort

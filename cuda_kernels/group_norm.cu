// cuda_kernels/group_norm.cu -- instances and launchers of group norm.
#include "cuda_kernels/group_norm.cuh"

namespace retort::kernels {

// Pixels of a piece of the parameters' gradients: a constant, as it fixes the order of summation.
static constexpr std::int64_t kPixelPiece = 128;

namespace RETORT_BACKEND {

void group_norm(const GroupNorm& a, gpu::Stream stream) {
  if (a.samples * a.pixels * a.channels == 0) return;
  visit_training("group_norm", a.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    RETORT_LAUNCH(stream, row_shape(a.samples * a.groups, a.pixels * a.channels / a.groups), group_norm_groups<T>,
                  static_cast<const T*>(a.x), a.weight, a.bias, static_cast<T*>(a.y), a.mean, a.rstd, a.pixels,
                  a.channels, a.groups, a.eps);
  });
}

void group_norm_backward(const GroupNormBackward& a, gpu::Stream stream) {
  visit_training("group_norm_backward", a.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T *const x = static_cast<const T*>(a.x), *const dy = static_cast<const T*>(a.dy);
    const std::int64_t rows = a.samples * a.pixels, pieces = (rows + kPixelPiece - 1) / kPixelPiece;
    if (rows * a.channels > 0)
      RETORT_LAUNCH(stream, row_shape(a.samples * a.groups, a.pixels * a.channels / a.groups),
                    group_norm_backward_groups<T>, x, dy, a.weight, a.mean, a.rstd, static_cast<T*>(a.dx), a.pixels,
                    a.channels, a.groups);
    if (a.channels == 0 || (!a.dweight && !a.dbias)) return;
    float *const weights = a.scratch, *const biases = a.scratch + pieces * a.channels;
    const unsigned wide = blocks_for(a.channels, kWarpSize);
    if (pieces > 0)
      RETORT_LAUNCH(stream, (gpu::LaunchShape{{wide, static_cast<unsigned>(pieces)}, {kStrips * kWarpSize}}),
                    group_norm_backward_channels<T>, x, dy, a.mean, a.rstd, weights, biases, rows, a.pixels, a.channels,
                    a.groups, kPixelPiece);
    const gpu::LaunchShape channels = threads_for(a.channels, 128);
    if (a.dweight) RETORT_LAUNCH(stream, channels, add_pieces<float>, weights, a.dweight, a.channels, pieces);
    if (a.dbias) RETORT_LAUNCH(stream, channels, add_pieces<float>, biases, a.dbias, a.channels, pieces);
  });
}

}  // namespace RETORT_BACKEND

#if !defined(__CUDACC__)
std::int64_t group_norm_scratch(std::int64_t samples, std::int64_t pixels, std::int64_t channels) {
  return 2 * ((samples * pixels + kPixelPiece - 1) / kPixelPiece) * channels;
}
#endif

}  // namespace retort::kernels

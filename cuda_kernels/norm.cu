// cuda_kernels/norm.cu -- instances and launchers of the row norms.
#include "cuda_kernels/norm.cuh"

namespace retort::kernels {

// Rows of a piece of the parameters' gradients: a constant, as it fixes the order of summation.
static constexpr std::int64_t kNormPiece = 128;

namespace RETORT_BACKEND {

template <bool kCentred>
static void launch_norm(const char* name, const Norm& a, gpu::Stream stream) {
  if (a.rows == 0 || a.columns == 0) return;
  visit_training(name, a.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    RETORT_LAUNCH(stream, row_shape(a.rows, a.columns), (norm_rows<T, kCentred>), static_cast<const T*>(a.x), a.weight,
                  a.bias, static_cast<T*>(a.y), a.mean, a.rstd, a.columns, a.eps);
  });
}

template <bool kCentred>
static void launch_norm_backward(const char* name, const NormBackward& a, gpu::Stream stream) {
  if (a.columns == 0) return;
  visit_training(name, a.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T *const x = static_cast<const T*>(a.x), *const dy = static_cast<const T*>(a.dy);
    if (a.rows > 0)
      RETORT_LAUNCH(stream, row_shape(a.rows, a.columns), (norm_backward_rows<T, kCentred>), x, dy, a.weight, a.mean,
                    a.rstd, static_cast<T*>(a.dx), a.columns);
    if (!a.dweight && !a.dbias) return;
    const std::int64_t pieces = (a.rows + kNormPiece - 1) / kNormPiece;
    float *const weights = a.scratch, *const biases = a.scratch + pieces * a.columns;
    const unsigned wide = blocks_for(a.columns, kWarpSize);
    if (pieces > 0)
      RETORT_LAUNCH(stream, (gpu::LaunchShape{{wide, static_cast<unsigned>(pieces)}, {kStrips * kWarpSize}}),
                    (norm_backward_columns<T, kCentred>), x, dy, a.mean, a.rstd, weights, biases, a.rows, a.columns,
                    kNormPiece);
    const gpu::LaunchShape columns = threads_for(a.columns, 128);
    if (a.dweight) RETORT_LAUNCH(stream, columns, add_pieces<float>, weights, a.dweight, a.columns, pieces);
    if (a.dbias) RETORT_LAUNCH(stream, columns, add_pieces<float>, biases, a.dbias, a.columns, pieces);
  });
}

void layer_norm(const Norm& args, gpu::Stream stream) { launch_norm<true>("layer_norm", args, stream); }
void rms_norm(const Norm& args, gpu::Stream stream) { launch_norm<false>("rms_norm", args, stream); }
void layer_norm_backward(const NormBackward& args, gpu::Stream stream) {
  launch_norm_backward<true>("layer_norm_backward", args, stream);
}
void rms_norm_backward(const NormBackward& args, gpu::Stream stream) {
  launch_norm_backward<false>("rms_norm_backward", args, stream);
}

}  // namespace RETORT_BACKEND

#if !defined(__CUDACC__)
std::int64_t norm_scratch(std::int64_t rows, std::int64_t columns) {
  return 2 * ((rows + kNormPiece - 1) / kNormPiece) * columns;
}
#endif

}  // namespace retort::kernels

// cuda_kernels/gemm.cu -- instances and launcher of matrix products.
#include "cuda_kernels/gemm.cuh"

namespace retort::kernels::RETORT_BACKEND {

template <class T, class Y>
static void launch_mma(const Gemm& g, const gpu::LaunchShape& shape, gpu::Stream stream) {
  RETORT_LAUNCH(stream, shape, (gemm_mma<T, Y>), static_cast<const T*>(g.a), static_cast<const T*>(g.b), g.bias,
                static_cast<Y*>(g.y), g.m, g.n, g.k, (Steps{g.a_row, g.a_column}), (Steps{g.b_row, g.b_column}),
                g.activation, g.add);
}

void gemm(const Gemm& g, gpu::Stream stream) {
  if (g.m == 0 || g.n == 0) return;
  const unsigned rows = blocks_for(g.m, kTile);
  if (rows > 65535) throw gpu::StateError("gemm: at most 65535 tiles of rows; got " + std::to_string(g.m) + " rows");
  const gpu::Extent grid{blocks_for(g.n, kTile), rows};
  if (g.type == Type::f32) {
    RETORT_LAUNCH(stream, (gpu::LaunchShape{grid, {kGemmThreads}}), gemm_f32<float>, static_cast<const float*>(g.a),
                  static_cast<const float*>(g.b), g.bias, static_cast<float*>(g.y), g.m, g.n, g.k,
                  (Steps{g.a_row, g.a_column}), (Steps{g.b_row, g.b_column}), g.activation, g.add);
    return;
  }
  const gpu::LaunchShape shape{grid, {kMmaThreads}};
  if (g.type == Type::bf16)
    return g.wide ? launch_mma<bf16, float>(g, shape, stream) : launch_mma<bf16, bf16>(g, shape, stream);
  if (g.type == Type::f16)
    return g.wide ? launch_mma<f16, float>(g, shape, stream) : launch_mma<f16, f16>(g, shape, stream);
  throw gpu::StateError("gemm: no kernel for this element type; got type number " +
                        std::to_string(static_cast<int>(g.type)));
}

}  // namespace retort::kernels::RETORT_BACKEND

// cuda_kernels/reduce.cu -- instances and launchers of reductions.
#include "cuda_kernels/reduce.cuh"

namespace retort::kernels {

// Sizes of the pieces of a long reduction: constants, as they fix the order of summation.
static constexpr std::int64_t kRun = 16384, kRowsPerPiece = 512;

namespace RETORT_BACKEND {

static std::int64_t pieces(std::int64_t n, std::int64_t each) { return (n + each - 1) / each; }

template <class R, class T>
static void launch_reduce(const Reduce& a, gpu::Stream stream) {
  const T* const x = static_cast<const T*>(a.x);
  T* const y = static_cast<T*>(a.y);
  const std::int64_t total = a.rows * a.columns;
  if (a.axis == ReduceAxis::row) {
    if (a.rows == 0) return;
    RETORT_LAUNCH(stream, (gpu::LaunchShape{{blocks_for(a.rows, 1)}, {kReduceThreads}}), (reduce_runs<R, T, T>), x, y,
                  a.columns, total, a.divisor);
  } else if (a.axis == ReduceAxis::all) {
    const std::int64_t runs = pieces(total, kRun);
    if (runs > 1)
      RETORT_LAUNCH(stream, (gpu::LaunchShape{{blocks_for(runs, 1)}, {kReduceThreads}}), (reduce_runs<R, T, float>), x,
                    a.scratch, kRun, total, 1.0f);
    const gpu::LaunchShape one{{1}, {kReduceThreads}};
    if (runs > 1)
      RETORT_LAUNCH(stream, one, (reduce_runs<R, float, T>), a.scratch, y, runs, runs, a.divisor);
    else
      RETORT_LAUNCH(stream, one, (reduce_runs<R, T, T>), x, y, total, total, a.divisor);
  } else {
    if (a.columns == 0) return;
    const unsigned wide = blocks_for(a.columns, kWarpSize);
    const std::int64_t parts = pieces(a.rows, kRowsPerPiece);
    if (parts > 1) {
      RETORT_LAUNCH(stream, (gpu::LaunchShape{{wide, static_cast<unsigned>(parts)}, {kReduceThreads}}),
                    (reduce_columns<R, T, float>), x, a.scratch, a.rows, a.columns, kRowsPerPiece, 1.0f);
      RETORT_LAUNCH(stream, (gpu::LaunchShape{{wide}, {kReduceThreads}}), (reduce_columns<R, float, T>), a.scratch, y,
                    parts, a.columns, parts, a.divisor);
    } else {
      RETORT_LAUNCH(stream, (gpu::LaunchShape{{wide}, {kReduceThreads}}), (reduce_columns<R, T, T>), x, y, a.rows,
                    a.columns, a.rows, a.divisor);
    }
  }
}

void reduce(const Reduce& args, gpu::Stream stream) {
  visit_training("reduce", args.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (args.reduction == Reduction::sum) return launch_reduce<SumReduction, T>(args, stream);
    if (args.reduction == Reduction::max) return launch_reduce<MaxReduction, T>(args, stream);
    return launch_reduce<MinReduction, T>(args, stream);
  });
}

void extreme_index(const ExtremeIndex& a, gpu::Stream stream) {
  if (a.rows * a.columns == 0) return;
  visit_training("extreme_index", a.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const gpu::LaunchShape shape{{blocks_for(a.rows, 1)}, {kReduceThreads}};
    const T* const x = static_cast<const T*>(a.x);
    if (a.largest)
      RETORT_LAUNCH(stream, shape, (extreme_index_rows<MaxReduction, T>), x, a.y, a.columns);
    else
      RETORT_LAUNCH(stream, shape, (extreme_index_rows<MinReduction, T>), x, a.y, a.columns);
  });
}

void inner_product(const InnerProduct& a, gpu::Stream stream) {
  const std::int64_t runs = pieces(a.n, kRun);
  visit_training("inner_product", a.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    RETORT_LAUNCH(stream, (gpu::LaunchShape{{blocks_for(runs, 1)}, {kReduceThreads}}), inner_product_runs<T>,
                  static_cast<const T*>(a.a), static_cast<const T*>(a.b), runs > 1 ? a.scratch : a.y, kRun, a.n);
  });
  if (runs > 1) RETORT_LAUNCH(stream, (gpu::LaunchShape{{1}, {kReduceThreads}}), add_runs, a.scratch, a.y, runs);
}

}  // namespace RETORT_BACKEND

#if !defined(__CUDACC__)
std::int64_t reduce_scratch(ReduceAxis axis, std::int64_t rows, std::int64_t columns) {
  if (axis == ReduceAxis::row) return 0;
  if (axis == ReduceAxis::all) return (rows * columns + kRun - 1) / kRun;
  return (rows + kRowsPerPiece - 1) / kRowsPerPiece * columns;
}
std::int64_t inner_product_scratch(std::int64_t n) { return (n + kRun - 1) / kRun; }
#endif

}  // namespace retort::kernels

// tensor/cpu/gemm_kernels.cpp -- oneDNN's sgemm and Eigen behind one signature.
#include "tensor/cpu/gemm_kernels.h"

#include "tensor/cpu/eigen.h"
#include "tensor/cpu/onednn.h"
#include "tensor/cpu/scratch.h"
#include "tensor/cpu/tasks.h"

namespace retort::cpu {
namespace {

template <class T, int Order>
using Mapped =
    Eigen::Map<const Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Order>, Eigen::Unaligned, Eigen::OuterStride<>>;

template <class T>
void eigen_product(std::int64_t m, std::int64_t n, std::int64_t k, T alpha, TileOperand<T> a, TileOperand<T> b, T beta,
                   T* c, std::int64_t ldc) {
  Eigen::Map<Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>, Eigen::Unaligned, Eigen::OuterStride<>>
      out(c, m, n, Eigen::OuterStride<>(ldc));
  if (beta == T(0)) {
    out.setZero();
  } else if (beta != T(1)) {
    out *= beta;
  }
  const auto accumulate = [&](const auto& lhs) {
    if (b.transposed) {
      out.noalias() += alpha * lhs * Mapped<T, Eigen::ColMajor>(b.data, k, n, Eigen::OuterStride<>(b.ld));
    } else {
      out.noalias() += alpha * lhs * Mapped<T, Eigen::RowMajor>(b.data, k, n, Eigen::OuterStride<>(b.ld));
    }
  };
  if (a.transposed) {
    accumulate(Mapped<T, Eigen::ColMajor>(a.data, m, k, Eigen::OuterStride<>(a.ld)));
  } else {
    accumulate(Mapped<T, Eigen::RowMajor>(a.data, m, k, Eigen::OuterStride<>(a.ld)));
  }
}

}  // namespace

void tile_product(std::int64_t m, std::int64_t n, std::int64_t k, float alpha, TileOperand<float> a,
                  TileOperand<float> b, float beta, float* c, std::int64_t ldc, Engine engine) {
#ifdef RETORT_HAVE_ONEDNN
  if (engine == Engine::onednn) {
    const dnnl_status_t status = dnnl_sgemm(a.transposed ? 'T' : 'N', b.transposed ? 'T' : 'N', m, n, k, alpha, a.data,
                                            a.ld, b.data, b.ld, beta, c, ldc);
    if (status == dnnl_out_of_memory) throw MemoryError("gemm: oneDNN found no memory; got m {} n {} k {}", m, n, k);
    if (status != dnnl_success)
      throw InternalError("gemm: oneDNN refused a product; got m {} n {} k {} status {}", m, n, k, int(status));
    return;
  }
#else
  if (engine == Engine::onednn) throw ConfigError("gemm: this build has no oneDNN; got Engine::onednn");
#endif
  eigen_product(m, n, k, alpha, a, b, beta, c, ldc);
}

void tile_product(std::int64_t m, std::int64_t n, std::int64_t k, double alpha, TileOperand<double> a,
                  TileOperand<double> b, double beta, double* c, std::int64_t ldc, Engine) {
  eigen_product(m, n, k, alpha, a, b, beta, c, ldc);  // oneDNN has no f64
}

#ifdef RETORT_HAVE_ONEDNN
namespace {

using dnnl::memory;

struct Bf16Key {
  std::int64_t m, n, k, a_ld, b_ld, ldc;
  bool a_transposed, b_transposed, accumulate;
  auto operator<=>(const Bf16Key&) const = default;
};
struct Bf16Product {
  dnnl::matmul primitive;
  memory::desc a, b, c, scratch;
};

Bf16Product create(const Bf16Key& key) {
  const auto strides = [](std::int64_t ld, bool transposed) {
    return transposed ? memory::dims{1, ld} : memory::dims{ld, 1};
  };
  Bf16Product made;
  made.a = {{key.m, key.k}, memory::data_type::bf16, strides(key.a_ld, key.a_transposed)};
  made.b = {{key.k, key.n}, memory::data_type::bf16, strides(key.b_ld, key.b_transposed)};
  made.c = {{key.m, key.n}, memory::data_type::f32, strides(key.ldc, false)};
  dnnl::primitive_attr attr = onednn::user_scratchpad();
  if (key.accumulate) {
    dnnl::post_ops sum;
    sum.append_sum();
    attr.set_post_ops(sum);
  }
  const SingleThreaded scope;
  const dnnl::matmul::primitive_desc desc({made.a, made.b, made.c}, attr, onednn::cpu_engine());
  made.scratch = desc.scratchpad_desc();
  made.primitive = dnnl::matmul(desc);
  return made;
}

}  // namespace

bool multiplies_bf16(Engine engine) { return engine == Engine::onednn && onednn::has_bf16_products(); }

void tile_product(std::int64_t m, std::int64_t n, std::int64_t k, TileOperand<BFloat16> a, TileOperand<BFloat16> b,
                  bool accumulate, float* c, std::int64_t ldc) {
  onednn::guarded("gemm", [&] {
    thread_local onednn::PrimitiveCache<Bf16Key, Bf16Product> cache;
    const auto product = cache.get({m, n, k, a.ld, b.ld, ldc, a.transposed, b.transposed, accumulate}, create);
    const ScratchBytes scratch(static_cast<std::int64_t>(product->scratch.get_size()));
    product->primitive.execute(onednn::cpu_stream(),
                               {{DNNL_ARG_SRC, onednn::view(product->a, a.data)},
                                {DNNL_ARG_WEIGHTS, onednn::view(product->b, b.data)},
                                {DNNL_ARG_DST, onednn::view(product->c, c)},
                                {DNNL_ARG_SCRATCHPAD, onednn::view(product->scratch, scratch.data())}});
  });
}
#else
bool multiplies_bf16(Engine) { return false; }

void tile_product(std::int64_t, std::int64_t, std::int64_t, TileOperand<BFloat16>, TileOperand<BFloat16>, bool, float*,
                  std::int64_t) {
  throw InternalError("gemm: bf16 operands were not widened in a build without oneDNN");
}
#endif

}  // namespace retort::cpu

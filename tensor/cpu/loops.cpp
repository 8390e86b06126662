#include "tensor/cpu/loops.h"

namespace retort::cpu {

namespace {
constexpr std::int64_t kChunk = 512;  // elements of a buffer: four operands of doubles stay in half of L1

template <int N>
void map_blocks_of(std::span<const MapOperand> in, const Tensor& out, const Access& out_access, Block block,
                   const void* f) {
  std::array<Layout, N + 1> layouts{out.layout()};
  std::array<const std::byte*, N> base{};
  for (std::size_t k = 0; k < N; ++k) {
    layouts[k + 1] = broadcast_layout(in[k].tensor->layout(), out.shape());
    base[k] = in[k].tensor->raw();
  }
  std::byte* const out_base = out.raw();
  const LoopNest<N + 1> nest(layouts);
  for_each_run(nest, [&](std::int64_t n, const auto& at, const auto& step) {
    alignas(64) std::array<std::array<double, kChunk>, N + 1> buffer;
    std::array<const void*, N> source{};
    std::array<bool, N> direct{};
    const bool out_direct = step[0] == 1 && out_access.direct;
    bool all_direct = out_direct;
    for (std::size_t k = 0; k < N; ++k) {
      direct[k] = step[k + 1] == 1 && in[k].access->direct;
      all_direct = all_direct && direct[k];
    }
    const std::int64_t chunk = all_direct ? n : kChunk;
    for (std::int64_t i = 0; i < n; i += chunk) {
      const std::int64_t count = std::min(chunk, n - i);
      for (std::size_t k = 0; k < N; ++k) {
        const std::byte* p = base[k] + (at[k + 1] + i * step[k + 1]) * in[k].access->size;
        source[k] = direct[k] ? static_cast<const void*>(p) : buffer[k + 1].data();
        // A broadcast operand fills its buffer once per run.
        if (!direct[k] && (step[k + 1] != 0 || i == 0))
          in[k].access->load(p, step[k + 1], std::min(kChunk, n - i), buffer[k + 1].data());
      }
      std::byte* q = out_base + (at[0] + i * step[0]) * out_access.size;
      block(count, source.data(), out_direct ? static_cast<void*>(q) : buffer[0].data(), f);
      if (!out_direct) out_access.store(buffer[0].data(), count, q, step[0]);
    }
  });
}

/// Row-major operands of one shape that need no conversion: the common case of small ops, for which a nest costs more
/// than the work.
bool side_by_side(std::span<const MapOperand> in, const Tensor& out, const Access& out_access) {
  if (!out_access.direct || !out.layout().contiguous()) return false;
  for (const MapOperand& operand : in)
    if (!operand.access->direct || !(operand.tensor->shape() == out.shape()) ||
        !(operand.tensor->strides() == out.strides()))
      return false;
  return true;
}
}  // namespace

void map_blocks(std::span<const MapOperand> in, const Tensor& out, const Access& out_access, Block block,
                const void* f) {
  const std::int64_t n = out.numel();
  if (n == 0) return;
  if (side_by_side(in, out, out_access)) {
    parallel_for(n, kGrain, [&](std::int64_t begin, std::int64_t end) {
      std::array<const void*, 3> source{};
      for (std::size_t k = 0; k < in.size(); ++k) source[k] = in[k].tensor->raw() + begin * in[k].access->size;
      block(end - begin, source.data(), out.raw() + begin * out_access.size, f);
    });
    return;
  }
  switch (in.size()) {
    case 1:
      return map_blocks_of<1>(in, out, out_access, block, f);
    case 2:
      return map_blocks_of<2>(in, out, out_access, block, f);
    default:
      return map_blocks_of<3>(in, out, out_access, block, f);
  }
}

}  // namespace retort::cpu

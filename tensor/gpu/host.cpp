#include "tensor/gpu/host.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "tensor/attrs.h"
#include "tensor/gpu/kernel.h"
#include "tensor/op_table.h"
#include "tensor/transfer.h"

namespace retort {

namespace {

constexpr std::string_view kConvolution = "cuDNN: convolution", kPooling = "cuDNN: pooling",
                           kBatchNorm = "cuDNN: batch normalisation";
constexpr HostAnswer kLibraryOps[] = {
    {"conv", kConvolution},
    {"conv_block", kConvolution},
    {"conv_input_grad", kConvolution},
    {"conv_weight_grad", kConvolution},
    {"max_pool2d", kPooling},
    {"max_pool2d_grad", kPooling},
    {"max_pool2d_gather", kPooling},
    {"avg_pool2d", kPooling},
    {"avg_pool2d_grad", kPooling},
    {"batch_norm", kBatchNorm},
    {"batch_norm_backward", kBatchNorm},
    {"batch_norm_relu", kBatchNorm},
    {"batch_norm_relu_backward", kBatchNorm},
};

constexpr std::string_view kDecomposition =
                               "a decomposition of small matrices: little parallel work, f64 on most calls",
                           kTransform = "a Fourier transform: analysis of data, not part of training steps",
                           kPreparation = "indices are prepared on the host, once";
constexpr HostAnswer kHostOps[] = {
    {"lu", kDecomposition},
    {"det", kDecomposition},
    {"slogdet", kDecomposition},
    {"det_cofactor", kDecomposition},
    {"svd", kDecomposition},
    {"svdvals", kDecomposition},
    {"eigh", kDecomposition},
    {"eigvalsh", kDecomposition},
    {"divide_by_gaps", kDecomposition},
    {"cholesky", kDecomposition},
    {"triangular_solve", kDecomposition},
    {"solve", kDecomposition},
    {"qr", kDecomposition},
    {"triangle", kDecomposition},
    {"matrix_exp", kDecomposition},
    {"fft", kTransform},
    {"rfft", kTransform},
    {"rfft_inverse", kTransform},
    {"arange", kPreparation},
    {"bincount", kPreparation},
    {"one_hot", kPreparation},
};

Kernel cpu_kernel(std::string_view op) {
  const Kernel kernel = find_kernel(op, DeviceKind::cpu);
  if (!kernel) throw InternalError("{}: is listed as the host's and has no kernel there", op);
  return kernel;
}

std::string text(const Dims& d) { return fmt::format("[{}]", fmt::join(d.begin(), d.end(), " ")); }
std::string text(const ConvAttrs& a) {
  return fmt::format("stride {} padding {} dilation {} groups {} size {}", text(a.stride), text(a.padding),
                     text(a.dilation), a.groups, text(a.size));
}
std::string text(const Pool2dAttrs& a) {
  return fmt::format("kernel {} {} stride {} {} pad {} {} counted {} size {} {} adaptive {} {}", a.kernel_h, a.kernel_w,
                     a.stride_h, a.stride_w, a.pad_h, a.pad_w, a.count_include_pad, a.size_h, a.size_w, a.adaptive_h,
                     a.adaptive_w);
}
/// All that an answer depends on besides the operands' memory: a captured one is replayed with what it had then.
std::string settings_of(const on_gpu::Call& call) {
  std::string settings;
  for (const auto& operands : {call.in, call.out})
    for (const Tensor& t : operands)
      if (t.defined()) settings += fmt::format("{} {} {}; ", name_of(t.dtype()), text(t.shape()), text(t.strides()));
  const auto* const known = std::find_if(std::begin(kLibraryOps), std::end(kLibraryOps),
                                         [&](const HostAnswer& a) { return a.op == call.op; });
  if (known->why == kPooling) return settings + text(call.attrs.as<Pool2dAttrs>());
  if (known->why == kBatchNorm) return settings + fmt::format("eps {}", call.attrs.as<NormAttrs>().eps);
  if (call.op != "conv_block") return settings + text(call.attrs.as<ConvAttrs>());
  const auto& block = call.attrs.as<ConvBlockAttrs>();
  return settings + text(block.conv) + fmt::format(" range {} {}", block.range.low, block.range.high);
}

/// An operand in device memory, without a hold on its storage: that is given back in stream order, after its use.
struct Operand {
  Layout layout;
  DType dtype = DType::f32;
  std::byte* memory = nullptr;
  bool defined = false;

  explicit Operand(const Tensor& t) : memory(on_gpu::address(t)), defined(t.defined()) {
    if (!defined) return;
    layout = {t.shape(), t.strides(), 0};
    dtype = t.dtype();
  }
  std::int64_t bytes() const { return defined ? layout.extent() * size_of(dtype) : 0; }
  Tensor on_host(bool filled) const {
    if (!defined) return {};
    const Tensor block = Tensor::empty({layout.extent()}, dtype);
    if (filled && bytes() > 0) std::memcpy(block.raw(), memory, static_cast<std::size_t>(bytes()));
    return block.view(layout);
  }
};

/// The emulator's memory is the host's: the processor's kernel reads it when the stream gets there.
void answer_for_library(const on_gpu::Call& call) {
  std::vector<Operand> in, out;
  std::vector<gpu::Access> ranges;
  std::vector<Tensor> copies;  // given back after the answer is in the stream
  for (const Tensor& t : call.in) {
    // Ranges are checked whole, and what lies in gaps was written by nobody.
    copies.push_back(t.defined() && !t.layout().dense() ? on_gpu::dense(call, t) : t);
    in.emplace_back(copies.back());
    ranges.push_back({in.back().memory, static_cast<std::size_t>(in.back().bytes()), false});
  }
  for (const Tensor& t : call.out) {
    out.emplace_back(t);
    ranges.push_back({out.back().memory, static_cast<std::size_t>(out.back().bytes()), true});
  }
  const auto answer = [in = std::move(in), out = std::move(out), attrs = call.attrs, scratch = call.scratch,
                       kernel = cpu_kernel(call.op)] {
    const MemoryScope uncharged(Ref<MemoryAccount>(new MemoryAccount));
    std::vector<Tensor> operands, results;
    for (const Operand& o : in) operands.push_back(o.on_host(true));
    for (const Operand& o : out) results.push_back(o.on_host(false));
    kernel({operands, results, attrs, scratch});
    for (std::size_t i = 0; i < out.size(); ++i)
      if (out[i].bytes() > 0) std::memcpy(out[i].memory, results[i].raw(), static_cast<std::size_t>(out[i].bytes()));
  };
  call.stream.device->call_library(call.op.data(), settings_of(call), answer, ranges, call.stream);
}

void answer_on_host(const on_gpu::Call& call) {
  if (call.scratch) throw InternalError("{}: an op of the host has no scratch of a device", call.op);
  std::vector<Tensor> operands, results;
  for (const Tensor& t : call.in) operands.push_back(to(t, kCpu));
  for (const Tensor& t : call.out)
    if (t.defined() && !t.layout().dense())
      throw InternalError("{}: an op of the host writes dense results; got {}", call.op, t.str());
  for (const Tensor& t : call.out)
    results.push_back(t.defined() ? Tensor::empty(t.shape(), t.dtype(), kCpu, &t.strides()) : Tensor());
  cpu_kernel(call.op)({operands, results, call.attrs, nullptr});
  for (std::size_t i = 0; i < results.size(); ++i)
    if (results[i].defined() && results[i].numel() > 0)
      call.device.upload(on_gpu::address(call.out[i]), results[i].raw(),
                         results[i].numel() * size_of(results[i].dtype()));
}

/// A function for each entry of a list, as kernels do not know their op's name.
template <const auto& list, std::size_t i, on_gpu::Function function>
struct Entry {
  static constexpr std::string_view name = list[i].op;
  static void run(const on_gpu::Call& call) { function(call); }
};
template <const auto& list, on_gpu::Function function, std::size_t... i>
bool enter_all(std::index_sequence<i...>, bool everywhere) {
  const auto add = []<class E>(E, bool cuda) {
    const Kernel kernel = [](const KernelCall& call) { on_gpu::run(E::name, call, E::run); };
    register_kernel(E::name, DeviceKind::emu, kernel);
    if (cuda) register_kernel(E::name, DeviceKind::cuda, kernel);
  };
  (add(Entry<list, i, function>{}, everywhere), ...);
  return true;
}
[[maybe_unused]] const bool entered =
    enter_all<kLibraryOps, answer_for_library>(std::make_index_sequence<std::size(kLibraryOps)>(), false) &&
    enter_all<kHostOps, answer_on_host>(std::make_index_sequence<std::size(kHostOps)>(), true);

}  // namespace

std::span<const HostAnswer> library_ops() { return kLibraryOps; }
std::span<const HostAnswer> host_ops() { return kHostOps; }

}  // namespace retort

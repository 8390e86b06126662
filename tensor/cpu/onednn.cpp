// tensor/cpu/onednn.cpp -- the shared pieces of every call into oneDNN.
#include "tensor/cpu/onednn.h"

#include <optional>

#include "tensor/cpu/tasks.h"

#ifdef RETORT_HAVE_ONEDNN
namespace retort::cpu::onednn {

const dnnl::engine& cpu_engine() {
  static const dnnl::engine instance(dnnl::engine::kind::cpu, 0);
  return instance;
}

dnnl::stream& cpu_stream() {
  thread_local dnnl::stream instance(cpu_engine());
  return instance;
}

dnnl::memory::data_type type_of(DType dtype) {
  if (dtype == DType::f32) return dnnl::memory::data_type::f32;
  if (dtype == DType::bf16) return dnnl::memory::data_type::bf16;
  throw InternalError("onednn: no such element type here; got {}", name_of(dtype));
}

dnnl::primitive_attr user_scratchpad() {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

bool has_bf16_products() {
  // Instruction sets are bit masks that contain those they build on.
  static const bool found = [] {
    const auto isa = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
    const auto wanted = static_cast<unsigned>(dnnl::cpu_isa::avx512_core_bf16);
    return (isa & wanted) == wanted;
  }();
  return found;
}

void reorder(const dnnl::memory::desc& from_layout, const void* from, const dnnl::memory::desc& to_layout, void* to) {
  // Waking threads costs more than copying this much.
  constexpr std::size_t kSmall = 512 * 1024;
  std::optional<SingleThreaded> scope;
  if (to_layout.get_size() <= kSmall) scope.emplace();
  dnnl::memory source = view(from_layout, from), target = view(to_layout, to);
  dnnl::reorder(source, target).execute(cpu_stream(), source, target);
}

}  // namespace retort::cpu::onednn
#endif

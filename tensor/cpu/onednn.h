// tensor/cpu/onednn.h -- oneDNN's engine, stream, cached primitives and errors, as this room uses them.
#pragma once
#include "retort_config.h"
#ifdef RETORT_HAVE_ONEDNN
#include <dnnl.hpp>
#include <list>
#include <map>
#include <memory>
#include <string_view>

#include "tensor/dtype.h"
#include "tensor/error.h"

namespace retort::cpu::onednn {

const dnnl::engine& cpu_engine();
/// The calling thread's stream.
dnnl::stream& cpu_stream();
dnnl::memory::data_type type_of(DType dtype);  ///< f32 or bf16
dnnl::primitive_attr user_scratchpad();
/// Whether the processor multiplies bf16 (AVX-512 BF16 or better).
bool has_bf16_products();
/// `data` seen through a layout. oneDNN takes mutable pointers also for what it only reads.
inline dnnl::memory view(const dnnl::memory::desc& layout, const void* data) {
  return {layout, cpu_engine(), const_cast<void*>(data)};
}
/// Copies between layouts and types, with as many threads as the caller may use and the size is worth.
void reorder(const dnnl::memory::desc& from_layout, const void* from, const dnnl::memory::desc& to_layout, void* to);

/// Runs `f` and turns oneDNN's exceptions into ours, named after the op.
template <class F>
auto guarded(std::string_view op, const F& f) {
  try {
    return f();
  } catch (const dnnl::error& e) {
    if (e.status == dnnl_out_of_memory) throw MemoryError("{}: oneDNN found no memory", op);
    throw InternalError("{}: oneDNN failed; got status {}, {}", op, static_cast<int>(e.status), e.what());
  }
}

/// The primitives used last, by key; the oldest goes when there are more than kCapacity. Held per thread: the library
/// shares generated code among threads itself.
template <class Key, class Value>
class PrimitiveCache {
 public:
  template <class Create>
  std::shared_ptr<const Value> get(const Key& key, const Create& create) {
    const auto found = index_.find(key);
    if (found != index_.end()) {
      order_.splice(order_.begin(), order_, found->second);
      return found->second->second;
    }
    auto made = std::make_shared<const Value>(create(key));
    order_.emplace_front(key, made);
    index_[key] = order_.begin();
    if (index_.size() > kCapacity) {
      index_.erase(order_.back().first);
      order_.pop_back();
    }
    return made;
  }

 private:
  static constexpr std::size_t kCapacity = 512;
  std::list<std::pair<Key, std::shared_ptr<const Value>>> order_;
  std::map<Key, typename decltype(order_)::iterator> index_;
};

}  // namespace retort::cpu::onednn
#endif

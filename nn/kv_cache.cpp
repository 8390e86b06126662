#include "nn/kv_cache.h"

#include "autograd/ops/shape.h"
#include "tensor/write.h"

namespace retort {

KvCache::KvCache(std::size_t layers, std::int64_t batch, std::int64_t kv_heads, std::int64_t capacity,
                 std::int64_t head_width, DType dtype, Device device) {
  if (layers == 0 || batch < 1 || kv_heads < 1 || capacity < 1 || head_width < 1)
    throw ShapeError("kv_cache: sizes must be positive; got {} layers of [{}, {}, {}, {}]", layers, batch, kv_heads,
                     capacity, head_width);
  const Shape shape{batch, kv_heads, capacity, head_width};
  for (std::size_t i = 0; i < layers; ++i)
    slots_.push_back({Tensor::empty(shape, dtype, device), Tensor::empty(shape, dtype, device)});
}

KvCache::Filled KvCache::append_(std::size_t layer, const Tensor& k, const Tensor& v) {
  if (layer >= slots_.size()) throw ShapeError("kv_cache: it has {} layers; got layer {}", slots_.size(), layer);
  Slot& slot = slots_[layer];
  if (k.lift() || v.lift())
    throw AutogradError("kv_cache: a cache keeps no gradients; got tracked keys; hint: generate without a tape");
  const std::int64_t t = k.rank() == 4 ? k.size(2) : 0, end = slot.length + t;
  const Shape fits{slot.k.size(0), slot.k.size(1), t, slot.k.size(3)};
  if (!(k.shape() == fits) || !(v.shape() == fits) || end > capacity())
    throw ShapeError("kv_cache: keys and values must be {} and end within {} positions, {} are filled; got {} and {}",
                     fits.str(), capacity(), slot.length, k.str(), v.str());
  assign_(slice(slot.k, 2, slot.length, end), k, "KvCache::append_");
  assign_(slice(slot.v, 2, slot.length, end), v, "KvCache::append_");
  slot.length = end;
  return {slice(slot.k, 2, 0, end), slice(slot.v, 2, 0, end)};
}

void KvCache::truncate(std::int64_t length) {
  if (length < 0 || length > this->length())
    throw ValueError("kv_cache: {} positions are filled; got {}", this->length(), length);
  for (Slot& slot : slots_) slot.length = length;
}

}  // namespace retort

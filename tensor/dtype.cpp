#include "tensor/dtype.h"

#include "tensor/error.h"

namespace retort {

DType dtype_from_name(std::string_view name) {
  for (int i = 0; i < kDTypes; ++i)
    if (name_of(static_cast<DType>(i)) == name) return static_cast<DType>(i);
  throw ConfigError("dtype: unknown name '{}'; known: f64 f32 f16 bf16 i64 i32 u8 bool", name);
}

}  // namespace retort

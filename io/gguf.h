// io/gguf.h -- GGUF 2 and 3: metadata, tensors, blocks of quantised weights. github.com/ggml-org/ggml, docs/gguf.md
#pragma once
#include <filesystem>
#include <memory>
#include <span>

#include "io/tensor_file.h"

namespace retort {

/// Whether the file begins with "GGUF".
bool looks_like_gguf(std::span<const std::byte> bytes);

/// Opens one little-endian GGUF file, mapped into memory. F64 F32 F16 BF16 I64 I32 tensors come as they are; blocks of
/// Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 and Q2_K to Q6_K (io/gguf_blocks.h) come as f32, decoded piece by piece; other types are
/// unreadable. Shapes are row-major: the file's dimensions in reverse. Metadata values are text, arrays JSON lists.
/// Every count is compared with the bytes left before anything is allocated; metadata above 128 MB, repeated names,
/// payloads that overlap, lie outside or are not aligned are IoErrors that name the place.
std::unique_ptr<TensorFile> open_gguf(const std::filesystem::path& path);

}  // namespace retort

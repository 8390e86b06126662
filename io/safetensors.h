// io/safetensors.h -- safetensors: 8 bytes of length, a JSON header, payloads. github.com/huggingface/safetensors
#pragma once
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/tensor_file.h"

namespace retort {

/// Whether a header of a length that fits in the file begins with '{' at byte 8.
bool looks_like_safetensors(std::span<const std::byte> bytes);

/// Opens one safetensors file, mapped into memory. Payloads must cover the data section in order, without overlaps or
/// holes, each exactly as long as its shape and dtype say; they may lie at any address. A header above 100 MB, bad
/// JSON, keys given twice and unknown fields are IoErrors that name the place. Tensors of dtypes that Retort does not
/// have (I8 I16 U16 U32 U64 C64 F8_* F6_* F4) are unreadable, by name. Metadata is the header's `__metadata__`.
std::unique_ptr<TensorFile> open_safetensors(const std::filesystem::path& path);

struct NamedPayload {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  ByteSource payload;  ///< row-major; asked once, when its turn comes
};

/// Writes a safetensors file, put in place when it is complete. Tensors are sorted by dtype (wide ones first), then by
/// name, and the header is padded to 8 bytes, so each is aligned and equal content gives equal bytes: those the
/// format's own library writes. Throws ValueError for a name given twice or "__metadata__" or text that is not UTF-8,
/// ShapeError when a payload does not fit its shape, IoError on the disk's errors.
void write_safetensors(const std::filesystem::path& path, std::vector<NamedPayload> tensors, const TextMap& metadata);

}  // namespace retort

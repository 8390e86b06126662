// io/tensor_shards.h -- tensors over several files, by an index beside them.
#pragma once
#include <filesystem>
#include <memory>

#include "io/tensor_file.h"

namespace retort {

/// Opens an index of shards: {"metadata": {..}, "weight_map": {"TENSOR": "FILE", ..}}, as in
/// `model.safetensors.index.json`. A FILE is a plain name of a file in the index's folder, of any format that is not an
/// index itself. Throws IoError when the index is no such thing, or a shard is missing, damaged or lacks a tensor. A
/// tensor that a shard holds and the index does not place there is unreadable.
std::unique_ptr<TensorFile> open_tensor_shards(const std::filesystem::path& path);

}  // namespace retort

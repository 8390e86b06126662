// io/torch_file.h -- what torch.save writes: zip archives (since 1.6) and sequences of pickles (before).
#pragma once
#include <filesystem>
#include <memory>
#include <span>

#include "io/tensor_file.h"

namespace retort {

/// Whether the file begins as a zip archive or as a pickle of protocol 2 to 5.
bool looks_like_torch(std::span<const std::byte> bytes);

/// Opens a PyTorch checkpoint. Its pickle is read by io/pickle.h, which executes nothing. Tensors anywhere inside
/// (dicts, lists, tuples, attributes of objects of any class) are listed with the path to them, parts joined by dots:
/// "state_dict.conv.weight", "optimizer.state.0.exp_avg". Strides are resolved while reading; tensors that are the same
/// piece of one storage say so in `same_as`. Sparse, quantised and complex tensors, and dtypes that Retort does not
/// have, are unreadable. Damage, and tensors that claim far more than the file holds, are IoErrors that name the place.
std::unique_ptr<TensorFile> open_torch(const std::filesystem::path& path);

}  // namespace retort

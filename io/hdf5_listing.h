// io/hdf5_listing.h -- what an HDF5 file holds, found by libhdf5 in a child process and sent back as a checked message.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "io/checkpoint.h"

namespace retort {

/// A readable dataset and where its payload lies.
struct ListedTensor {
  TensorEntry entry;
  std::int64_t offset = 0;  ///< of the first byte in the file, or kDecoded

  /// The payload is compressed, chunked, big-endian or unwritten: only libhdf5 can produce it.
  static constexpr std::int64_t kDecoded = -1;
};

struct Hdf5Listing {
  std::vector<ListedTensor> tensors;
  Attributes attributes;
  std::map<std::string, std::string, std::less<>> unreadable;  ///< name to reason
};

/// Lists the file open at `descriptor`, in a child process. Every extent and offset in the result lies inside the file
/// of `file_bytes` bytes; a decoded tensor is at most what deflate can pack into the file. Throws IoError starting with
/// `where`.
Hdf5Listing list_hdf5(int descriptor, std::int64_t file_bytes, const std::string& where);

/// Decodes one listed tensor in a child process into `destination`, memory shared with it, of exactly the tensor's
/// size.
void decode_hdf5(int descriptor, const TensorEntry& entry, std::span<std::byte> destination, const std::string& where);

}  // namespace retort

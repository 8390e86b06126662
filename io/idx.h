// io/idx.h -- the IDX array format of the MNIST family of data sets (images, labels), plain or gzip.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace retort {

/// One array: `bytes` holds shape.product() elements, row-major, in the machine's byte order.
struct IdxArray {
  DType dtype = DType::u8;
  Shape shape;
  std::vector<std::uint8_t> bytes;
};

/// The largest payload read_idx accepts unless told otherwise: 16 GiB.
inline constexpr std::uint64_t kMaxIdxBytes = std::uint64_t{1} << 34;

/// Reads an IDX file (yann.lecun.com/exdb/mnist: 00 00 TYPE RANK, RANK big-endian u32 extents, big-endian elements),
/// recognising gzip by its signature. Element types u8, i32, f32, f64; rank 1 to 8; extents may be 0.
/// The header is checked against the file's size before memory is taken, and memory grows only with data that was
/// really there. Throws IoError naming the file, the field and its (inflated) offset: wrong magic, element type
/// without a dtype here (i8, i16), rank or extents out of range, truncated payload, bytes after the payload.
IdxArray read_idx(const std::string& path, std::uint64_t max_bytes = kMaxIdxBytes);

}  // namespace retort

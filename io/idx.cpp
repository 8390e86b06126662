// io/idx.cpp -- read_idx: header checks, then the payload in growing pieces.
#include "io/idx.h"

#include <algorithm>
#include <bit>
#include <span>

#include "io/byte_reader.h"
#include "tensor/error.h"

namespace retort {
namespace {

constexpr std::size_t kFirstPiece = std::size_t{1} << 20;

/// Reads a header field completely or throws naming it.
void read_field(ByteReader& in, std::span<std::uint8_t> out, std::string_view field) {
  const std::uint64_t at = in.offset();
  const std::size_t n = in.read(out);
  if (n < out.size())
    throw IoError("read_idx: {}: {} at offset {} is truncated; got {} of {} bytes", in.path(), field, at, n,
                  out.size());
}

DType element_type(std::uint8_t code, const std::string& path) {
  switch (code) {
    case 0x08:
      return DType::u8;
    case 0x0c:
      return DType::i32;
    case 0x0d:
      return DType::f32;
    case 0x0e:
      return DType::f64;
    default:
      break;
  }
  throw IoError(
      "read_idx: {}: element type at offset 2 is not supported; got 0x{:02x}; known are 0x08 (u8), 0x0c "
      "(i32), 0x0d (f32), 0x0e (f64)",
      path, code);
}

/// Payload size of the shape in bytes. Extents of 0 count as 1 towards the limit, so strides cannot overflow either.
std::uint64_t payload_bytes(const Shape& shape, DType dtype, std::uint64_t limit, const std::string& path) {
  std::uint64_t bytes = static_cast<std::uint64_t>(size_of(dtype));
  bool is_empty = false;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    const auto extent = static_cast<std::uint64_t>(shape[axis]);
    is_empty = is_empty || extent == 0;
    if (extent > 1 && bytes > limit / extent)
      throw IoError("read_idx: {}: extent {} at offset {} makes the payload larger than {} bytes; got shape {} of {}",
                    path, axis, 4 + 4 * axis, limit, shape.str(), name_of(dtype));
    bytes *= std::max<std::uint64_t>(extent, 1);
  }
  return is_empty ? 0 : bytes;
}

/// Reads the payload. The buffer doubles only after it was filled, so a header that promises more than a gzip stream
/// holds costs at most twice what the stream holds.
std::vector<std::uint8_t> read_payload(ByteReader& in, std::uint64_t size) {
  std::vector<std::uint8_t> bytes;
  // A plain file's size was compared with the header already: it is read in one piece.
  std::size_t piece = in.is_gzip() ? kFirstPiece : size;
  while (bytes.size() < size) {
    const std::size_t start = bytes.size();
    bytes.resize(static_cast<std::size_t>(std::min<std::uint64_t>(size, start + piece)));
    const std::size_t wanted = bytes.size() - start;
    const std::size_t n = in.read(std::span(bytes).subspan(start));
    if (n < wanted)
      throw IoError("read_idx: {}: payload is truncated at offset {}; got {} of {} bytes", in.path(), in.offset(),
                    start + n, size);
    piece = bytes.size();
  }
  return bytes;
}

void to_machine_order(std::vector<std::uint8_t>& bytes, std::size_t element) {
  if constexpr (std::endian::native == std::endian::big) return;
  if (element == 1) return;
  for (auto it = bytes.begin(); it != bytes.end(); it += static_cast<std::ptrdiff_t>(element))
    std::reverse(it, it + static_cast<std::ptrdiff_t>(element));
}

}  // namespace

IdxArray read_idx(const std::string& path, std::uint64_t max_bytes) {
  ByteReader in(path);
  std::uint8_t magic[4];
  read_field(in, magic, "magic");
  if (magic[0] != 0 || magic[1] != 0)
    throw IoError("read_idx: {}: magic at offset 0 is not an IDX file's; got {:02x} {:02x}, wanted 00 00", path,
                  magic[0], magic[1]);
  IdxArray array;
  array.dtype = element_type(magic[2], path);
  const int rank = magic[3];
  if (rank < 1 || rank > kMaxRank)
    throw IoError("read_idx: {}: rank at offset 3 is out of range; got {}, wanted 1 to {}", path, rank, kMaxRank);
  for (int axis = 0; axis < rank; ++axis) {
    std::uint8_t b[4];
    read_field(in, b, fmt::format("extent {}", axis));
    array.shape.push_back(std::int64_t{b[0]} << 24 | std::int64_t{b[1]} << 16 | std::int64_t{b[2]} << 8 | b[3]);
  }
  const std::uint64_t size = payload_bytes(array.shape, array.dtype, max_bytes, path);
  const std::uint64_t available = in.max_size() - std::min(in.max_size(), in.offset());
  if (size > available)
    throw IoError(
        "read_idx: {}: payload at offset {} is truncated; shape {} of {} needs {} bytes, the file cannot hold "
        "more than {}",
        path, in.offset(), array.shape.str(), name_of(array.dtype), size, available);
  if (!in.is_gzip() && size < available)
    throw IoError("read_idx: {}: bytes after the payload at offset {}; got {} more than shape {} of {} needs", path,
                  in.offset() + size, available - size, array.shape.str(), name_of(array.dtype));
  array.bytes = read_payload(in, size);
  // Also makes a gzip stream verify its checksum, which comes after the last byte.
  std::uint8_t extra[1];
  if (in.read(extra) != 0)
    throw IoError("read_idx: {}: bytes after the payload at offset {}; shape {} of {} needs {} bytes", path,
                  in.offset() - 1, array.shape.str(), name_of(array.dtype), size);
  to_machine_order(array.bytes, static_cast<std::size_t>(size_of(array.dtype)));
  return array;
}

}  // namespace retort

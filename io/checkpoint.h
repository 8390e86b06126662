// io/checkpoint.h -- checkpoints: named tensors and attributes in an HDF5 file that any HDF5 program can open.
//
// The file: libhdf5 format bounds V18..latest, so all of its metadata carries checksums; each tensor one contiguous,
// 64-byte-aligned, unfiltered little-endian dataset with its CRC-32C in the attribute "crc32c"; no time stamps, so
// equal input gives equal bytes. A '/' in a tensor's name makes groups; a '.' is an ordinary character. libhdf5 handles
// the structure only: payload goes by pwrite to the reserved space and comes back through mmap.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "io/file.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace retort {

struct TensorEntry {
  std::string name;  ///< "layer1.conv.weight", "adam/m/layer1.conv.weight"
  DType dtype = DType::f32;
  Shape shape;
  std::optional<std::uint32_t> crc;  ///< CRC-32C of the payload; none in files of other programs
  std::int64_t bytes = 0;            ///< product of the shape times the element size
};

/// A value attached to the whole file.
using AttributeValue = std::variant<std::string, std::int64_t, double>;
using Attributes = std::map<std::string, AttributeValue, std::less<>>;

/// Writes one checkpoint to `path`.tmp and puts it in place at `commit`: until then, and on any error, a file already
/// at `path` stays as it is, and the destructor removes the temporary. Errors of the disk are IoError and name the
/// tensor; bad arguments are ValueError or ShapeError and leave the writer usable. One thread at a time.
class CheckpointWriter {
 public:
  explicit CheckpointWriter(const std::filesystem::path& path);
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  /// Attaches a value to the file; a string may be of any length but holds no zero byte. Each name once.
  void attribute(const std::string& name, const AttributeValue& value);
  /// Writes one tensor, row-major, before returning: `payload` is not kept. Names are unique paths without empty, "."
  /// or ".." parts; a tensor's name cannot also be the group of another.
  void add(const std::string& name, DType dtype, const Shape& shape, std::span<const std::byte> payload);
  /// The same with a payload that comes in pieces; what `source` throws passes through and ends the writer's life.
  void add(const std::string& name, DType dtype, const Shape& shape, const ByteSource& source);
  /// Completes, syncs and renames the file, and syncs its folder. Nothing may be written afterwards.
  void commit();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Reads a checkpoint, or any HDF5 file. libhdf5 may crash or hang on damaged or hostile files, so it never reads one
/// inside this process: a child with limits on time and memory lists the file, this process checks the list and maps
/// the payload. Compressed, chunked and big-endian datasets of other programs are decoded by such a child too.
/// Damage of any kind is an IoError that names the file and, where it is known, the tensor. One thread at a time.
class CheckpointReader {
 public:
  explicit CheckpointReader(const std::filesystem::path& path);
  ~CheckpointReader();
  CheckpointReader(const CheckpointReader&) = delete;
  CheckpointReader& operator=(const CheckpointReader&) = delete;

  /// All readable tensors, in the order of writing (by name in files of other programs).
  const std::vector<TensorEntry>& entries() const;
  /// The entry of that name, or null.
  const TensorEntry* find(std::string_view name) const;
  /// The values attached to the file. Lists, and types other than string, integer and float, are left out.
  const Attributes& attributes() const;
  std::optional<AttributeValue> attribute(std::string_view name) const;
  /// What the file holds besides `entries()`, with the reason: strings, compound types, links to other files, ...
  const std::map<std::string, std::string, std::less<>>& unreadable() const;

  /// A tensor's payload, row-major; valid as long as the reader. The first call verifies the checksum. Throws IoError
  /// when the name is missing or unreadable, the checksum differs, or a bool is neither 0 nor 1.
  std::span<const std::byte> bytes(std::string_view name) const;
  /// The same payload in pieces, of which nothing stays in memory: for tensors that are passed on.
  void stream(std::string_view name, const ByteSink& sink) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace retort

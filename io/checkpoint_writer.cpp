// io/checkpoint_writer.cpp -- structure by libhdf5, payload by pwrite into the space it reserved.
#include <algorithm>
#include <set>

#include "io/checkpoint.h"
#include "io/crc32c.h"
#include "io/file.h"
#include "io/hdf5_library.h"
#include "tensor/error.h"

namespace retort {
namespace {

constexpr hsize_t kAlignment = 64;
/// Payload is summed and written in pieces of this size, so that the second pass finds it in the cache.
constexpr std::size_t kPiece = 1 << 18;

Hdf5Id make_file(const std::string& path, const std::string& where) {
  const Hdf5Id access(H5Pcreate(H5P_FILE_ACCESS), where, "make a property list");
  check_hdf5(H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_LATEST), where, "set the format bounds");
  check_hdf5(H5Pset_alignment(access, 1, kAlignment), where, "set the alignment");
  // Small datasets would otherwise share an unaligned block.
  check_hdf5(H5Pset_small_data_block_size(access, 0), where, "switch off the small-data block");
  // The file is ours alone until it is renamed, and many network file systems have no locks.
  check_hdf5(H5Pset_file_locking(access, false, true), where, "switch off file locks");
  const Hdf5Id creation(H5Pcreate(H5P_FILE_CREATE), where, "make a property list");
  check_hdf5(H5Pset_obj_track_times(creation, false), where, "switch off time stamps");
  check_hdf5(H5Pset_link_creation_order(creation, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED), where,
             "keep the order of tensors");
  return Hdf5Id(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation, access), where, "create the file");
}

Hdf5Id make_link_properties(const std::string& where) {
  Hdf5Id links(H5Pcreate(H5P_LINK_CREATE), where, "make a property list");
  check_hdf5(H5Pset_char_encoding(links, H5T_CSET_UTF8), where, "set the encoding of names");
  return links;
}

Hdf5Id make_dataset_properties(const std::string& where) {
  Hdf5Id creation(H5Pcreate(H5P_DATASET_CREATE), where, "make a property list");
  check_hdf5(H5Pset_layout(creation, H5D_CONTIGUOUS), where, "set the layout");
  check_hdf5(H5Pset_alloc_time(creation, H5D_ALLOC_TIME_EARLY), where, "reserve space early");
  check_hdf5(H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER), where, "leave the space unwritten");
  check_hdf5(H5Pset_obj_track_times(creation, false), where, "switch off time stamps");
  return creation;
}

void check_name(const std::string& name, const std::string& where) {
  const auto refuse = [&](std::string_view why) {
    throw ValueError("{}: bad tensor name; got \"{}\"; {}", where, name, why);
  };
  if (name.find('\0') != std::string::npos) refuse("a name holds no zero byte");
  for (std::size_t start = 0; start <= name.size();) {
    const std::size_t end = std::min(name.find('/', start), name.size());
    const std::string_view part = std::string_view(name).substr(start, end - start);
    if (part.empty() || part == "." || part == "..")
      refuse("the parts between '/' are neither empty nor \".\" or \"..\"");
    start = end + 1;
  }
}

/// Every proper prefix of "a/b/c" that ends before a '/': "a", "a/b".
std::vector<std::string> groups_of(const std::string& name) {
  std::vector<std::string> groups;
  for (std::size_t i = name.find('/'); i != std::string::npos; i = name.find('/', i + 1))
    groups.push_back(name.substr(0, i));
  return groups;
}

}  // namespace

struct CheckpointWriter::Impl {
  explicit Impl(const std::filesystem::path& path)
      : where(fmt::format("checkpoint \"{}\"", path.string())), temporary(path) {
    require_room();
    const auto lock = lock_hdf5();
    // Into locals first: if one fails, the others are let go under the lock.
    Hdf5Id made_links = make_link_properties(where), made_properties = make_dataset_properties(where);
    file = make_file(temporary.path().string(), where);
    links = std::move(made_links);
    dataset_properties = std::move(made_properties);
  }

  ~Impl() {
    const auto lock = lock_hdf5();
    close_properties();
    if (file < 0) return;
    // Closing flushes, and on a full disk fails, leaving the library's cache behind: make room first.
    temporary.discard();
    H5Fclose(file.release());
  }

  /// On a full disk libhdf5 loses memory when it cannot write a new file's first bytes: finds out before it tries.
  void require_room() {
    temporary.write_at(std::vector<std::byte>(1 << 14), 0);
    temporary.discard();
  }

  void close_properties() {
    links = Hdf5Id();
    dataset_properties = Hdf5Id();
  }

  void make_groups(const std::string& name) {
    for (const std::string& group : groups_of(name)) {
      if (!groups.insert(group).second) continue;
      const Hdf5Id creation(H5Pcreate(H5P_GROUP_CREATE), where, "make a property list");
      check_hdf5(H5Pset_obj_track_times(creation, false), where, "switch off time stamps");
      check_hdf5(H5Pset_link_creation_order(creation, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED), where,
                 "keep the order of tensors");
      const Hdf5Id made(H5Gcreate2(file, group.c_str(), links, creation, H5P_DEFAULT), where,
                        fmt::format("make the group \"{}\"", group));
    }
  }

  /// Writes what `source` gives and returns its checksum.
  std::uint32_t write_payload(const std::string& name, std::int64_t offset, std::int64_t bytes,
                              const ByteSource& source) {
    std::uint32_t crc = 0;
    std::int64_t done = 0;
    source([&](std::span<const std::byte> part) {
      while (!part.empty()) {
        const auto piece = part.first(std::min(kPiece, part.size()));
        part = part.subspan(piece.size());
        if (std::ssize(piece) > bytes - done)
          throw ShapeError("{}: payload of \"{}\" does not fit its shape; got more than {} bytes", where, name, bytes);
        crc = crc32c(piece, crc);
        try {
          temporary.write_at(piece, offset + done);
        } catch (const IoError& error) {
          throw IoError("{}: cannot write the tensor \"{}\"; {}", where, name, error.what());
        }
        done += std::ssize(piece);
      }
    });
    if (done != bytes)
      throw ShapeError("{}: payload of \"{}\" does not fit its shape; got {} of {} bytes", where, name, done, bytes);
    return crc;
  }

  void put_attribute(hid_t owner, const std::string& name, hid_t type, const void* value) {
    const std::string action = fmt::format("write the attribute \"{}\"", name);
    const Hdf5Id scalar(H5Screate(H5S_SCALAR), where, action);
    const Hdf5Id made(H5Acreate2(owner, name.c_str(), type, scalar, H5P_DEFAULT, H5P_DEFAULT), where, action);
    check_hdf5(H5Awrite(made, type, value), where, action);
  }

  void require_open() const {
    if (file < 0) throw ValueError("{}: used after commit", where);
    if (failed) throw ValueError("{}: used after a failed write; start a new file", where);
  }

  std::string where;
  TemporaryFile temporary;
  Hdf5Id file, links, dataset_properties;
  std::set<std::string> tensors, groups, attributes;
  bool failed = false;  ///< a write was begun and not finished: such a file must not be committed
};

CheckpointWriter::CheckpointWriter(const std::filesystem::path& path) : impl_(std::make_unique<Impl>(path)) {}
CheckpointWriter::~CheckpointWriter() = default;

void CheckpointWriter::attribute(const std::string& name, const AttributeValue& value) {
  impl_->require_open();
  const std::string* text = std::get_if<std::string>(&value);
  if (name.empty() || name.find('\0') != std::string::npos ||
      (text != nullptr && text->find('\0') != std::string::npos))
    throw ValueError("{}: bad attribute; got \"{}\"; names are not empty, and neither they nor values hold a zero byte",
                     impl_->where, name);
  if (!impl_->attributes.insert(name).second) throw ValueError("{}: attribute \"{}\" given twice", impl_->where, name);
  const auto lock = lock_hdf5();
  impl_->failed = true;
  if (text != nullptr) {
    // c_str's final zero is the one byte of an empty string: HDF5 has no strings of length 0.
    impl_->put_attribute(impl_->file, name, hdf5_string_type(std::max<std::size_t>(text->size(), 1)), text->c_str());
  } else if (const auto* integer = std::get_if<std::int64_t>(&value)) {
    impl_->put_attribute(impl_->file, name, hdf5_type(DType::i64), integer);
  } else {
    impl_->put_attribute(impl_->file, name, hdf5_type(DType::f64), &std::get<double>(value));
  }
  impl_->failed = false;
}

void CheckpointWriter::add(const std::string& name, DType dtype, const Shape& shape,
                           std::span<const std::byte> payload) {
  const std::int64_t bytes = shape.product() * size_of(dtype);
  if (bytes != std::ssize(payload))
    throw ShapeError("{}: payload of \"{}\" does not fit its shape; got {} bytes for {} {}, which has {}", impl_->where,
                     name, payload.size(), name_of(dtype), shape.str(), bytes);
  add(name, dtype, shape, [&](const ByteSink& sink) { sink(payload); });
}

void CheckpointWriter::add(const std::string& name, DType dtype, const Shape& shape, const ByteSource& source) {
  Impl& self = *impl_;
  self.require_open();
  check_name(name, self.where);
  const std::vector<std::string> parents = groups_of(name);
  if (self.groups.contains(name) || std::any_of(parents.begin(), parents.end(),
                                                [&](const std::string& group) { return self.tensors.contains(group); }))
    throw ValueError("{}: \"{}\" would be both a tensor and a group", self.where, name);
  if (self.tensors.contains(name)) throw ValueError("{}: tensor \"{}\" given twice", self.where, name);
  const std::int64_t bytes = shape.product() * size_of(dtype);

  auto lock = lock_hdf5();
  self.failed = true;
  const std::string action = fmt::format("write the tensor \"{}\"", name);
  self.make_groups(name);
  std::vector<hsize_t> extents(shape.begin(), shape.end());
  const Hdf5Id space(extents.empty() ? H5Screate(H5S_SCALAR) : H5Screate_simple(shape.rank(), extents.data(), nullptr),
                     self.where, action);
  const Hdf5Id dataset(
      H5Dcreate2(self.file, name.c_str(), hdf5_type(dtype), space, self.links, self.dataset_properties, H5P_DEFAULT),
      self.where, action);
  self.tensors.insert(name);

  const haddr_t offset = bytes == 0 ? 0 : H5Dget_offset(dataset);
  if (offset == HADDR_UNDEF) throw_hdf5_error(self.where, action);
  if (offset % kAlignment != 0) throw InternalError("{}: \"{}\" reserved at {}, not aligned", self.where, name, offset);
  std::uint32_t crc = 0;
  // The source may need the library too (another HDF5 file); identifiers go under the lock, also when it throws.
  lock.unlock();
  try {
    crc = self.write_payload(name, static_cast<std::int64_t>(offset), bytes, source);
  } catch (...) {
    lock.lock();
    throw;
  }
  lock.lock();
  self.put_attribute(dataset, "crc32c", Hdf5Id(H5Tcopy(H5T_STD_U32LE), self.where, action), &crc);
  self.failed = false;
}

void CheckpointWriter::commit() {
  Impl& self = *impl_;
  self.require_open();
  {
    const auto lock = lock_hdf5();
    self.failed = true;
    // Flushed before it is closed: a failed flush can be given up cleanly, a failed close cannot.
    check_hdf5(H5Fflush(self.file, H5F_SCOPE_GLOBAL), self.where, "write the structure");
    self.close_properties();
    check_hdf5(H5Fclose(self.file.release()), self.where, "close the file");
  }
  self.temporary.commit();
}

}  // namespace retort

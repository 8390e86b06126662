// io/hdf5_listing.cpp -- the walk over a file's groups, and the message that carries it to the parent.
#include "io/hdf5_listing.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "io/child_process.h"
#include "io/hdf5_library.h"
#include "tensor/error.h"

namespace retort {
namespace {

/// Deflate shrinks at most to 1/1032; a larger claim than this is an attack on memory.
constexpr std::int64_t kLargestExpansion = 1100;
constexpr int kDeepestGroup = 64;
constexpr std::string_view kOtherType = "of an element type other than f64 f32 f16 bf16 i64 i32 u8 bool";

// ---- The message: fixed-size values as they lie in memory, strings with their length. Both ends are this program.
// ----

class MessageWriter {
 public:
  template <class T>
  requires std::is_trivially_copyable_v<T>
  void put(const T& value) { text_.append(reinterpret_cast<const char*>(&value), sizeof value); }
  void put(const std::string& text) {
    put(text.size());
    text_.append(text);
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

class MessageReader {
 public:
  MessageReader(std::string_view text, const std::string& where) : text_(text), where_(where) {}
  template <class T>
  requires std::is_trivially_copyable_v<T> T get() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  std::string get_string() { return std::string(take(get<std::size_t>())); }
  [[noreturn]] void refuse(std::string_view why) const {
    throw IoError("{}: bad listing from the child; {}", where_, why);
  }

 private:
  std::string_view take(std::size_t bytes) {
    if (bytes > text_.size()) refuse("it ends early");
    const std::string_view front = text_.substr(0, bytes);
    text_.remove_prefix(bytes);
    return front;
  }
  std::string_view text_;
  const std::string& where_;
};

void encode_tensor(MessageWriter& message, const ListedTensor& tensor) {
  message.put(tensor.entry.name);
  message.put(tensor.entry.dtype);
  message.put(tensor.entry.shape.rank());
  for (std::int64_t extent : tensor.entry.shape) message.put(extent);
  message.put(tensor.entry.crc.has_value());
  message.put(tensor.entry.crc.value_or(0));
  message.put(tensor.offset);
}

std::string encode(const Hdf5Listing& listing) {
  MessageWriter message;
  message.put(listing.tensors.size());
  for (const ListedTensor& tensor : listing.tensors) encode_tensor(message, tensor);
  message.put(listing.attributes.size());
  for (const auto& [name, value] : listing.attributes) {
    message.put(name);
    message.put(value.index());
    std::visit([&](const auto& v) { message.put(v); }, value);
  }
  message.put(listing.unreadable.size());
  for (const auto& [name, reason] : listing.unreadable) {
    message.put(name);
    message.put(reason);
  }
  return message.take();
}

/// Product of the extents times the element size, with every way to overflow refused.
std::int64_t checked_bytes(const TensorEntry& entry, const std::string& where) {
  std::int64_t bytes = size_of(entry.dtype);
  bool fits = true;
  for (std::int64_t extent : entry.shape) fits = fits && extent >= 0 && !__builtin_mul_overflow(bytes, extent, &bytes);
  if (!fits) throw IoError("{}: impossible shape of \"{}\"; got {}", where, entry.name, entry.shape.str());
  return bytes;
}

ListedTensor decode_tensor(MessageReader& message, std::int64_t file_bytes, const std::string& where) {
  ListedTensor tensor;
  TensorEntry& entry = tensor.entry;
  entry.name = message.get_string();
  entry.dtype = message.get<DType>();
  if (static_cast<int>(entry.dtype) >= kDTypes) message.refuse("unknown dtype");
  const int rank = message.get<int>();
  if (rank < 0 || rank > kMaxRank) message.refuse("rank out of range");
  for (int i = 0; i < rank; ++i) entry.shape.push_back(message.get<std::int64_t>());
  const bool has_crc = message.get<std::uint8_t>() != 0;
  const auto crc = message.get<std::uint32_t>();
  if (has_crc) entry.crc = crc;
  tensor.offset = message.get<std::int64_t>();
  entry.bytes = checked_bytes(entry, where);
  if (tensor.offset == ListedTensor::kDecoded) {
    if (entry.bytes / kLargestExpansion > file_bytes)
      throw IoError("{}: tensor \"{}\" claims more than the file can hold; got {} bytes in a file of {}", where,
                    entry.name, entry.bytes, file_bytes);
  } else if (tensor.offset < 0 || entry.bytes > file_bytes || tensor.offset > file_bytes - entry.bytes) {
    throw IoError("{}: tensor \"{}\" lies outside the file; got bytes {} to {} of {}; the file is truncated or damaged",
                  where, entry.name, tensor.offset, tensor.offset + entry.bytes, file_bytes);
  }
  return tensor;
}

Hdf5Listing decode(std::string_view text, std::int64_t file_bytes, const std::string& where) {
  MessageReader message(text, where);
  Hdf5Listing listing;
  for (auto left = message.get<std::size_t>(); left > 0; --left)
    listing.tensors.push_back(decode_tensor(message, file_bytes, where));
  for (auto left = message.get<std::size_t>(); left > 0; --left) {
    const std::string name = message.get_string();
    switch (message.get<std::size_t>()) {
      case 0:
        listing.attributes[name] = message.get_string();
        break;
      case 1:
        listing.attributes[name] = message.get<std::int64_t>();
        break;
      case 2:
        listing.attributes[name] = message.get<double>();
        break;
      default:
        message.refuse("unknown kind of attribute");
    }
  }
  for (auto left = message.get<std::size_t>(); left > 0; --left) {
    const std::string name = message.get_string();
    listing.unreadable[name] = message.get_string();
  }
  return listing;
}

// ---- The walk, in the child. ----

Hdf5Id open_hdf5(int descriptor, const std::string& where) {
  const Hdf5Id access(H5Pcreate(H5P_FILE_ACCESS), where, "make a property list");
  check_hdf5(H5Pset_file_locking(access, false, true), where, "switch off file locks");
  // By descriptor, so that it is the very file the parent has mapped, even if the path was replaced meanwhile.
  const std::string path = fmt::format("/proc/self/fd/{}", descriptor);
  return Hdf5Id(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access), where, "open it as HDF5");
}

struct KnownType {
  DType dtype;
  bool little_endian;
  Hdf5Id type;
};

/// Every dtype's file type, as we write it and with the bytes reversed.
std::vector<KnownType> known_types(const std::string& where) {
  std::vector<KnownType> types;
  for (int i = 0; i < kDTypes; ++i) {
    const auto dtype = static_cast<DType>(i);
    types.push_back({dtype, true, hdf5_type(dtype)});
    if (size_of(dtype) == 1) continue;
    types.push_back({dtype, false, hdf5_type(dtype)});
    check_hdf5(H5Tset_order(types.back().type, H5T_ORDER_BE), where, "reverse an element type");
  }
  return types;
}

std::string read_string(hid_t attribute, hid_t type, const std::string& where, const std::string& action) {
  if (check_hdf5(H5Tis_variable_str(type), where, action) > 0) {
    char* text = nullptr;
    check_hdf5(H5Aread(attribute, type, &text), where, action);
    const std::string copy = text == nullptr ? "" : text;
    H5free_memory(text);
    return copy;
  }
  std::string text(H5Tget_size(type), '\0');
  check_hdf5(H5Aread(attribute, type, text.data()), where, action);
  return text.substr(0, text.find('\0'));
}

/// Adds one attribute of the root group when it is a single string, integer or float.
void list_attribute(Hdf5Listing& listing, hid_t file, const char* name, const std::string& where) {
  const std::string action = fmt::format("read the attribute \"{}\"", name);
  const Hdf5Id attribute(H5Aopen(file, name, H5P_DEFAULT), where, action);
  const Hdf5Id type(H5Aget_type(attribute), where, action), space(H5Aget_space(attribute), where, action);
  if (H5Sget_simple_extent_npoints(space) != 1) return;
  switch (H5Tget_class(type)) {
    case H5T_STRING:
      listing.attributes[name] = read_string(attribute, type, where, action);
      break;
    case H5T_INTEGER: {
      std::int64_t value = 0;
      check_hdf5(H5Aread(attribute, H5T_NATIVE_INT64, &value), where, action);
      listing.attributes[name] = value;
      break;
    }
    case H5T_FLOAT: {
      double value = 0;
      check_hdf5(H5Aread(attribute, H5T_NATIVE_DOUBLE, &value), where, action);
      listing.attributes[name] = value;
      break;
    }
    default:
      break;
  }
}

std::optional<std::uint32_t> read_crc(hid_t dataset, const std::string& where, const std::string& action) {
  if (check_hdf5(H5Aexists(dataset, "crc32c"), where, action) == 0) return std::nullopt;
  const Hdf5Id attribute(H5Aopen(dataset, "crc32c", H5P_DEFAULT), where, action);
  const Hdf5Id type(H5Aget_type(attribute), where, action), space(H5Aget_space(attribute), where, action);
  if (H5Tequal(type, H5T_STD_U32LE) <= 0 || H5Sget_simple_extent_npoints(space) != 1) return std::nullopt;
  std::uint32_t crc = 0;
  check_hdf5(H5Aread(attribute, H5T_NATIVE_UINT32, &crc), where, action);
  return crc;
}

class Walk {
 public:
  explicit Walk(const std::string& where) : where_(where), types_(known_types(where)) {}

  Hdf5Listing run(int descriptor) {
    const Hdf5Id file = open_hdf5(descriptor, where_);
    for (const std::string& name : attribute_names(file)) list_attribute(listing_, file, name.c_str(), where_);
    const Hdf5Id root(H5Gopen2(file, "/", H5P_DEFAULT), where_, "open the root group");
    visit_group(root, "", 0);
    return std::move(listing_);
  }

 private:
  struct Link {
    std::string name;
    bool hard;
  };

  std::vector<std::string> attribute_names(hid_t file) const {
    std::vector<std::string> names;
    const auto collect = [](hid_t, const char* name, const H5A_info_t*, void* out) -> herr_t {
      static_cast<std::vector<std::string>*>(out)->push_back(name);
      return 0;
    };
    check_hdf5(H5Aiterate2(file, H5_INDEX_NAME, H5_ITER_INC, nullptr, collect, &names), where_, "list the attributes");
    return names;
  }

  std::vector<Link> links_of(hid_t group, const std::string& action) const {
    const Hdf5Id creation(H5Gget_create_plist(group), where_, action);
    unsigned order = 0;
    check_hdf5(H5Pget_link_creation_order(creation, &order), where_, action);
    std::vector<Link> links;
    const auto collect = [](hid_t, const char* name, const H5L_info_t* info, void* out) -> herr_t {
      static_cast<std::vector<Link>*>(out)->push_back({name, info->type == H5L_TYPE_HARD});
      return 0;
    };
    const H5_index_t index = (order & H5P_CRT_ORDER_INDEXED) != 0 ? H5_INDEX_CRT_ORDER : H5_INDEX_NAME;
    check_hdf5(H5Literate(group, index, H5_ITER_INC, nullptr, collect, &links), where_, action);
    return links;
  }

  void visit_group(hid_t group, const std::string& path, int depth) {
    const std::string action = fmt::format("list the group \"/{}\"", path);
    H5O_info_t info{};
    check_hdf5(H5Oget_info(group, &info), where_, action);
    if (depth > kDeepestGroup || !visited_.insert(info.addr).second) {
      listing_.unreadable[path] = depth > kDeepestGroup ? "groups nested too deep" : "a second link to a group";
      return;
    }
    for (const Link& link : links_of(group, action))
      visit_link(group, link, path.empty() ? link.name : path + "/" + link.name, depth);
  }

  void visit_link(hid_t group, const Link& link, const std::string& path, int depth) {
    if (!link.hard) {
      listing_.unreadable[path] = "a soft or external link";
      return;
    }
    const Hdf5Id object(H5Oopen(group, link.name.c_str(), H5P_DEFAULT), where_, fmt::format("open \"{}\"", path));
    switch (H5Iget_type(object)) {
      case H5I_GROUP:
        visit_group(object, path, depth + 1);
        break;
      case H5I_DATASET:
        visit_dataset(object, path);
        break;
      default:
        listing_.unreadable[path] = "neither a group nor a dataset";
    }
  }

  static std::string_view problem_with(hid_t space, hid_t creation) {
    const int rank = H5Sget_simple_extent_ndims(space);
    if (H5Sget_simple_extent_type(space) == H5S_NULL) return "without any dataspace";
    if (rank < 0 || rank > kMaxRank) return "of too high a rank";
    if (H5Pget_layout(creation) == H5D_VIRTUAL || H5Pget_external_count(creation) != 0) return "kept in another file";
    return {};
  }

  void visit_dataset(hid_t dataset, const std::string& path) {
    const std::string action = fmt::format("describe the tensor \"{}\"", path);
    const Hdf5Id type(H5Dget_type(dataset), where_, action), space(H5Dget_space(dataset), where_, action);
    const Hdf5Id creation(H5Dget_create_plist(dataset), where_, action);
    const auto known = std::find_if(types_.begin(), types_.end(),
                                    [&](const KnownType& candidate) { return H5Tequal(type, candidate.type) > 0; });
    const std::string_view problem = known == types_.end() ? kOtherType : problem_with(space, creation);
    if (!problem.empty()) {
      listing_.unreadable[path] = problem;
      return;
    }
    ListedTensor tensor;
    tensor.entry.name = path;
    tensor.entry.dtype = known->dtype;
    std::vector<hsize_t> extents(static_cast<std::size_t>(H5Sget_simple_extent_ndims(space)));
    check_hdf5(H5Sget_simple_extent_dims(space, extents.data(), nullptr), where_, action);
    for (hsize_t extent : extents) tensor.entry.shape.push_back(static_cast<std::int64_t>(extent));
    tensor.entry.crc = read_crc(dataset, where_, action);
    const bool empty = std::find(extents.begin(), extents.end(), 0u) != extents.end();
    const bool mappable = !empty && known->little_endian && H5Pget_layout(creation) == H5D_CONTIGUOUS;
    const haddr_t offset = mappable ? H5Dget_offset(dataset) : HADDR_UNDEF;
    tensor.offset = empty ? 0 : offset == HADDR_UNDEF ? ListedTensor::kDecoded : static_cast<std::int64_t>(offset);
    listing_.tensors.push_back(std::move(tensor));
  }

  const std::string& where_;
  std::vector<KnownType> types_;
  Hdf5Listing listing_;
  std::set<haddr_t> visited_;
};

}  // namespace

Hdf5Listing list_hdf5(int descriptor, std::int64_t file_bytes, const std::string& where) {
  // Held across the fork, so that the child finds the library between two calls of another thread.
  const auto lock = lock_hdf5();
  ChildLimits limits;
  limits.reply = std::min(limits.reply, static_cast<std::size_t>(file_bytes) * 16 + (1u << 20));
  const std::string reply = run_in_child(
      where, [&] { return encode(Walk(where).run(descriptor)); }, limits);
  return decode(reply, file_bytes, where);
}

void decode_hdf5(int descriptor, const TensorEntry& entry, std::span<std::byte> destination, const std::string& where) {
  const auto lock = lock_hdf5();
  const auto bytes = static_cast<std::int64_t>(destination.size());
  ChildLimits limits;
  limits.cpu_seconds += static_cast<int>(bytes / 20'000'000);  // inflating runs at 100 MB/s and more
  limits.memory += 4 * bytes;
  run_in_child(
      where,
      [&] {
        const std::string action = fmt::format("decode the tensor \"{}\"", entry.name);
        const Hdf5Id file = open_hdf5(descriptor, where);
        const Hdf5Id dataset(H5Dopen2(file, entry.name.c_str(), H5P_DEFAULT), where, action);
        check_hdf5(H5Dread(dataset, hdf5_type(entry.dtype), H5S_ALL, H5S_ALL, H5P_DEFAULT, destination.data()), where,
                   action);
        return std::string();
      },
      limits);
}

}  // namespace retort

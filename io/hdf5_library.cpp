// io/hdf5_library.cpp -- start-up, error texts and element types of libhdf5.
#include "io/hdf5_library.h"

#include <bit>
#include <cstdint>

#include "tensor/error.h"

namespace retort {
namespace {

constexpr std::string_view kTypes = "libhdf5";

Hdf5Id float_type(std::size_t size, std::size_t exponent_bits, std::size_t mantissa_bits, std::size_t bias) {
  Hdf5Id type(H5Tcopy(H5T_IEEE_F32LE), kTypes, "make a float type");
  // In this order: the fields must fit the size at every moment.
  check_hdf5(H5Tset_fields(type, exponent_bits + mantissa_bits, mantissa_bits, exponent_bits, 0, mantissa_bits), kTypes,
             "place the fields of a float type");
  check_hdf5(H5Tset_size(type, size), kTypes, "size a float type");
  check_hdf5(H5Tset_ebias(type, bias), kTypes, "bias a float type");
  return type;
}

Hdf5Id bool_type() {
  Hdf5Id type(H5Tenum_create(H5T_STD_I8LE), kTypes, "make the bool type");
  const std::int8_t no = 0, yes = 1;
  check_hdf5(H5Tenum_insert(type, "FALSE", &no), kTypes, "name a bool value");
  check_hdf5(H5Tenum_insert(type, "TRUE", &yes), kTypes, "name a bool value");
  return type;
}

void start_library() {
  static_assert(std::endian::native == std::endian::little, "payload is stored as it lies in memory");
  // Objects still open at exit would be flushed by the library's exit handler, in an order nobody chose.
  H5dont_atexit();
  check_hdf5(H5open(), kTypes, "start the library");
  check_hdf5(H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr), kTypes, "silence its error printing");
  check_hdf5(H5PLset_loading_state(0), kTypes, "switch off plugins");
}

/// Keeps the first entry of an upward walk: the place where the error arose.
herr_t keep_innermost(unsigned n, const H5E_error2_t* entry, void* reason) {
  if (n == 0) *static_cast<std::string*>(reason) = fmt::format("{} ({})", entry->desc, entry->func_name);
  return 0;
}

}  // namespace

std::unique_lock<std::mutex> lock_hdf5() {
  static std::mutex mutex;
  std::unique_lock lock(mutex);
  static const bool started = (start_library(), true);
  static_cast<void>(started);
  return lock;
}

void throw_hdf5_error(std::string_view where, std::string_view action) {
  std::string reason = "no reason given";
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, &reason);
  H5Eclear2(H5E_DEFAULT);
  throw IoError("{}: cannot {}; libhdf5: {}", where, action, reason);
}

Hdf5Id hdf5_type(DType dtype) {
  const auto copy = [](hid_t type) { return Hdf5Id(H5Tcopy(type), kTypes, "copy an element type"); };
  switch (dtype) {
    case DType::f64:
      return copy(H5T_IEEE_F64LE);
    case DType::f32:
      return copy(H5T_IEEE_F32LE);
    case DType::f16:
      return float_type(2, 5, 10, 15);
    case DType::bf16:
      return float_type(2, 8, 7, 127);
    case DType::i64:
      return copy(H5T_STD_I64LE);
    case DType::i32:
      return copy(H5T_STD_I32LE);
    case DType::u8:
      return copy(H5T_STD_U8LE);
    case DType::boolean:
      return bool_type();
  }
  throw InternalError("libhdf5: unknown dtype {}", static_cast<int>(dtype));
}

Hdf5Id hdf5_string_type(std::size_t bytes) {
  Hdf5Id type(H5Tcopy(H5T_C_S1), kTypes, "make a string type");
  check_hdf5(H5Tset_size(type, bytes), kTypes, "size a string type");
  check_hdf5(H5Tset_strpad(type, H5T_STR_NULLPAD), kTypes, "pad a string type");
  check_hdf5(H5Tset_cset(type, H5T_CSET_UTF8), kTypes, "encode a string type");
  return type;
}

}  // namespace retort

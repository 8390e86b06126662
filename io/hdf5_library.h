// io/hdf5_library.h -- the door to libhdf5: identifiers that close themselves, errors as IoError, our element types.
#pragma once
// The calls used here exist in libhdf5 1.10 and, under this name, in every later one.
#define H5_USE_110_API
#include <hdf5.h>

#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "tensor/dtype.h"

namespace retort {

/// Starts libhdf5 on the first call (its error printing, exit handler and plugin loading off) and locks it: the library
/// is not safe for threads, so whoever calls it, or lets an Hdf5Id go, holds this lock. (A forked child inherits the
/// lock as its parent held it, and does not take it again.)
std::unique_lock<std::mutex> lock_hdf5();

/// Throws IoError "WHERE: cannot ACTION; libhdf5: REASON" with the innermost entry of the library's error stack.
[[noreturn]] void throw_hdf5_error(std::string_view where, std::string_view action);

/// Passes `status` on when it is not negative, throws as above when it is.
template <class T>
T check_hdf5(T status, std::string_view where, std::string_view action) {
  if (status < 0) throw_hdf5_error(where, action);
  return status;
}

/// Owns one identifier of any kind; closes it when destroyed.
class Hdf5Id {
 public:
  Hdf5Id() = default;
  /// Takes over `id`; throws as `check_hdf5` when it is invalid.
  Hdf5Id(hid_t id, std::string_view where, std::string_view action) : id_(check_hdf5(id, where, action)) {}
  Hdf5Id(Hdf5Id&& other) noexcept : id_(std::exchange(other.id_, -1)) {}
  Hdf5Id& operator=(Hdf5Id&& other) noexcept {
    std::swap(id_, other.id_);
    return *this;
  }
  ~Hdf5Id() {
    if (id_ >= 0) H5Idec_ref(id_);
  }
  operator hid_t() const { return id_; }  // NOLINT: implicit, so that calls of the C library read as such
  hid_t release() { return std::exchange(id_, -1); }

 private:
  hid_t id_ = -1;
};

/// The little-endian file type of a dtype. f16 is IEEE binary16; bf16 a 16-bit HDF5 float of 8 exponent and 7 mantissa
/// bits, which h5py reads as float32; bool the enumeration {FALSE = 0, TRUE = 1} over i8 that h5py reads as numpy's
/// bool.
Hdf5Id hdf5_type(DType dtype);

/// A fixed-length UTF-8 string type of `bytes` bytes (at least 1), padded with zeros.
Hdf5Id hdf5_string_type(std::size_t bytes);

}  // namespace retort

// io/pickle.h -- Python pickles read as inert data: nothing is imported, called or constructed.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace retort {

/// A value's place in its Pickle. Values refer to each other, in cycles too.
using PickleId = std::uint32_t;

struct PickleNone {};
/// str, or bytes and bytearray; the text lies in the pickle's own bytes.
struct PickleText {
  std::string_view text;
  bool is_bytes = false;
};
/// An integer beyond 64 bits: little-endian two's complement.
struct PickleLong {
  std::string_view bytes;
};
/// list, tuple, set or frozenset.
struct PickleList {
  std::vector<PickleId> items;
  bool is_tuple = false;
};
struct PickleDict {
  std::vector<std::pair<PickleId, PickleId>> items;  ///< in order of writing; a key may repeat, the last one counts
};
/// A name that unpickling would import: a class or a function.
struct PickleGlobal {
  std::string_view module, name;
};
/// What Python would get by calling `callable` on `args`: an object of any class, as it was described. `state` is what
/// its __setstate__ or __dict__ would take, `items` and `elements` what was put into it as a dict or list.
struct PickleObject {
  PickleId callable = 0, args = 0;
  std::vector<PickleId> states;
  std::vector<std::pair<PickleId, PickleId>> items;
  std::vector<PickleId> elements;
};
/// A reference to something outside, by `id`: a tensor's storage.
struct PicklePersistent {
  PickleId id = 0;
};
using PickleValue = std::variant<PickleNone, bool, std::int64_t, double, PickleText, PickleLong, PickleList, PickleDict,
                                 PickleGlobal, PickleObject, PicklePersistent>;

struct Pickle {
  std::vector<PickleValue> values;
  PickleId root = 0;
  std::size_t size = 0;  ///< bytes up to and with the final STOP: another pickle may follow

  const PickleValue& operator[](PickleId id) const { return values[id]; }
  /// The value as a T, or null when it is another kind.
  template <class T>
  const T* as(PickleId id) const {
    return std::get_if<T>(&values[id]);
  }
  /// The text of a str or bytes; empty for another kind.
  std::string_view text(PickleId id) const;
  /// Whether the value is that global.
  bool is_global(PickleId id, std::string_view module, std::string_view name) const;
};

/// Reads one pickle of protocol 2 to 5 from the front of `bytes`, which must outlive the result. There is no recursion;
/// memory is at most a constant times the bytes read, and at most 2^24 values. Anything else (other protocols, protocol
/// 0's text opcodes, extension codes, out-of-band buffers, a stack that runs empty, a truncated stream) is an IoError
/// that begins with `where` and names opcode and offset.
Pickle read_pickle(std::span<const std::byte> bytes, const std::string& where);

}  // namespace retort

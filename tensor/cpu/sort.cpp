// tensor/cpu/sort.cpp -- CPU kernels of sort and top_k over unsigned keys that order as the values do: radix sort of
// whole lines, and a selection that looks at each element once.
#include <algorithm>
#include <array>
#include <limits>
#include <type_traits>

#include "tensor/attrs.h"
#include "tensor/cpu/loops.h"
#include "tensor/cpu/scratch.h"
#include "tensor/primitive.h"

namespace retort {

namespace {

template <class T>
using KeyOf = std::conditional_t<sizeof(compute_t<T>) == 8, std::uint64_t, std::uint32_t>;

/// key(a) < key(b) exactly when a < b; NaN lies above everything and -0 at 0.
template <class T>
KeyOf<T> key_of(T value) {
  using K = KeyOf<T>;
  constexpr K kSign = K(1) << (sizeof(K) * 8 - 1);
  if constexpr (is_float(dtype_of<T>)) {
    const auto v = static_cast<compute_t<T>>(value) + compute_t<T>(0);  // turns -0 into 0
    const K bits = std::bit_cast<K>(v);
    const K key = bits & kSign ? ~bits : bits | kSign;
    return v != v ? std::numeric_limits<K>::max() : key;
  } else if constexpr (std::is_signed_v<T>) {
    return static_cast<K>(value) ^ kSign;
  } else {
    return static_cast<K>(value);
  }
}

/// An element of a line in the order asked for: by key, then by place. Descending orders invert the keys, so that equal
/// elements still keep their order.
template <class K>
struct Entry {
  K key;
  K place;
  bool operator<(const Entry& o) const { return key != o.key ? key < o.key : place < o.place; }
};

constexpr std::int64_t kBlock = 256;      ///< keys made at a time
constexpr std::int64_t kRadixFrom = 192;  ///< shorter lines are sorted by comparisons

/// The keys of elements [begin, begin + count) of a line.
template <class T>
void make_keys(const T* x, std::int64_t step, std::int64_t count, bool descending, KeyOf<T>* keys) {
  const KeyOf<T> flip = descending ? std::numeric_limits<KeyOf<T>>::max() : 0;
  if (step == 1)
    for (std::int64_t i = 0; i < count; ++i) keys[i] = key_of(x[i]) ^ flip;
  else
    for (std::int64_t i = 0; i < count; ++i) keys[i] = key_of(x[i * step]) ^ flip;
}

/// Sorts n entries by key, least significant byte first; each pass is stable. Bytes in which all keys agree cost
/// nothing. Returns which of the two arrays holds the result.
template <class K>
Entry<K>* radix_sort(Entry<K>* from, Entry<K>* to, std::int64_t n) {
  constexpr std::size_t kDigits = sizeof(K);
  std::array<std::array<std::uint32_t, 256>, kDigits> count{};
  for (std::int64_t i = 0; i < n; ++i)
    for (std::size_t d = 0; d < kDigits; ++d) ++count[d][from[i].key >> 8 * d & 255];
  for (std::size_t d = 0; d < kDigits; ++d) {
    auto& first = count[d];
    if (first[from[0].key >> 8 * d & 255] == n) continue;
    std::uint32_t total = 0;
    for (std::uint32_t& c : first) {
      const std::uint32_t here = c;
      c = total;
      total += here;
    }
    for (std::int64_t i = 0; i < n; ++i) to[first[from[i].key >> 8 * d & 255]++] = from[i];
    std::swap(from, to);
  }
  return from;
}

/// Where a kernel stands: a line of the input and of both results.
template <class T>
struct Line {
  const T* x;
  std::int64_t sx, n;
  T* values;
  std::int64_t* indices;
  std::int64_t sy, si;

  void write(const Entry<KeyOf<T>>* entries, std::int64_t count) const {
    for (std::int64_t i = 0; i < count; ++i) {
      const auto place = static_cast<std::int64_t>(entries[i].place);
      values[i * sy] = x[place * sx];
      indices[i * si] = place;
    }
  }
};

/// Calls f(line) for every line along the axis, in parallel.
template <class F>
void for_each_sorted_line(const KernelCall& call, const F& f) {
  const int axis = call.attrs.as<SortAttrs>().axis;
  const Tensor &x = call.in[0], &values = call.out[0], &indices = call.out[1];
  if (values.numel() == 0) return;
  std::int64_t* pi = indices.mutable_data<std::int64_t>();
  visit_any(x.dtype(), [&]<class T>(T) {
    Line<T> line{nullptr, x.strides()[axis],      x.shape()[axis],        nullptr,
                 nullptr, values.strides()[axis], indices.strides()[axis]};
    const T* px = x.data<T>();
    T* pv = values.mutable_data<T>();
    // Lines are counted by the input's length: that is where the work is.
    cpu::for_each_line<3>({x.layout(), values.layout(), indices.layout()}, axis, [&](const auto& at) {
      Line<T> here = line;
      here.x = px + at[0];
      here.values = pv + at[1];
      here.indices = pi + at[2];
      f(here);
    });
  });
}

/// The k first entries of a line, in no order: candidates gather in a buffer, and once it is full only the best k stay.
/// From then on an element whose key is not below the worst of them cannot enter, and whole blocks are passed over.
template <class T>
std::int64_t select_first(const Line<T>& line, std::int64_t k, bool descending, Entry<KeyOf<T>>* buffer,
                          std::int64_t capacity) {
  using K = KeyOf<T>;
  std::array<K, kBlock> keys;
  std::int64_t held = 0;
  K bound = 0;
  bool bounded = false;
  for (std::int64_t begin = 0; begin < line.n; begin += kBlock) {
    const std::int64_t count = std::min(kBlock, line.n - begin);
    make_keys(line.x + begin * line.sx, line.sx, count, descending, keys.data());
    if (bounded) {
      int any = 0;
      for (std::int64_t i = 0; i < count; ++i) any |= keys[static_cast<std::size_t>(i)] < bound;
      if (!any) continue;
    }
    for (std::int64_t i = 0; i < count; ++i) {
      const K key = keys[static_cast<std::size_t>(i)];
      if (bounded && key >= bound) continue;
      buffer[held++] = {key, static_cast<K>(begin + i)};
      if (held < capacity) continue;
      std::nth_element(buffer, buffer + k - 1, buffer + held);
      bound = buffer[k - 1].key;
      bounded = true;
      held = k;
    }
  }
  return held;
}

}  // namespace

RETORT_CPU_KERNEL(sort) {
  const bool descending = call.attrs.as<SortAttrs>().descending;
  for_each_sorted_line(call, [&]<class T>(const Line<T>& line) {
    using K = KeyOf<T>;
    const cpu::Scratch<Entry<K>> entries(line.n), spare(line.n);
    std::array<K, kBlock> keys;
    for (std::int64_t begin = 0; begin < line.n; begin += kBlock) {
      const std::int64_t count = std::min(kBlock, line.n - begin);
      make_keys(line.x + begin * line.sx, line.sx, count, descending, keys.data());
      for (std::int64_t i = 0; i < count; ++i)
        entries[begin + i] = {keys[static_cast<std::size_t>(i)], static_cast<K>(begin + i)};
    }
    if (line.n > kRadixFrom) {
      line.write(radix_sort(entries.data(), spare.data(), line.n), line.n);
    } else {
      std::sort(entries.data(), entries.data() + line.n);
      line.write(entries.data(), line.n);
    }
  });
}

RETORT_CPU_KERNEL(top_k) {
  const auto& attrs = call.attrs.as<SortAttrs>();
  const std::int64_t k = attrs.count;
  for_each_sorted_line(call, [&]<class T>(const Line<T>& line) {
    // Room for several times k, so that a selection over the buffer is paid for by what was let in.
    const std::int64_t capacity = std::min(line.n, std::max<std::int64_t>(4 * k, 512)) + 1;
    const cpu::Scratch<Entry<KeyOf<T>>> buffer(capacity);
    const std::int64_t held = select_first(line, k, attrs.descending, buffer.data(), capacity);
    std::nth_element(buffer.data(), buffer.data() + k - 1, buffer.data() + held);
    std::sort(buffer.data(), buffer.data() + k);
    line.write(buffer.data(), k);
  });
}

}  // namespace retort

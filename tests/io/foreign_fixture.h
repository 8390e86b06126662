// tests/io/foreign_fixture.h -- the files that tests/fixtures/formats.py wrote, and the values they hold.
#pragma once
#include <doctest/doctest.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "io/tensor_file.h"
#include "retort_paths.h"
#include "tensor/error.h"
#include "tests/io/test_files.h"

namespace retort::test {

inline std::string fixture_path(const std::string& name) {
  return (std::filesystem::path(RETORT_SOURCE_ROOT) / "tests/fixtures/formats" / name).string();
}

/// `value` of formats.py: element i of a tensor of that seed, as a double.
inline double fixture_value(std::int64_t i, int seed, DType dtype) {
  const auto steps = static_cast<double>((37 * i + 11 * seed) % 101);
  if (dtype == DType::boolean) return static_cast<std::int64_t>(steps) % 2;
  if (dtype == DType::u8) return steps;
  return is_float(dtype) ? (steps - 50) / 8 : steps - 50;
}

/// A tensor's elements, each as a double.
inline std::vector<double> values_of(const TensorFile& file, const std::string& name) {
  const FileTensor* tensor = file.find(name);
  REQUIRE_MESSAGE(tensor != nullptr, name);
  const std::vector<std::byte> bytes = file.bytes(*tensor);
  std::vector<double> values(static_cast<std::size_t>(tensor->shape.product()));
  visit_any(tensor->dtype, [&](auto zero) {
    using T = decltype(zero);
    REQUIRE(bytes.size() == values.size() * sizeof(T));
    for (std::size_t i = 0; i < values.size(); ++i) {
      T element;
      std::memcpy(&element, bytes.data() + i * sizeof(T), sizeof(T));
      values[i] = static_cast<double>(element);
    }
  });
  return values;
}

/// Whether the tensor is `value(shape, dtype, seed)`.
inline bool is_fixture(const TensorFile& file, const std::string& name, DType dtype, const Shape& shape, int seed) {
  const FileTensor* tensor = file.find(name);
  if (tensor == nullptr || tensor->dtype != dtype || !(tensor->shape == shape)) return false;
  const std::vector<double> values = values_of(file, name);
  for (std::size_t i = 0; i < values.size(); ++i)
    if (values[i] != fixture_value(static_cast<std::int64_t>(i), seed, dtype)) return false;
  return true;
}

inline Bytes bytes_from(const std::string& text) { return {text.begin(), text.end()}; }

/// The text of the IoError that opening a file of that content throws, "" when it throws none.
inline std::string refusal_of(const TemporaryFolder& folder, const std::string& content) {
  const std::string path = folder.file("refused");
  write_bytes(path, bytes_from(content));
  try {
    open_tensor_file(path);
  } catch (const IoError& error) {
    const std::string text = error.what();
    CHECK_MESSAGE(text.find(path) != std::string::npos, text);
    return text;
  }
  return {};
}

}  // namespace retort::test

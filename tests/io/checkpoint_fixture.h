// tests/io/checkpoint_fixture.h -- a small checkpoint with every dtype and kind of name, and what it must read back as.
#pragma once
#include <doctest/doctest.h>

#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "io/checkpoint.h"
#include "io/file.h"
#include "tensor/error.h"
#include "tests/io/test_files.h"

namespace retort::test {

struct SampleRecord {
  std::string name;
  DType dtype;
  Shape shape;
  std::vector<std::byte> payload;
};

/// Records of every dtype: scalars, empty tensors, odd lengths, nested groups; more than fit one compact group.
inline std::vector<SampleRecord> sample_records() {
  std::mt19937_64 random(11);
  std::vector<SampleRecord> records;
  const auto add = [&](const std::string& name, DType dtype, const Shape& shape) {
    std::vector<std::byte> payload(static_cast<std::size_t>(shape.product() * size_of(dtype)));
    for (std::byte& b : payload) b = static_cast<std::byte>(random() & (dtype == DType::boolean ? 1u : 0xffu));
    records.push_back({name, dtype, shape, std::move(payload)});
  };
  for (int i = 0; i < kDTypes; ++i) {
    const auto dtype = static_cast<DType>(i);
    add("layer10." + std::string(name_of(dtype)) + ".weight", dtype, {3, 5, 7});
    add("layer2." + std::string(name_of(dtype)) + ".scalar", dtype, {});
  }
  add("empty", DType::f32, {4, 0, 2});
  add("adam/m/layer1.weight", DType::f32, {17});
  add("adam/v/layer1.weight", DType::f32, {17});
  add("adam/step", DType::i64, {});
  add("rank8", DType::u8, {1, 2, 1, 2, 1, 2, 1, 2});
  add("large", DType::f32, {100, 101});
  return records;
}

inline Attributes sample_attributes() {
  return {{"kind", "student"},
          {"step", std::int64_t{-1234567890123}},
          {"loss", 0.1},
          {"empty", ""},
          {"config", std::string(100'000, 'y') + "\n\xc3\xa9"}};
}

inline void write_sample(const std::filesystem::path& path, const Attributes& attributes = sample_attributes()) {
  CheckpointWriter writer(path);
  for (const auto& [name, value] : attributes) writer.attribute(name, value);
  for (const SampleRecord& r : sample_records()) writer.add(r.name, r.dtype, r.shape, r.payload);
  writer.commit();
}

/// Whether the file reads back as exactly what `write_sample` wrote. Damage surfaces as IoError.
inline bool reads_as_sample(const std::filesystem::path& path, const Attributes& attributes = sample_attributes()) {
  const CheckpointReader reader(path);
  const std::vector<SampleRecord> records = sample_records();
  bool same = reader.attributes() == attributes && reader.entries().size() == records.size();
  for (std::size_t i = 0; same && i < records.size(); ++i) {
    const TensorEntry& entry = reader.entries()[i];
    const auto payload = reader.bytes(records[i].name);
    same = entry.name == records[i].name && entry.dtype == records[i].dtype && entry.shape == records[i].shape &&
           std::equal(payload.begin(), payload.end(), records[i].payload.begin(), records[i].payload.end());
  }
  return same;
}

/// The text of the error that `action` throws; "" when it throws none. Another type of error passes through.
template <class E, class F>
std::string error_text(F&& action) {
  try {
    action();
  } catch (const E& error) {
    return error.what();
  }
  return {};
}

inline bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace retort::test

// tests/io/foreign_hdf5_test.cpp -- HDF5 files of other programs: what is read, what is refused, and damage to them.
#include <array>
#include <functional>

#include "io/hdf5_library.h"
#include "tests/io/checkpoint_fixture.h"

using namespace retort;
using namespace retort::test;

namespace {

constexpr std::array<float, 6> kValues = {1.5f, -2.0f, 0.0f, 3.25f, 1e-3f, 7.0f};
constexpr std::array<hsize_t, 2> kExtents = {2, 3};

hid_t valid(hid_t id) {
  REQUIRE(id >= 0);
  return id;
}

void put(hid_t file, const char* name, hid_t type, hid_t creation, bool write = true) {
  const hid_t space = valid(H5Screate_simple(2, kExtents.data(), nullptr));
  const hid_t dataset = valid(H5Dcreate2(file, name, type, space, H5P_DEFAULT, creation, H5P_DEFAULT));
  if (write) REQUIRE(H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, kValues.data()) >= 0);
  H5Dclose(dataset);
  H5Sclose(space);
}

void put_layouts(hid_t file) {
  put(file, "plain", H5T_IEEE_F32LE, H5P_DEFAULT);
  put(file, "big_endian", H5T_IEEE_F64BE, H5P_DEFAULT);
  put(file, "unwritten", H5T_IEEE_F32LE, H5P_DEFAULT, false);
  const hid_t creation = valid(H5Pcreate(H5P_DATASET_CREATE));
  const std::array<hsize_t, 2> chunk = {1, 2};
  H5Pset_chunk(creation, 2, chunk.data());
  H5Pset_shuffle(creation);
  H5Pset_deflate(creation, 6);
  put(file, "deflated", H5T_IEEE_F32LE, creation);
  H5Pset_layout(creation, H5D_COMPACT);
  H5Pclose(creation);
  const hid_t compact = valid(H5Pcreate(H5P_DATASET_CREATE));
  H5Pset_layout(compact, H5D_COMPACT);
  put(file, "compact", H5T_IEEE_F32LE, compact);
  H5Pclose(compact);
}

void put_unreadable(hid_t file) {
  put(file, "i8", H5T_STD_I8LE, H5P_DEFAULT);
  H5Lcreate_soft("/plain", file, "soft", H5P_DEFAULT, H5P_DEFAULT);
  H5Lcreate_external("/etc/passwd", "/x", file, "elsewhere", H5P_DEFAULT, H5P_DEFAULT);
  const hid_t creation = valid(H5Pcreate(H5P_DATASET_CREATE));
  H5Pset_external(creation, "/etc/passwd", 0, 24);
  put(file, "outside", H5T_IEEE_F32LE, creation, false);
  H5Pclose(creation);
  const hid_t group = valid(H5Gcreate2(file, "group", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  H5Lcreate_hard(file, "/", group, "cycle", H5P_DEFAULT, H5P_DEFAULT);
  H5Gclose(group);
}

void put_text_attribute(hid_t file) {
  const hid_t type = valid(H5Tcopy(H5T_C_S1)), space = valid(H5Screate(H5S_SCALAR));
  H5Tset_size(type, H5T_VARIABLE);
  const hid_t attribute = valid(H5Acreate2(file, "backend", type, space, H5P_DEFAULT, H5P_DEFAULT));
  const char* text = "tensorflow";
  H5Awrite(attribute, type, &text);
  H5Aclose(attribute);
  H5Sclose(space);
  H5Tclose(type);
}

/// A file with libhdf5's default (oldest) format: no checksums on its metadata.
void write_foreign(const std::string& path, const std::function<void(hid_t)>& fill) {
  const auto lock = lock_hdf5();
  const hid_t file = valid(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT));
  fill(file);
  H5Fclose(file);
}

std::vector<float> floats(const CheckpointReader& reader, std::string_view name) {
  const auto bytes = reader.bytes(name);
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

}  // namespace

TEST_CASE("io: contiguous, compressed, compact and big-endian datasets of other programs are read") {
  const TemporaryFolder folder;
  const std::string path = folder.file("foreign.h5");
  write_foreign(path, [](hid_t file) {
    put_layouts(file);
    put_text_attribute(file);
  });
  const CheckpointReader reader(path);
  CHECK(reader.entries().size() == 5);
  CHECK(reader.unreadable().empty());
  const std::vector<float> expected(kValues.begin(), kValues.end());
  for (const char* name : {"plain", "deflated", "compact"}) {
    REQUIRE(reader.find(name) != nullptr);
    CHECK(reader.find(name)->shape == Shape{2, 3});
    CHECK_FALSE(reader.find(name)->crc.has_value());
    CHECK(floats(reader, name) == expected);
    CHECK(reader.bytes(name).data() == reader.bytes(name).data());
  }
  // In pieces, from a reader that has not loaded them.
  const CheckpointReader fresh(path);
  for (const TensorEntry& entry : reader.entries()) {
    std::vector<std::byte> pieces;
    fresh.stream(entry.name, [&](std::span<const std::byte> p) { pieces.insert(pieces.end(), p.begin(), p.end()); });
    const auto whole = reader.bytes(entry.name);
    CHECK(std::equal(pieces.begin(), pieces.end(), whole.begin(), whole.end()));
  }
  CHECK(floats(reader, "unwritten") == std::vector<float>(6));
  CHECK(reader.find("big_endian")->dtype == DType::f64);
  const auto wide = reader.bytes("big_endian");
  for (std::size_t i = 0; i < 6; ++i) {
    double value = 0;
    std::memcpy(&value, wide.data() + 8 * i, sizeof value);
    CHECK(value == static_cast<double>(kValues[i]));
  }
  CHECK(std::get<std::string>(reader.attribute("backend").value()) == "tensorflow");
}

TEST_CASE("io: what cannot be read in a foreign file is listed with its reason") {
  const TemporaryFolder folder;
  const std::string path = folder.file("foreign.h5");
  write_foreign(path, [](hid_t file) {
    put(file, "plain", H5T_IEEE_F32LE, H5P_DEFAULT);
    put_unreadable(file);
  });
  const CheckpointReader reader(path);
  CHECK(reader.entries().size() == 1);
  const auto reason = [&](const char* name) { return error_text<IoError>([&] { reader.bytes(name); }); };
  CHECK(contains(reason("i8"), "element type"));
  CHECK(contains(reason("soft"), "link"));
  CHECK(contains(reason("elsewhere"), "link"));
  CHECK(contains(reason("outside"), "another file"));
  CHECK(contains(reason("group/cycle"), "second link"));
  CHECK(reader.unreadable().size() == 5);
}

TEST_CASE("io: a small file that claims a huge tensor is refused before memory is taken") {
  const TemporaryFolder folder;
  const std::string path = folder.file("bomb.h5");
  write_foreign(path, [](hid_t file) {
    const std::array<hsize_t, 2> extents = {1 << 20, 1 << 20}, chunk = {1, 16};
    const hid_t creation = valid(H5Pcreate(H5P_DATASET_CREATE)),
                space = valid(H5Screate_simple(2, extents.data(), nullptr));
    H5Pset_chunk(creation, 2, chunk.data());
    H5Dclose(valid(H5Dcreate2(file, "bomb", H5T_IEEE_F32LE, space, H5P_DEFAULT, creation, H5P_DEFAULT)));
    H5Sclose(space);
    H5Pclose(creation);
  });
  const std::string text = error_text<IoError>([&] { CheckpointReader reader(path); });
  CHECK_MESSAGE(contains(text, "\"bomb\" claims more than the file can hold"), text);
  CHECK(contains(text, path));
}

TEST_CASE("io: mutated foreign files never crash or hang this process") {
  const TemporaryFolder folder;
  const std::string path = folder.file("foreign.h5"), hurt = folder.file("damaged.h5");
  write_foreign(path, [](hid_t file) {
    put_layouts(file);
    put_unreadable(file);
    put_text_attribute(file);
  });
  const std::string sound = read_file(path);
  std::mt19937_64 random(99);
  const int count = rounds(150, 10'000);
  int refused = 0;
  for (int i = 0; i < count; ++i) {
    write_bytes(hurt, damaged({sound.begin(), sound.end()}, random));
    const std::string text = error_text<IoError>([&] {
      const CheckpointReader reader(hurt);
      for (const TensorEntry& entry : reader.entries()) {
        const auto payload = reader.bytes(entry.name);
        CHECK(std::ssize(payload) == entry.bytes);
      }
    });
    refused += !text.empty();
    if (!text.empty()) CHECK_MESSAGE(contains(text, hurt), text);
  }
  MESSAGE(count, " mutations of a foreign file: ", refused, " refused");
  CHECK(refused > count / 4);
}

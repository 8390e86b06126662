// tests/io/checkpoint_test.cpp -- checkpoints come back bit for bit, are reproducible, and refuse bad arguments.
#include "io/checkpoint.h"

#include <array>
#include <thread>

#include "io/child_process.h"
#include "io/crc32c.h"
#include "io/hdf5_library.h"
#include "tests/io/checkpoint_fixture.h"

using namespace retort;
using namespace retort::test;
namespace fs = std::filesystem;

TEST_CASE("io: a checkpoint comes back bit for bit, in the order of writing") {
  const TemporaryFolder folder;
  const fs::path path = folder.file("model.h5");
  write_sample(path);
  CHECK(reads_as_sample(path));
  CHECK_FALSE(fs::exists(path.string() + ".tmp"));

  const CheckpointReader reader(path);
  CHECK(reader.unreadable().empty());
  for (const SampleRecord& record : sample_records()) {
    const TensorEntry* entry = reader.find(record.name);
    REQUIRE(entry != nullptr);
    CHECK(entry->bytes == static_cast<std::int64_t>(record.payload.size()));
    CHECK(entry->crc == crc32c(record.payload));
    const auto payload = reader.bytes(record.name);
    if (!payload.empty()) CHECK(reinterpret_cast<std::uintptr_t>(payload.data()) % 64 == 0);
  }
  CHECK(reader.find("layer10") == nullptr);
  CHECK(reader.find("adam") == nullptr);
  CHECK(std::get<std::int64_t>(reader.attribute("step").value()) == -1234567890123);
  CHECK_FALSE(reader.attribute("nothing").has_value());
  const std::string text = error_text<IoError>([&] { reader.bytes("no.such"); });
  CHECK(contains(text, "no.such"));
  CHECK(contains(text, path.string()));
}

TEST_CASE("io: equal input gives checkpoints of equal bytes") {
  const TemporaryFolder folder;
  write_sample(folder.file("a.h5"));
  write_sample(folder.file("b.h5"));
  const std::string a = read_file(folder.file("a.h5"));
  CHECK(a == read_file(folder.file("b.h5")));
  std::size_t payload = 0;
  for (const SampleRecord& record : sample_records()) payload += record.payload.size();
  CHECK(a.size() > payload);
  CHECK(a.size() < payload + 140'000);  // the long attribute and the structure
}

TEST_CASE("io: an empty checkpoint and one of many tensors read back") {
  const TemporaryFolder folder;
  CheckpointWriter(folder.file("none.h5")).commit();
  CHECK(CheckpointReader(folder.file("none.h5")).entries().empty());

  CheckpointWriter writer(folder.file("many.h5"));
  for (std::int32_t i = 0; i < 600; ++i)
    writer.add(fmt::format("block{}.weight", i), DType::i32, {1}, std::as_bytes(std::span(&i, 1)));
  writer.commit();
  const CheckpointReader reader(folder.file("many.h5"));
  REQUIRE(reader.entries().size() == 600);
  for (std::int32_t i = 0; i < 600; ++i) {
    CHECK(reader.entries()[static_cast<std::size_t>(i)].name == fmt::format("block{}.weight", i));
    CHECK(*reinterpret_cast<const std::int32_t*>(reader.bytes(fmt::format("block{}.weight", i)).data()) == i);
  }
}

TEST_CASE("io: a checkpoint that is not committed leaves the old one") {
  const TemporaryFolder folder;
  const fs::path path = folder.file("model.h5");
  write_sample(path);
  const std::string before = read_file(path);
  {
    CheckpointWriter writer(path);
    const std::vector<std::byte> zeros(4000);
    writer.add("other", DType::f32, {1000}, zeros);
  }
  CHECK(read_file(path) == before);
  CHECK_FALSE(fs::exists(path.string() + ".tmp"));
}

TEST_CASE("io: the checkpoint writer refuses bad arguments and stays usable") {
  const TemporaryFolder folder;
  const fs::path path = folder.file("model.h5");
  const std::vector<std::byte> four(4), eight(8);
  CheckpointWriter writer(path);
  writer.add("a/b", DType::f32, {1}, four);
  for (const char* name : {"", "/", "a/", "/a", "a//c", "a/./c", "..", "a/b/c", "a", "a/b"})
    CHECK_THROWS_AS(writer.add(name, DType::f32, {1}, four), ValueError);
  CHECK_THROWS_AS(writer.add(std::string("x\0y", 3), DType::f32, {1}, four), ValueError);
  CHECK(contains(error_text<ShapeError>([&] { writer.add("c", DType::f32, {1}, eight); }), "\"c\""));
  writer.attribute("one", 1);
  CHECK_THROWS_AS(writer.attribute("one", 2), ValueError);
  CHECK_THROWS_AS(writer.attribute("", 2), ValueError);
  CHECK_THROWS_AS(writer.attribute("zero", std::string("x\0y", 3)), ValueError);
  writer.add("c", DType::f64, {1}, eight);
  writer.commit();
  CHECK_THROWS_AS(writer.add("d", DType::f32, {1}, four), ValueError);
  CHECK_THROWS_AS(writer.commit(), ValueError);
  const CheckpointReader reader(path);
  CHECK(reader.entries().size() == 2);
  CHECK(std::get<std::int64_t>(reader.attribute("one").value()) == 1);
}

TEST_CASE("io: checkpoint paths that cannot be opened are named") {
  const TemporaryFolder folder;
  const fs::path missing = folder.file("no/model.h5");
  CHECK(contains(error_text<IoError>([&] { CheckpointWriter writer(missing); }), missing.string()));
  const std::string text = error_text<IoError>([&] { CheckpointReader reader(missing); });
  CHECK(contains(text, missing.string()));
  CHECK(contains(text, "No such file"));
  CHECK(contains(error_text<IoError>([&] { CheckpointReader reader(folder.path()); }), folder.path()));
}

TEST_CASE("io: libhdf5 itself reads a checkpoint's values, 16-bit floats and bools among them, and no time stamps") {
  const TemporaryFolder folder;
  const std::string path = folder.file("model.h5");
  const std::array<BFloat16, 3> wide = {BFloat16(1.0f), BFloat16(-3.140625f), BFloat16(1e38f)};
  const std::array<Half, 3> half = {Half(1.0f), Half(-2.5f), Half(65504.0f)};
  const std::array<bool, 3> flags = {true, false, true};
  CheckpointWriter writer(path);
  writer.add("group/bf16", DType::bf16, {3}, std::as_bytes(std::span(wide)));
  writer.add("group/f16", DType::f16, {3}, std::as_bytes(std::span(half)));
  writer.add("group/bool", DType::boolean, {3}, std::as_bytes(std::span(flags)));
  writer.commit();

  const auto lock = lock_hdf5();
  const Hdf5Id file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), "test", "open");
  const auto read = [&](const char* name, hid_t type, void* out) {
    const Hdf5Id dataset(H5Dopen2(file, name, H5P_DEFAULT), "test", "open");
    check_hdf5(H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, out), "test", "read");
  };
  std::array<float, 3> values{};
  read("group/bf16", H5T_NATIVE_FLOAT, values.data());
  CHECK(values == std::array<float, 3>{1.0f, -3.140625f, static_cast<float>(wide[2])});
  read("group/f16", H5T_NATIVE_FLOAT, values.data());
  CHECK(values == std::array<float, 3>{1.0f, -2.5f, 65504.0f});
  std::array<std::int8_t, 3> bits{};
  read("group/bool", hdf5_type(DType::boolean), bits.data());
  CHECK(bits == std::array<std::int8_t, 3>{1, 0, 1});
  for (const char* name : {"/", "group", "group/bf16"}) {
    const Hdf5Id object(H5Oopen(file, name, H5P_DEFAULT), "test", "open");
    H5O_info_t info{};
    check_hdf5(H5Oget_info(object, &info), "test", "describe");
    CHECK(info.ctime + info.mtime + info.atime + info.btime == 0);
  }
}

// See run_in_child: AddressSanitizer's allocator may hang in a fork beside other threads.
TEST_CASE("io: threads write and read checkpoints of their own at the same time" * doctest::skip(kAddressSanitizer)) {
  const TemporaryFolder folder;
  std::array<bool, 4> same{};
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < same.size(); ++i)
    threads.emplace_back([&, i] {
      const std::string path = folder.file(fmt::format("{}.h5", i));
      const std::string text = error_text<Error>([&] {
        write_sample(path);
        same[i] = reads_as_sample(path);
      });
      same[i] = same[i] && text.empty();
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(same == std::array<bool, 4>{true, true, true, true});
}

// tests/io/idx_test.cpp -- IDX arrays: exact values, every header check by name and offset, damage, real data.
#include "io/idx.h"

#include <doctest/doctest.h>
#include <zlib.h>

#include <algorithm>
#include <array>

#include "io/byte_reader.h"
#include "tensor/error.h"
#include "tests/io/test_files.h"

using namespace retort;
using retort::test::Bytes;
using retort::test::TemporaryFolder;
using retort::test::write_bytes;

namespace {

Bytes idx_bytes(std::uint8_t type, std::initializer_list<std::uint32_t> extents, const Bytes& payload) {
  Bytes b = {0, 0, type, static_cast<std::uint8_t>(extents.size())};
  for (const std::uint32_t e : extents)
    for (const int shift : {24, 16, 8, 0}) b.push_back(static_cast<std::uint8_t>(e >> shift));
  b.insert(b.end(), payload.begin(), payload.end());
  return b;
}

void write_gzip(const std::string& path, const Bytes& bytes, const char* mode = "wb") {
  gzFile f = gzopen(path.c_str(), mode);
  REQUIRE(f != nullptr);
  if (!bytes.empty()) REQUIRE(gzwrite(f, bytes.data(), static_cast<unsigned>(bytes.size())) > 0);
  REQUIRE(gzclose(f) == Z_OK);
}

/// The message of the IoError that reading throws; empty when it reads.
std::string refusal(const std::string& path, std::uint64_t max_bytes = kMaxIdxBytes) {
  try {
    read_idx(path, max_bytes);
  } catch (const IoError& e) {
    return e.what();
  }
  return {};
}

std::string refusal_of(const Bytes& bytes) {
  const TemporaryFolder folder;
  write_bytes(folder.file("a.idx"), bytes);
  const std::string message = refusal(folder.file("a.idx"));
  if (!message.empty()) CHECK(message.find("a.idx") != std::string::npos);
  return message;
}

template <class T>
std::vector<T> values(const IdxArray& a) {
  REQUIRE(a.dtype == dtype_of<T>);
  std::vector<T> v(static_cast<std::size_t>(a.shape.product()));
  REQUIRE(a.bytes.size() == v.size() * sizeof(T));
  std::memcpy(v.data(), a.bytes.data(), a.bytes.size());
  return v;
}

std::string fashion_mnist(const std::string& name) { return "/usr/share/datasets/fashion-mnist/" + name; }

}  // namespace

TEST_CASE("io/idx: every element type is read in the machine's byte order") {
  const TemporaryFolder folder;
  const std::string path = folder.file("a.idx");
  write_bytes(path, idx_bytes(0x08, {2, 3}, {1, 2, 3, 4, 5, 255}));
  CHECK(read_idx(path).shape == Shape{2, 3});
  CHECK(values<std::uint8_t>(read_idx(path)) == Bytes{1, 2, 3, 4, 5, 255});
  write_bytes(path, idx_bytes(0x0c, {2}, {0x01, 0x02, 0x03, 0x04, 0xff, 0xff, 0xff, 0xfe}));
  CHECK(values<std::int32_t>(read_idx(path)) == std::vector<std::int32_t>{0x01020304, -2});
  write_bytes(path, idx_bytes(0x0d, {1, 1}, {0x3f, 0xc0, 0x00, 0x00}));
  CHECK(values<float>(read_idx(path)) == std::vector<float>{1.5f});
  write_bytes(path, idx_bytes(0x0e, {1}, {0xc0, 0x04, 0, 0, 0, 0, 0, 0}));
  CHECK(values<double>(read_idx(path)) == std::vector<double>{-2.5});
  write_bytes(path, idx_bytes(0x08, {0, 28, 28}, {}));
  CHECK(read_idx(path).shape == Shape{0, 28, 28});
}

TEST_CASE("io/idx: gzip files, also of several members, read as the plain file does") {
  const TemporaryFolder folder;
  Bytes payload(300000);
  for (std::size_t i = 0; i < payload.size(); ++i) payload[i] = static_cast<std::uint8_t>(i * i >> 7);
  const Bytes file = idx_bytes(0x08, {300, 1000}, payload);
  write_gzip(folder.file("a.gz"), file);
  CHECK(read_idx(folder.file("a.gz")).bytes == payload);
  write_gzip(folder.file("b.gz"), Bytes(file.begin(), file.begin() + 9));
  write_gzip(folder.file("b.gz"), Bytes(file.begin() + 9, file.end()), "ab");
  CHECK(read_idx(folder.file("b.gz")).bytes == payload);
}

TEST_CASE("io/idx: a damaged header is refused with its field and offset") {
  const Bytes six(6, 7);
  CHECK(refusal_of({}).find("magic at offset 0 is truncated; got 0 of 4 bytes") != std::string::npos);
  CHECK(refusal_of({1, 2, 8, 1}).find("magic at offset 0 is not an IDX file's; got 01 02") != std::string::npos);
  CHECK(refusal_of(idx_bytes(0x0b, {3}, six)).find("element type at offset 2 is not supported; got 0x0b") !=
        std::string::npos);
  CHECK(refusal_of(idx_bytes(0x08, {}, {})).find("rank at offset 3 is out of range; got 0") != std::string::npos);
  CHECK(refusal_of(idx_bytes(0x08, {1, 1, 1, 1, 1, 1, 1, 1, 6}, six)).find("got 9, wanted 1 to 8") !=
        std::string::npos);
  CHECK(refusal_of({0, 0, 8, 2, 0, 0, 0, 3, 0}).find("extent 1 at offset 8 is truncated; got 1 of 4 bytes") !=
        std::string::npos);
  CHECK(refusal_of(idx_bytes(0x08, {2, 4}, six)).find("payload at offset 12 is truncated") != std::string::npos);
  CHECK(refusal_of(idx_bytes(0x08, {5}, six)).find("bytes after the payload at offset 13; got 1 more") !=
        std::string::npos);
}

TEST_CASE("io/idx: extents whose product overflows are refused, also beside an extent of 0") {
  const std::uint32_t huge = 0xffffffffu;
  CHECK(refusal_of(idx_bytes(0x08, {huge, huge, huge, huge}, {1})).find("extent 1 at offset 8 makes the payload") !=
        std::string::npos);
  CHECK(refusal_of(idx_bytes(0x08, {0, huge, huge, huge}, {})).find("extent 2 at offset 12 makes the payload") !=
        std::string::npos);
  CHECK(refusal_of(idx_bytes(0x08, {huge}, {1})).find("needs 4294967295 bytes") != std::string::npos);
  const TemporaryFolder folder;
  write_bytes(folder.file("a.idx"), idx_bytes(0x0e, {2}, Bytes(16)));
  CHECK(refusal(folder.file("a.idx"), 15).find("larger than 15 bytes") != std::string::npos);
  CHECK(refusal(folder.file("a.idx"), 16).empty());
}

TEST_CASE("io/idx: damage to a gzip stream is refused") {
  const TemporaryFolder folder;
  const std::string path = folder.file("a.gz");
  const auto store_then = [&](const Bytes& file, auto&& change) {
    write_gzip(path, file);
    Bytes compressed = read_bytes(path, 1 << 20);
    change(compressed);
    write_bytes(path, compressed);
    return refusal(path);
  };
  const Bytes good = idx_bytes(0x08, {6}, {1, 2, 3, 4, 5, 6});
  CHECK(store_then(good, [](Bytes&) {}).empty());
  CHECK(store_then(good, [](Bytes& b) { b.pop_back(); }).find("truncated") != std::string::npos);
  CHECK(store_then(good, [](Bytes& b) { b.resize(12); }).find("truncated") != std::string::npos);
  CHECK(store_then(good, [](Bytes& b) { b[b.size() - 8] ^= 1; }).find("incorrect data check") != std::string::npos);
  CHECK(store_then(good, [](Bytes& b) { b[b.size() - 4] ^= 1; }).find("incorrect length check") != std::string::npos);
  CHECK(store_then(good, [](Bytes& b) { b.insert(b.end(), 9, 0); }).find("incorrect header check") !=
        std::string::npos);
  CHECK(store_then(idx_bytes(0x08, {7}, {1, 2, 3, 4, 5, 6}), [](Bytes&) {}).find("payload is truncated") !=
        std::string::npos);
  CHECK(store_then(idx_bytes(0x08, {5}, {1, 2, 3, 4, 5, 6}), [](Bytes&) {}).find("bytes after the payload at") !=
        std::string::npos);
  CHECK(store_then(idx_bytes(0x08, {1000, 1000}, {1}), [](Bytes&) {}).find("cannot hold") != std::string::npos);
}

TEST_CASE("io/idx: what is not a readable regular file is refused") {
  const TemporaryFolder folder;
  CHECK(refusal(folder.file("missing")).find("missing: cannot examine") != std::string::npos);
  CHECK(refusal(folder.path()).find("not a regular file") != std::string::npos);
  CHECK(refusal("/dev/zero").find("not a regular file") != std::string::npos);
}

TEST_CASE("io/idx: seeded damage gives IoError or a consistent array") {
  const TemporaryFolder folder;
  std::mt19937_64 rng(11);
  Bytes payload(400);
  for (std::uint8_t& b : payload) b = static_cast<std::uint8_t>(rng());
  const Bytes plain = idx_bytes(0x0d, {4, 25}, payload);
  write_gzip(folder.file("good.gz"), plain);
  const Bytes gzip = read_bytes(folder.file("good.gz"), 1 << 20);
  int refused = 0;
  const int n = test::rounds(200, 20000);
  for (int i = 0; i < n; ++i) {
    write_bytes(folder.file("bad"), test::damaged(i % 2 == 0 ? plain : gzip, rng));
    try {
      const IdxArray a = read_idx(folder.file("bad"));
      CHECK(a.bytes.size() == static_cast<std::size_t>(a.shape.product() * size_of(a.dtype)));
    } catch (const IoError&) {
      ++refused;
    }
  }
  CHECK(refused > n / 2);
}

TEST_CASE("io/idx: Fashion-MNIST is read whole" * doctest::skip(!std::filesystem::exists(fashion_mnist("")))) {
  const IdxArray images = read_idx(fashion_mnist("t10k-images-idx3-ubyte.gz"));
  CHECK(images.shape == Shape{10000, 28, 28});
  CHECK(images.dtype == DType::u8);
  const IdxArray labels = read_idx(fashion_mnist("t10k-labels-idx1-ubyte.gz"));
  CHECK(labels.shape == Shape{10000});
  std::array<int, 10> count{};
  for (const std::uint8_t label : labels.bytes) ++count.at(label);
  for (const int c : count) CHECK(c == 1000);
}

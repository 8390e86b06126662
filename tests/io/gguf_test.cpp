// tests/io/gguf_test.cpp -- GGUF: blocks against the format's own decoder and against plain formulas, hostile headers.
#include "io/gguf.h"

#include <array>
#include <cmath>

#include "io/gguf_blocks.h"
#include "tests/io/checkpoint_fixture.h"
#include "tests/io/foreign_files.h"
#include "tests/io/foreign_fixture.h"

using namespace retort;
using namespace retort::test;

namespace {

using Block = std::vector<std::uint8_t>;

double f16_at(const Block& b, std::size_t at) {
  return static_cast<double>(Half::from_bits(static_cast<std::uint16_t>(b[at] | b[at + 1] << 8)));
}

/// `count` bits of the block from bit `at` of the byte `byte`.
int bits(const Block& b, std::size_t byte, int at, int count) { return b[byte] >> at & ((1 << count) - 1); }

/// Scale and minimum number g of the twelve bytes from `at`, of Q4_K and Q5_K.
std::array<int, 2> six_bits(const Block& b, std::size_t at, std::size_t g) {
  if (g < 4) return {bits(b, at + g, 0, 6), bits(b, at + 4 + g, 0, 6)};
  return {bits(b, at + 4 + g, 0, 4) + 16 * bits(b, at + g - 4, 6, 2),
          bits(b, at + 4 + g, 4, 4) + 16 * bits(b, at + g, 6, 2)};
}

/// Element i of a block, one at a time, from the description of the format.
double element(std::string_view type, const Block& b, std::size_t i) {
  const std::size_t j = i % 16;
  const int high = i < 16 ? 0 : 4;
  if (type == "Q4_0") return f16_at(b, 0) * (bits(b, 2 + j, high, 4) - 8);
  if (type == "Q4_1") return f16_at(b, 0) * bits(b, 4 + j, high, 4) + f16_at(b, 2);
  if (type == "Q5_0") return f16_at(b, 0) * (bits(b, 6 + j, high, 4) + 16 * bits(b, 2 + i / 8, i % 8, 1) - 16);
  if (type == "Q5_1")
    return f16_at(b, 0) * (bits(b, 8 + j, high, 4) + 16 * bits(b, 4 + i / 8, i % 8, 1)) + f16_at(b, 2);
  if (type == "Q8_0") return f16_at(b, 0) * static_cast<std::int8_t>(b[2 + i]);
  const std::size_t half = i / 128, quarter = i % 128 / 32, l = i % 32;
  if (type == "Q2_K") {
    const int q = bits(b, 16 + 32 * half + l, 2 * static_cast<int>(quarter), 2);
    return f16_at(b, 80) * bits(b, i / 16, 0, 4) * q - f16_at(b, 82) * bits(b, i / 16, 4, 4);
  }
  if (type == "Q3_K") {
    const std::size_t g = i / 16;
    const int scale =
        bits(b, 96 + g % 8, g < 8 ? 0 : 4, 4) + 16 * bits(b, 104 + g % 4, 2 * static_cast<int>(g / 4), 2) - 32;
    const int q = bits(b, 32 + 32 * half + l, 2 * static_cast<int>(quarter), 2);
    return f16_at(b, 108) * scale * (q + 4 * bits(b, l, static_cast<int>(i / 32), 1) - 4);
  }
  const std::size_t g = i / 32;
  if (type == "Q4_K" || type == "Q5_K") {
    const bool five = type == "Q5_K";
    const auto [scale, minimum] = six_bits(b, 4, g);
    int q = bits(b, (five ? 48 : 16) + 32 * (g / 2) + l, g % 2 == 0 ? 0 : 4, 4);
    if (five) q += 16 * bits(b, 16 + l, static_cast<int>(g), 1);
    return f16_at(b, 0) * scale * q - f16_at(b, 2) * minimum;
  }
  REQUIRE(type == "Q6_K");
  const int low = bits(b, 64 * half + 32 * (quarter % 2) + l, quarter < 2 ? 0 : 4, 4);
  const int top = bits(b, 128 + 32 * half + l, 2 * static_cast<int>(quarter), 2);
  return f16_at(b, 208) * static_cast<std::int8_t>(b[192 + i / 16]) * (low + 16 * top - 32);
}

std::string refused(const std::vector<std::string>& pairs, const std::vector<GgufInfo>& infos, std::size_t data = 64) {
  const TemporaryFolder folder;
  return refusal_of(folder, gguf_file(pairs, infos, std::string(data, '\0')));
}

}  // namespace

TEST_CASE("io/gguf: blocks decode to the bits of the format's own decoder, and to the formulas") {
  const auto file = open_tensor_file(fixture_path("blocks.gguf"));
  CHECK(file->format() == "GGUF 3");
  CHECK(file->unreadable().empty());
  int kinds = 0;
  for (const FileTensor& t : file->tensors()) {
    const std::string twin = t.name + ".f32";
    if (file->find(twin) == nullptr) continue;
    ++kinds;
    INFO(t.name);
    CHECK(t.stored == t.name);
    CHECK(t.dtype == DType::f32);
    CHECK(t.shape == file->find(twin)->shape);
    CHECK(file->bytes(t) == file->bytes(twin));
  }
  CHECK(kinds == 10);
}

TEST_CASE("io/gguf: every element of random blocks is what its formula says") {
  std::mt19937_64 random(5);
  int kinds = 0, compared = 0;
  for (std::uint32_t id = 2; id < 15; ++id) {
    const GgufType* type = gguf_type(id);
    if (type == nullptr || type->decode == nullptr) continue;
    ++kinds;
    INFO(type->name);
    for (int round = 0; round < 8; ++round) {
      // At an odd address, as a file may have it.
      Block block(static_cast<std::size_t>(type->bytes) + 1);
      for (auto& b : block) b = static_cast<std::uint8_t>(random());
      const Block shifted(block.begin() + 1, block.end());
      std::vector<float> got(static_cast<std::size_t>(type->values));
      type->decode(reinterpret_cast<const std::byte*>(block.data() + 1), got.data());
      double largest = 0;
      bool finite = true;  // scales of random bits may not be
      for (std::size_t i = 0; i < got.size(); ++i) {
        const double value = element(type->name, shifted, i);
        finite = finite && std::isfinite(value);
        largest = std::max(largest, std::abs(value));
      }
      compared += finite;
      for (std::size_t i = 0; finite && i < got.size(); ++i)
        CHECK(std::abs(static_cast<double>(got[i]) - element(type->name, shifted, i)) <= 1e-6 * largest);
    }
  }
  CHECK(kinds == 10);
  CHECK(compared > 60);
}

TEST_CASE("io/gguf: a block worked out by hand") {
  // Q4_0: d = 0.5; the first byte holds 3 (element 0) and 12 (element 16).
  std::string block = ByteWriter().put<std::uint16_t>(0x3800).raw("\xc3").raw(std::string(15, '\x88')).str();
  std::array<float, 32> y{};
  gguf_type(2)->decode(reinterpret_cast<const std::byte*>(block.data()), y.data());
  CHECK(y[0] == -2.5f);
  CHECK(y[16] == 2.0f);
  CHECK(y[1] == 0.0f);
}

TEST_CASE("io/gguf: plain tensors come row-major, metadata as text") {
  const auto file = open_tensor_file(fixture_path("blocks.gguf"));
  CHECK(is_fixture(*file, "plain.f32", DType::f32, {3, 2}, 1));
  CHECK(is_fixture(*file, "plain.f16", DType::f16, {2, 5}, 2));
  CHECK(is_fixture(*file, "plain.bf16", DType::bf16, {2, 4}, 3));
  CHECK(file->metadata().at("general.architecture") == "tiny");
  CHECK(file->metadata().at("tiny.layers") == "2");
  CHECK(file->metadata().at("tiny.eps") == "0.5");
  CHECK(file->metadata().at("tiny.flag") == "true");
  CHECK(file->metadata().at("tokenizer.ggml.tokens") == "[\"a\",\"\xc3\xa9\\n\",\"\\\"q\\\"\"]");
  CHECK(file->metadata().at("tokenizer.ggml.scores") == "[0.5,-1,2]");
}

TEST_CASE("io/gguf: a file written byte by byte, with a type that Retort does not have") {
  const TemporaryFolder folder;
  write_bytes(folder.file("f"), bytes_from(sound_gguf()));
  const auto file = open_tensor_file(folder.file("f"));
  CHECK(file->find("plain")->shape == Shape{2, 3});
  CHECK(values_of(*file, "plain") == std::vector<double>{1, 2, 3, 4, 5, 6});
  CHECK(values_of(*file, "blocks") == std::vector<double>(32, 5.0));
  CHECK(file->unreadable().at("other") == "of type IQ2_XXS");
  CHECK(file->metadata().at("nested") == "[[1,2]]");
  CHECK(file->metadata().at("tiny.scale") == "0.25");
}

TEST_CASE("io/gguf: payloads longer than a piece are decoded whole") {
  const TemporaryFolder folder;
  std::string data;
  constexpr int blocks = 5000;
  for (int i = 0; i < blocks; ++i)
    data += ByteWriter().put<std::uint16_t>(0x3c00).raw(std::string(32, static_cast<char>(i % 100))).str();
  write_bytes(folder.file("f"), bytes_from(gguf_file({}, {{"long", {32, blocks}, 8, 0}}, data)));
  const auto file = open_tensor_file(folder.file("f"));
  const std::vector<double> values = values_of(*file, "long");
  REQUIRE(values.size() == 32 * blocks);
  for (std::size_t i = 0; i < values.size(); ++i)
    if (values[i] != static_cast<double>(i / 32 % 100)) FAIL("element ", i, " is ", values[i]);
}

TEST_CASE("io/gguf: headers that lie are refused and the place named") {
  const TemporaryFolder folder;
  const auto pair = [](std::uint32_t kind, const std::string& value) { return gguf_pair("k", kind, value); };
  CHECK(refused({}, {{"a", {16}, 0, 0}}).empty());
  CHECK(contains(refused({}, {{"a", {17}, 0, 0}}), "\"a\" lies outside the file"));
  CHECK(contains(refused({}, {{"a", {8}, 0, 8}}), "\"a\" is not aligned"));
  CHECK(contains(refused({}, {{"a", {16}, 0, 0}, {"b", {4}, 0, 32}}), "\"b\" overlaps"));
  CHECK(contains(refused({}, {{"a", {4}, 0, 0}, {"a", {4}, 0, 32}}), "two tensors are called \"a\""));
  CHECK(contains(refused({}, {{"a", {31}, 8, 0}}), "no whole blocks of Q8_0"));
  CHECK(contains(refused({}, {{"a", {4}, 99, 0}}), "of type 99, which the format does not have"));
  CHECK(contains(refused({}, {{"a", {1, 1, 1, 1, 1}, 0, 0}}), "rank 5"));
  CHECK(contains(refused({}, {{"a", {1ull << 40, 1ull << 40}, 0, 0}}), "\"a\" has an impossible shape"));
  CHECK(contains(refused({}, {{"a", {~0ull}, 0, 0}}), "has a dimension of"));
  CHECK(contains(refused({pair(13, "")}, {}), "unknown kind of metadata; got 13"));
  CHECK(contains(refused({pair(7, "\2")}, {}), "a bool is neither 0 nor 1"));
  CHECK(contains(refused({pair(8, ByteWriter().put(~0ull).str())}, {}), "a metadata value"));
  CHECK(contains(refused({pair(9, ByteWriter().put<std::uint32_t>(0).put(1ull << 50).str())}, {}),
                 "elements cannot fit"));
  CHECK(contains(refused({pair(0, "\1"), pair(0, "\1")}, {}), "\"k\" is given twice"));
  CHECK(contains(refused({gguf_pair("general.alignment", 4, std::string(4, '\0'))}, {}), "no multiple of 8"));
  std::string deep;
  for (int i = 0; i < 40; ++i) deep += ByteWriter().put<std::uint32_t>(9).put<std::uint64_t>(1).str();
  CHECK(contains(refused({pair(9, deep)}, {}), "nested too deep"));
  const auto head = [](std::uint32_t version, std::uint64_t tensors, std::uint64_t pairs) {
    return ByteWriter().raw("GGUF").put(version).put(tensors).put(pairs).raw(std::string(64, '\0')).str();
  };
  CHECK(contains(refusal_of(folder, head(0x03000000, 0, 0)), "big-endian"));
  CHECK(contains(refusal_of(folder, head(1, 0, 0)), "GGUF version 1"));
  CHECK(contains(refusal_of(folder, head(3, 1ull << 60, 0)), "tensors cannot fit"));
  CHECK(contains(refusal_of(folder, head(3, 0, 1ull << 60)), "metadata values cannot fit"));
}

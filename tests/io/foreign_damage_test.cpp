// tests/io/foreign_damage_test.cpp -- damaged files of every foreign format: an IoError that names the file, or
// tensors.
#include <chrono>

#include "io/file.h"
#include "tests/io/checkpoint_fixture.h"
#include "tests/io/foreign_files.h"
#include "tests/io/foreign_fixture.h"

using namespace retort;
using namespace retort::test;

namespace {

/// Puts a number that readers must not trust at a random place: a size near a limit, or one off.
Bytes with_number(Bytes bytes, std::mt19937_64& rng) {
  constexpr std::uint64_t numbers[] = {0,
                                       1,
                                       0x7f,
                                       0xff,
                                       0x7fff,
                                       0xffff,
                                       0x7fffffff,
                                       0xffffffff,
                                       0x7fffffffffffffff,
                                       0xffffffffffffffff,
                                       0x100000000,
                                       0xfffffff8};
  if (bytes.size() < 8) return bytes;
  const std::uint64_t number = numbers[rng() % std::size(numbers)];
  const std::size_t size = std::size_t{1} << rng() % 4, at = rng() % (bytes.size() - size);
  std::memcpy(bytes.data() + at, &number, size);
  return bytes;
}

/// Opens the file and reads all of its tensors, at most a few MB of them; whether it was refused.
bool refused(const std::string& path) {
  try {
    const auto file = open_tensor_file(path);
    std::int64_t left = 4 << 20;
    for (const FileTensor& t : file->tensors()) {
      if (t.bytes > left) continue;
      left -= t.bytes;
      if (std::ssize(file->bytes(t)) != t.bytes) FAIL("\"", t.name, "\" has another size than it says");
    }
    return false;
  } catch (const IoError& error) {
    const std::string text = error.what();
    if (!contains(text, path.substr(0, path.rfind('/')))) FAIL("an error that does not name the file: ", text);
    return true;
  }
}

/// How many of `count` damaged copies are refused; fails when one takes long.
int refusals(const std::vector<std::string>& sound, int count, std::uint64_t seed) {
  const TemporaryFolder folder;
  write_bytes(folder.file("model.safetensors"), bytes_from(sound_safetensors()));
  std::mt19937_64 rng(seed);
  int result = 0;
  for (int i = 0; i < count; ++i) {
    const Bytes whole = bytes_from(sound[static_cast<std::size_t>(i) % sound.size()]);
    const std::string path = folder.file("damaged");
    write_bytes(path, rng() % 3 == 0 ? with_number(whole, rng) : damaged(whole, rng));
    const auto start = std::chrono::steady_clock::now();
    CAPTURE(i);
    result += refused(path);
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(10));
  }
  MESSAGE(count, " damaged files: ", result, " refused");
  return result;
}

std::string fixture(const std::string& name) { return read_file(fixture_path(name)); }

}  // namespace

TEST_CASE("io/damage: safetensors and indices of shards") {
  const int n = rounds(400, 30'000);
  CHECK(refusals({sound_safetensors(), fixture("small.safetensors")}, n, 1) > n / 2);
  CHECK(refusals({sound_index()}, n, 2) > n / 2);
}

TEST_CASE("io/damage: GGUF") {
  const int n = rounds(400, 30'000);
  const int result = refusals({sound_gguf(), fixture("blocks.gguf")}, n, 3);
  CHECK(result > n / 4);
  CHECK(result < n);
}

TEST_CASE("io/damage: PyTorch, zip and before") {
  const int n = rounds(400, 30'000);
  CHECK(refusals({sound_torch_zip(), fixture("zip.pt"), fixture("module.pt")}, n, 4) > n / 4);
  CHECK(refusals({sound_torch_legacy(), fixture("legacy.pt")}, n, 5) > n / 4);
}

TEST_CASE("io/damage: pickles damaged inside of sound archives") {
  const TemporaryFolder folder;
  std::mt19937_64 rng(6);
  const int n = rounds(600, 60'000);
  int result = 0;
  for (int i = 0; i < n; ++i) {
    const Bytes pickle = damaged(bytes_from(sound_pickle()), rng);
    write_bytes(folder.file("f"), bytes_from(sound_torch_zip(std::string(pickle.begin(), pickle.end()))));
    result += refused(folder.file("f"));
  }
  CHECK(result > n / 4);
  CHECK(result < n);
}

TEST_CASE("io/damage: JSON-safe damage to the header of safetensors") {
  // Digits changed for others: the text stays JSON, the numbers lie.
  const TemporaryFolder folder;
  std::mt19937_64 rng(7);
  const std::string sound = sound_safetensors();
  const int n = rounds(600, 60'000);
  int result = 0;
  for (int i = 0; i < n; ++i) {
    std::string file = sound;
    for (auto edits = 1 + rng() % 3; edits > 0; --edits) {
      std::size_t at = 8 + rng() % (file.size() - 30);
      while (file[at] < '0' || file[at] > '9') at = at + 1 < file.size() - 21 ? at + 1 : 8;
      file[at] = static_cast<char>('0' + rng() % 10);
    }
    write_bytes(folder.file("f"), bytes_from(file));
    result += refused(folder.file("f"));
  }
  CHECK(result > n / 2);
  CHECK(result < n);
}

TEST_CASE("io/damage: files of no format, empty, and what is no file") {
  const TemporaryFolder folder;
  for (const std::string& content : {std::string(), std::string("x"), std::string("{"), std::string(100, '\0'),
                                     std::string("GGU"), std::string("PK\x03\x04"), std::string("\x80\x02")})
    CHECK_FALSE(refusal_of(folder, content).empty());
  CHECK(contains(error_text<IoError>([&] { open_tensor_file(folder.path()); }), "not a regular file"));
  CHECK(contains(error_text<IoError>([&] { open_tensor_file(folder.file("none")); }), "cannot open"));
}

TEST_CASE("io: a payload that comes in pieces is the one that was given whole, and wrong sizes are refused") {
  const TemporaryFolder folder;
  std::vector<std::byte> payload(3 << 20);
  std::mt19937_64 rng(8);
  for (std::byte& b : payload) b = static_cast<std::byte>(rng());
  const Shape shape{3 << 20};
  {
    CheckpointWriter writer(folder.file("whole.h5"));
    writer.add("t", DType::u8, shape, payload);
    writer.commit();
    CheckpointWriter pieces(folder.file("pieces.h5"));
    pieces.add("t", DType::u8, shape, [&](const ByteSink& sink) {
      for (std::size_t at = 0; at < payload.size(); at += 70'001)
        sink(std::span(payload).subspan(at, std::min<std::size_t>(70'001, payload.size() - at)));
    });
    pieces.commit();
  }
  CHECK(read_file(folder.file("whole.h5")) == read_file(folder.file("pieces.h5")));
  for (const std::size_t size : {payload.size() - 1, payload.size() + 1}) {
    payload.resize(size);
    CheckpointWriter writer(folder.file("wrong.h5"));
    const auto source = [&](const ByteSink& sink) { sink(payload); };
    CHECK(
        contains(error_text<ShapeError>([&] { writer.add("t", DType::u8, shape, source); }), "does not fit its shape"));
    CHECK(contains(error_text<ValueError>([&] { writer.commit(); }), "used after a failed write"));
  }
  CHECK_FALSE(std::filesystem::exists(folder.file("wrong.h5")));
}

TEST_CASE("io: a mapped file streams every byte of any range") {
  const TemporaryFolder folder;
  Bytes bytes(3 * MappedFile::kPiece + 12345);
  std::mt19937_64 rng(9);
  for (auto& b : bytes) b = static_cast<std::uint8_t>(rng());
  write_bytes(folder.file("f"), bytes);
  const MappedFile file(folder.file("f"));
  for (int i = 0; i < 40; ++i) {
    const std::size_t begin = rng() % bytes.size(), size = rng() % (bytes.size() - begin + 1);
    std::size_t at = begin;
    bool same = true;
    file.stream(begin, size, [&](std::span<const std::byte> piece) {
      same =
          same && piece.size() <= MappedFile::kPiece && std::memcmp(piece.data(), bytes.data() + at, piece.size()) == 0;
      at += piece.size();
    });
    CHECK(same);
    CHECK(at == begin + size);
  }
}

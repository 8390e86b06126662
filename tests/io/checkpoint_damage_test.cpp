// tests/io/checkpoint_damage_test.cpp -- mutated, truncated and foreign checkpoints give IoError or the right values.
#include <algorithm>
#include <chrono>
#include <set>

#include "io/child_process.h"
#include "tests/io/checkpoint_fixture.h"

using namespace retort;
using namespace retort::test;
namespace fs = std::filesystem;

namespace {

/// For each byte of a sample checkpoint whether it belongs to a tensor's payload.
std::vector<bool> payload_map(const fs::path& path) {
  const std::string file = read_file(path);
  std::vector<bool> map(file.size());
  for (const SampleRecord& record : sample_records()) {
    if (record.payload.size() < 64) continue;  // shorter ones could be found by chance
    const auto found =
        file.find(std::string(reinterpret_cast<const char*>(record.payload.data()), record.payload.size()));
    REQUIRE(found != std::string::npos);
    std::fill_n(map.begin() + static_cast<std::ptrdiff_t>(found), record.payload.size(), true);
  }
  return map;
}

/// Damages `file` at one to three places, in payload or in metadata as asked (there at bytes that are not zero: most
/// zeros are padding): flipped bits, random bytes, runs of one value, or a piece copied from elsewhere in the file.
void mutate(std::string& file, const std::vector<bool>& payload, bool in_payload, std::mt19937_64& random) {
  for (auto edits = 1 + random() % 3; edits > 0; --edits) {
    std::size_t at = random() % file.size();
    while (payload[at] != in_payload || (!in_payload && file[at] == 0)) at = (at + 1) % file.size();
    const std::size_t length = std::min<std::size_t>(1 + random() % 24, file.size() - at);
    switch (random() % 5) {
      case 0:
        file[at] = static_cast<char>(file[at] ^ (1 << random() % 8));
        break;
      case 1:
        file[at] = static_cast<char>(random());
        break;
      case 2:
        std::fill_n(file.begin() + static_cast<std::ptrdiff_t>(at), length, '\0');
        break;
      case 3:
        std::fill_n(file.begin() + static_cast<std::ptrdiff_t>(at), length, '\xff');
        break;
      default:
        file.replace(at, length, file, random() % (file.size() - length), length);
        break;
    }
  }
}

}  // namespace

TEST_CASE("io: a mutated checkpoint gives an IoError that names it, or the values that were written") {
  const TemporaryFolder folder;
  const fs::path path = folder.file("model.h5"), damaged = folder.file("damaged.h5");
  const Attributes attributes = {{"kind", "student"}, {"step", std::int64_t{7}}, {"loss", 0.5}};
  write_sample(path, attributes);
  const std::vector<bool> payload = payload_map(path);
  const std::string sound = read_file(path);
  std::mt19937_64 random(2024);
  int refused_metadata = 0, refused_payload = 0, slow = 0;
  const int count = rounds(300, 20'000);
  for (int i = 0; i < count; ++i) {
    std::string file = sound;
    const bool in_payload = i % 2 == 0;
    mutate(file, payload, in_payload, random);
    write_bytes(damaged, {file.begin(), file.end()});
    const auto start = std::chrono::steady_clock::now();
    bool same = true;
    const std::string text = error_text<IoError>([&] { same = reads_as_sample(damaged, attributes); });
    slow += std::chrono::steady_clock::now() - start > std::chrono::seconds(10);
    if (!text.empty()) ++(in_payload ? refused_payload : refused_metadata);
    CAPTURE(i);
    CHECK(same);
    if (!text.empty()) CHECK_MESSAGE(contains(text, damaged.string()), text);
    if (in_payload && file != sound) CHECK_MESSAGE(contains(text, "is damaged; got CRC-32C"), text);
  }
  MESSAGE(count, " mutations: refused ", refused_payload, " of the payload, ", refused_metadata, " of the metadata");
  CHECK(slow == 0);
  CHECK(refused_metadata > count * 4 / 10);  // the rest hit bytes no longer in use
}

TEST_CASE("io: a truncated checkpoint gives an IoError that names it") {
  const TemporaryFolder folder;
  write_sample(folder.file("model.h5"));
  const std::string sound = read_file(folder.file("model.h5"));
  const std::string path = folder.file("short.h5");
  for (std::size_t length :
       {std::size_t{0}, std::size_t{1}, std::size_t{40}, std::size_t{2000}, sound.size() / 2, sound.size() - 1}) {
    write_bytes(path, {sound.begin(), sound.begin() + static_cast<std::ptrdiff_t>(length)});
    CHECK(contains(error_text<IoError>([&] { CheckpointReader reader(path); }), path));
  }
}

TEST_CASE("io: files that are not HDF5 give an IoError that names them") {
  const TemporaryFolder folder;
  const std::string path = folder.file("model.h5");
  for (const std::string& content :
       {std::string("PK\x03\x04 a zip file of PyTorch"), std::string(100'000, 'x'), std::string("\x89HDF\r\n\x1a\n"),
        std::string("\x89HDF\r\n\x1a\n") + std::string(5000, '\xff')}) {
    write_bytes(path, {content.begin(), content.end()});
    const std::string text = error_text<IoError>([&] { CheckpointReader reader(path); });
    CHECK_MESSAGE(contains(text, path), text);
    CHECK_MESSAGE(contains(text, "cannot open it as HDF5"), text);
  }
}

TEST_CASE("io: one damaged tensor is named and leaves the others readable") {
  const TemporaryFolder folder;
  const std::string path = folder.file("model.h5");
  write_sample(path);
  const std::vector<SampleRecord> records = sample_records();
  const auto large =
      std::find_if(records.begin(), records.end(), [](const SampleRecord& r) { return r.name == "large"; });
  std::string file = read_file(path);
  const auto at = file.find(std::string(reinterpret_cast<const char*>(large->payload.data()), 64));
  REQUIRE(at != std::string::npos);
  file[at + 4321] = static_cast<char>(file[at + 4321] ^ 1);
  write_bytes(path, {file.begin(), file.end()});

  const CheckpointReader reader(path);
  for (int attempt = 0; attempt < 2; ++attempt) {
    const std::string text = error_text<IoError>([&] { reader.bytes("large"); });
    CHECK(contains(text, "\"large\""));
    CHECK(contains(text, path));
    CHECK(contains(text, "damaged"));
  }
  bool delivered = false;
  const std::string streamed =
      error_text<IoError>([&] { reader.stream("large", [&](std::span<const std::byte>) { delivered = true; }); });
  CHECK(contains(streamed, "\"large\" is damaged"));
  CHECK_FALSE(delivered);
  for (const SampleRecord& record : records)
    if (record.name != "large") CHECK(reader.bytes(record.name).size() == record.payload.size());
}

TEST_CASE("io: a child that crashes, hangs, overeats or talks too much becomes an IoError") {
  ChildLimits limits;
  limits.cpu_seconds = 1;
  limits.reply = 1000;
  limits.memory = 64 << 20;
  const auto outcome = [&](const std::function<std::string()>& work) {
    return error_text<IoError>([&] { run_in_child("file \"x\"", work, limits); });
  };
  CHECK(run_in_child(
            "file \"x\"", [] { return std::string("fine"); }, limits) == "fine");
  CHECK(contains(outcome([]() -> std::string { throw IoError("file \"x\": why"); }), "file \"x\": why"));
  CHECK(contains(outcome([]() -> std::string { abort(); }), "file \"x\": damaged or hostile"));
  CHECK(contains(outcome([]() -> std::string {
                   volatile unsigned spin = 0;
                   while (true) spin = spin + 1;
                 }),
                 "time limit"));
  CHECK(contains(outcome([] { return std::string(2000, 'x'); }), "exceeds the limit"));
  if (!kAddressSanitizer)
    CHECK(contains(outcome([] { return std::to_string(std::string(200 << 20, 'x').size()); }), "bad_alloc"));
}

TEST_CASE("io: a bool that is neither 0 nor 1 is refused") {
  const TemporaryFolder folder;
  const std::string path = folder.file("model.h5");
  const std::vector<std::byte> payload = {std::byte{0}, std::byte{1}, std::byte{2}};
  CheckpointWriter writer(path);
  writer.add("mask", DType::boolean, {3}, payload);
  writer.add("bytes", DType::u8, {3}, payload);
  writer.commit();
  const CheckpointReader reader(path);
  CHECK(contains(error_text<IoError>([&] { reader.bytes("mask"); }), "\"mask\" is damaged; a bool"));
  CHECK(reader.bytes("bytes").size() == 3);
}

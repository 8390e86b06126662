// tests/io/file_test.cpp -- whole files: errors with path, operation and reason; replaced atomically; a full disk.
#include "io/file.h"

#include <sys/mount.h>

#include <cerrno>
#include <cstring>

#include "tests/io/checkpoint_fixture.h"

using namespace retort;
using namespace retort::test;
namespace fs = std::filesystem;

namespace {

/// A RAM disk of 3 MB, where this user may mount one.
struct SmallDisk {
  explicit SmallDisk(const fs::path& folder) : path(folder) {
    fs::create_directory(path);
    mounted = ::mount("tmpfs", path.c_str(), "tmpfs", 0, "size=3m") == 0;
    if (!mounted) MESSAGE("skipped: cannot mount a tmpfs here (", std::strerror(errno), ")");
  }
  ~SmallDisk() {
    if (mounted) ::umount2(path.c_str(), MNT_DETACH);
  }
  fs::path path;
  bool mounted = false;
};

std::ptrdiff_t open_descriptors() {
  return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
}

}  // namespace

TEST_CASE("io: files are written, replaced and read back whole") {
  const TemporaryFolder folder;
  const fs::path path = folder.file("a.txt");
  write_file_atomic(path, std::string_view("first"));
  write_bytes(path.string() + ".tmp", Bytes(100'000, 1));  // left by a run that was killed
  const std::string text = std::string("second\0line\n", 12) + std::string(70'000, 'z');
  write_file_atomic(path, text);
  CHECK(read_file(path) == text);
  CHECK_FALSE(fs::exists(path.string() + ".tmp"));
  CHECK(read_file("/proc/self/stat").size() > 10);  // its size is said to be 0

  const MappedFile mapped(path);
  CHECK(std::equal(mapped.bytes().begin(), mapped.bytes().end(), bytes_of(text).begin(), bytes_of(text).end()));
  write_file_atomic(path, std::string_view());
  CHECK(read_file(path).empty());
  CHECK(MappedFile(path).bytes().empty());
  CHECK(mapped.bytes().size() == text.size());  // the old file lives on while it is mapped
}

TEST_CASE("io: errors of files name path, operation and reason") {
  const TemporaryFolder folder;
  const std::string missing = folder.file("none/a.txt");
  const auto check = [&](const std::string& text, const std::string& path, const char* operation, const char* reason) {
    CHECK_MESSAGE(contains(text, path), text);
    CHECK_MESSAGE(contains(text, operation), text);
    CHECK_MESSAGE(contains(text, reason), text);
  };
  check(error_text<IoError>([&] { read_file(missing); }), missing, "cannot open", "No such file");
  check(error_text<IoError>([&] { MappedFile file(missing); }), missing, "cannot open", "No such file");
  check(error_text<IoError>([&] { sync_directory(missing); }), missing, "cannot open", "No such file");
  check(error_text<IoError>([&] { write_file_atomic(missing, std::string_view("x")); }), missing, "cannot open",
        "No such");
  check(error_text<IoError>([&] { read_file(folder.path()); }), folder.path(), "cannot read", "Is a directory");
  check(error_text<IoError>([&] { MappedFile file("/dev/null"); }), "/dev/null", "cannot map", "not a regular file");
  // A folder with content stands where the file should go.
  fs::create_directories(folder.file("taken/inside"));
  const std::string taken = folder.file("taken");
  check(error_text<IoError>([&] { write_file_atomic(taken, std::string_view("x")); }), taken, "rename", "irectory");
  CHECK_FALSE(fs::exists(taken + ".tmp"));
}

TEST_CASE("io: a full disk leaves the old file and no temporary") {
  const TemporaryFolder folder;
  const SmallDisk disk(folder.file("disk"));
  if (!disk.mounted) return;
  const fs::path path = disk.path / "a.bin";
  const std::string old(1'000'000, 'o');
  write_file_atomic(path, old);
  const std::string text = error_text<IoError>([&] { write_file_atomic(path, std::string(4'000'000, 'n')); });
  CHECK(contains(text, path.string()));
  CHECK(contains(text, "No space left on device"));
  CHECK(read_file(path) == old);
  CHECK_FALSE(fs::exists(path.string() + ".tmp"));
  write_file_atomic(path, std::string(1'500'000, 'n'));
}

TEST_CASE("io: a disk that fills up anywhere in a checkpoint leaves the old one and no temporary") {
  const TemporaryFolder folder;
  const SmallDisk disk(folder.file("disk"));
  if (!disk.mounted) return;
  const fs::path path = disk.path / "model.h5";
  write_sample(path);
  const std::string old = read_file(path);
  const std::ptrdiff_t descriptors = open_descriptors();
  int failures = 0, successes = 0;
  // Room for all but the last pages at one end, for not even one tensor at the other.
  for (std::size_t filler = 2'600'000; filler < 3'020'000; filler += 20'000) {
    const fs::path other = disk.path / "filler";
    const std::size_t room = 3 * 1024 * 1024 - old.size() - 4096;
    write_bytes(other, Bytes(std::min(filler, room), 1));
    const std::string text = error_text<IoError>([&] { write_sample(path); });
    ++(text.empty() ? successes : failures);
    if (!text.empty()) {
      CHECK_MESSAGE(contains(text, path.string()), text);
      CHECK_MESSAGE(contains(text, "No space left"), text);
    }
    CHECK(read_file(path) == old);
    CHECK_FALSE(fs::exists(path.string() + ".tmp"));
    fs::remove(other);
  }
  CHECK(failures > 3);
  CHECK(successes > 3);
  CHECK(open_descriptors() == descriptors);
  write_sample(path);
  CHECK(reads_as_sample(path));
}

TEST_CASE("io: a checkpoint whose disk was full cannot be committed, and the error names the tensor") {
  const TemporaryFolder folder;
  const SmallDisk disk(folder.file("disk"));
  if (!disk.mounted) return;
  const fs::path path = disk.path / "model.h5";
  const std::vector<std::byte> payload(4'000'000);
  CheckpointWriter writer(path);
  const std::string text = error_text<IoError>([&] { writer.add("too.large", DType::f32, {1'000'000}, payload); });
  CHECK_MESSAGE(contains(text, "\"too.large\""), text);
  CHECK(contains(text, path.string()));
  CHECK_THROWS_AS(writer.commit(), ValueError);
  CHECK_THROWS_AS(writer.add("small", DType::u8, {1}, std::span(payload).first(1)), ValueError);
  CHECK_FALSE(fs::exists(path));
}

// tests/io/image_folder_test.cpp -- ROOT/CLASS/FILE listings: order, what is passed over, refusals.
#include "io/image_folder.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "tensor/error.h"
#include "tests/io/test_files.h"

using namespace retort;
using retort::test::TemporaryFolder;

namespace {

void touch(const TemporaryFolder& folder, const std::string& name) {
  std::filesystem::create_directories(std::filesystem::path(folder.file(name)).parent_path());
  test::write_bytes(folder.file(name), {1});
}

std::string refusal(const std::string& root) {
  try {
    scan_image_folder(root);
  } catch (const IoError& e) {
    return e.what();
  }
  return {};
}

}  // namespace

TEST_CASE("io/image_folder: classes and files come in bytewise order with labels") {
  const TemporaryFolder folder;
  for (const std::string name :
       {"b/2.png", "b/10.JPEG", "B/x.jpg", "\xc3\xa9t\xc3\xa9/1.jpeg", "a/\xc3\xa9.png", "a/z.png"})
    touch(folder, name);
  const ImageFolder found = scan_image_folder(folder.path());
  CHECK(found.classes == std::vector<std::string>{"B", "a", "b", "\xc3\xa9t\xc3\xa9"});
  std::vector<std::string> names;
  std::vector<int> labels;
  for (const ImageFolder::Item& item : found.items) {
    names.push_back(std::filesystem::relative(item.path, folder.path()).string());
    labels.push_back(item.label);
    CHECK(std::filesystem::exists(item.path));
  }
  CHECK(names == std::vector<std::string>{"B/x.jpg", "a/z.png", "a/\xc3\xa9.png", "b/10.JPEG", "b/2.png",
                                          "\xc3\xa9t\xc3\xa9/1.jpeg"});
  CHECK(labels == std::vector<int>{0, 1, 1, 2, 2, 3});
}

TEST_CASE("io/image_folder: other entries are passed over, links are followed") {
  const TemporaryFolder folder;
  for (const std::string name :
       {"cat/1.png", "cat/notes.txt", "cat/.hidden.png", "cat/deep/2.png", "readme.png", ".git/3.png", "cat/png"})
    touch(folder, name);
  std::filesystem::create_symlink("1.png", folder.file("cat/4.png"));
  std::filesystem::create_symlink("nothing", folder.file("cat/5.png"));
  std::filesystem::create_directory_symlink("cat", folder.file("dog"));
  const ImageFolder found = scan_image_folder(folder.path());
  CHECK(found.classes == std::vector<std::string>{"cat", "dog"});
  CHECK(found.items.size() == 4);
}

TEST_CASE("io/image_folder: folders that cannot be a data set are refused by name") {
  const TemporaryFolder folder;
  CHECK(refusal(folder.path()).find("no class folders") != std::string::npos);
  CHECK(refusal(folder.file("missing")).find("missing: cannot be listed") != std::string::npos);
  touch(folder, "cat/1.png");
  CHECK(refusal(folder.file("cat/1.png")).find("cannot be listed") != std::string::npos);
  touch(folder, "dog/1.gif");
  CHECK(refusal(folder.path()).find("dog: no .png, .jpg or .jpeg files") != std::string::npos);
}

TEST_CASE("io/image_folder: an unreadable class is refused" * doctest::skip(geteuid() == 0)) {
  const TemporaryFolder folder;
  touch(folder, "cat/1.png");
  std::filesystem::permissions(folder.file("cat"), std::filesystem::perms::none);
  CHECK(refusal(folder.path()).find("cat: cannot be listed") != std::string::npos);
  std::filesystem::permissions(folder.file("cat"), std::filesystem::perms::owner_all);
}

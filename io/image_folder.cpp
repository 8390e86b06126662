// io/image_folder.cpp -- scan_image_folder: two levels of directory listing, sorted.
#include "io/image_folder.h"

#include <algorithm>
#include <filesystem>

#include "tensor/error.h"

namespace retort {
namespace {

namespace fs = std::filesystem;

bool has_image_extension(const fs::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return extension == ".png" || extension == ".jpg" || extension == ".jpeg";
}

/// Names of the entries of `folder` that are of `type` (links followed), bytewise sorted, dot names left out.
std::vector<std::string> sorted_names(const fs::path& folder, fs::file_type type) {
  const auto refuse = [&folder](const std::error_code& code) {
    throw IoError("scan_image_folder: {}: cannot be listed; got {}", folder.string(), code.message());
  };
  std::error_code failed;
  std::vector<std::string> names;
  fs::directory_iterator it(folder, failed);
  if (failed) refuse(failed);
  while (it != fs::directory_iterator()) {
    std::string name = it->path().filename().string();
    // A link to nothing is not of any type; it is passed over like any other entry.
    std::error_code unknown;
    if (name.front() != '.' && it->status(unknown).type() == type) names.push_back(std::move(name));
    it.increment(failed);
    if (failed) refuse(failed);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

ImageFolder scan_image_folder(const std::string& root) {
  ImageFolder folder;
  folder.classes = sorted_names(root, fs::file_type::directory);
  if (folder.classes.empty())
    throw IoError("scan_image_folder: {}: no class folders; images are expected as ROOT/CLASS/FILE.png or .jpg", root);
  for (std::size_t label = 0; label < folder.classes.size(); ++label) {
    const fs::path class_folder = fs::path(root) / folder.classes[label];
    const std::size_t before = folder.items.size();
    for (const std::string& name : sorted_names(class_folder, fs::file_type::regular))
      if (has_image_extension(name)) folder.items.push_back({(class_folder / name).string(), static_cast<int>(label)});
    if (folder.items.size() == before)
      throw IoError("scan_image_folder: {}: no .png, .jpg or .jpeg files in this class", class_folder.string());
  }
  return folder;
}

}  // namespace retort

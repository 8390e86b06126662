// io/image_folder.h -- labelled images laid out as ROOT/CLASS/FILE, the layout of ImageNet and its relatives.
#pragma once
#include <string>
#include <vector>

namespace retort {

/// `classes` in bytewise order of their names; a label is an index into it. `items` are ordered by label, then bytewise
/// by file name, so the list is the same on every machine.
struct ImageFolder {
  struct Item {
    std::string path;
    int label = 0;
  };
  std::vector<std::string> classes;
  std::vector<Item> items;
};

/// Lists ROOT/CLASS/*.{png,jpg,jpeg} (any letter case) without opening the images. Names that begin with a dot, other
/// extensions, files beside the class folders and folders inside them are passed over; symbolic links are followed.
/// Throws IoError naming the folder: missing, not a folder, unreadable, no class folders, a class without images.
ImageFolder scan_image_folder(const std::string& root);

}  // namespace retort

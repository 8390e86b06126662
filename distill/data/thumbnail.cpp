#include "distill/data/thumbnail.h"

#include "io/image.h"

namespace retort {

std::vector<std::uint8_t> thumbnail_png(const Dataset& set, std::int64_t index) {
  const Shape& s = set.image_shape();
  Image image;
  image.channels = static_cast<int>(s[0]);
  image.height = static_cast<int>(s[1]);
  image.width = static_cast<int>(s[2]);
  image.pixels.resize(static_cast<std::size_t>(s.product()));
  set.image(index, image.pixels);
  return encode_png(image);
}

}  // namespace retort

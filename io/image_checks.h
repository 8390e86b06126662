// io/image_checks.h -- what the image decoders share: checks of the asked channels and of the size a header claims.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace retort {

/// Throws ValueError unless `channels` is 0, 1 or 3.
void check_channels_argument(std::string_view decoder, int channels);

/// Throws IoError unless width x height is positive, at most kMaxImagePixels, and at most `max_pixels`, which is what
/// the file's bytes could hold at the format's best compression.
void check_image_size(std::string_view decoder, const std::string& name, std::int64_t width, std::int64_t height,
                      std::int64_t max_pixels);

}  // namespace retort

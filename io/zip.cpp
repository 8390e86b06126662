// io/zip.cpp -- found from its end, as zip archives are.
#include "io/zip.h"

#include <zlib.h>

#include <algorithm>
#include <optional>
#include <set>

#include "io/byte_cursor.h"
#include "tensor/error.h"

namespace retort {
namespace {

constexpr std::uint32_t kLocalHeader = 0x04034b50, kDirectoryEntry = 0x02014b50, kDirectoryEnd = 0x06054b50,
                        kDirectoryEnd64 = 0x06064b50, kLocator64 = 0x07064b50;
constexpr std::size_t kDirectoryEndBytes = 22, kLocatorBytes = 20, kEntryBytes = 46, kLongestComment = 0xffff;
constexpr std::uint64_t kLargestInflated = std::uint64_t{1} << 30, kMostExpansion = 1032;

/// A cursor at `offset` of the archive.
ByteCursor cursor_at(std::span<const std::byte> archive, std::uint64_t offset, const std::string& where) {
  ByteCursor cursor(archive, where);
  cursor.take(offset, "what lies before a zip structure");
  return cursor;
}

std::size_t find_directory_end(std::span<const std::byte> archive, const std::string& where) {
  if (archive.size() >= kDirectoryEndBytes) {
    const std::size_t last = archive.size() - kDirectoryEndBytes;
    const std::size_t first = last > kLongestComment ? last - kLongestComment : 0;
    for (std::size_t at = last + 1; at-- > first;) {
      ByteCursor cursor(archive.subspan(at), where);
      if (cursor.number<std::uint32_t>("a signature") != kDirectoryEnd) continue;
      cursor.take(16, "the directory's end");
      if (cursor.number<std::uint16_t>("the comment's length") == cursor.remaining()) return at;
    }
  }
  throw IoError("{}: a zip archive without its directory; truncated or damaged", where);
}

struct Directory {
  std::uint64_t entries, bytes, offset;
};

Directory find_directory(std::span<const std::byte> archive, const std::string& where) {
  const std::size_t end = find_directory_end(archive, where);
  ByteCursor cursor = cursor_at(archive, end + 8, where);
  cursor.take(2, "a count");
  Directory d{};
  d.entries = cursor.number<std::uint16_t>("the count of entries");
  d.bytes = cursor.number<std::uint32_t>("the directory's size");
  d.offset = cursor.number<std::uint32_t>("the directory's offset");
  if (end < kLocatorBytes) return d;
  ByteCursor locator = cursor_at(archive, end - kLocatorBytes, where);
  if (locator.number<std::uint32_t>("a signature") != kLocator64) return d;
  locator.take(4, "a volume");
  ByteCursor wide = cursor_at(archive, locator.number<std::uint64_t>("the zip64 directory's end"), where);
  if (wide.number<std::uint32_t>("a signature") != kDirectoryEnd64) wide.refuse("not the end of a zip64 directory");
  wide.take(28, "the zip64 directory's end");
  d.entries = wide.number<std::uint64_t>("the count of entries");
  d.bytes = wide.number<std::uint64_t>("the directory's size");
  d.offset = wide.number<std::uint64_t>("the directory's offset");
  return d;
}

/// Sizes of an entry, of which 32 bits may have been too few.
struct Sizes {
  std::uint64_t size, packed, header;
};

void widen(Sizes& sizes, std::span<const std::byte> extra, const std::string& where) {
  ByteCursor fields(extra, where);
  while (fields.remaining() >= 4) {
    const auto id = fields.number<std::uint16_t>("an extra field");
    const auto length = fields.number<std::uint16_t>("an extra field's length");
    ByteCursor field(fields.take(length, "an extra field"), where);
    if (id != 1) continue;
    for (std::uint64_t* value : {&sizes.size, &sizes.packed, &sizes.header})
      if (*value == 0xffffffff) *value = field.number<std::uint64_t>("a zip64 size");
  }
}

/// Where the payload begins: behind the entry's local header, whose name and extra field have lengths of their own.
std::size_t payload_offset(std::span<const std::byte> archive, std::uint64_t header, const std::string& where) {
  ByteCursor cursor = cursor_at(archive, header, where);
  if (cursor.number<std::uint32_t>("a signature") != kLocalHeader) cursor.refuse("not the header of a zip entry");
  cursor.take(22, "a zip entry's header");
  const auto name = cursor.number<std::uint16_t>("a name's length");
  const auto extra = cursor.number<std::uint16_t>("an extra field's length");
  cursor.take(std::uint64_t{name} + extra, "a zip entry's name");
  return cursor.offset();
}

ZipEntry read_entry(ByteCursor& directory, std::span<const std::byte> archive) {
  const std::string& where = directory.where();
  if (directory.number<std::uint32_t>("a signature") != kDirectoryEntry)
    directory.refuse("not an entry of a directory");
  directory.take(4, "versions");
  const auto flags = directory.number<std::uint16_t>("flags");
  const auto method = directory.number<std::uint16_t>("the method");
  directory.take(4, "a time");
  ZipEntry entry;
  entry.crc = directory.number<std::uint32_t>("a checksum");
  Sizes sizes{};
  sizes.packed = directory.number<std::uint32_t>("a packed size");
  sizes.size = directory.number<std::uint32_t>("a size");
  const auto name = directory.number<std::uint16_t>("a name's length");
  const auto extra = directory.number<std::uint16_t>("an extra field's length");
  const auto comment = directory.number<std::uint16_t>("a comment's length");
  directory.take(8, "attributes");
  sizes.header = directory.number<std::uint32_t>("an offset");
  entry.name = directory.text(name, "a name");
  widen(sizes, directory.take(extra, "an extra field"), where);
  directory.take(comment, "a comment");

  const auto refuse = [&](std::string_view why) { throw IoError("{}: zip entry \"{}\" {}", where, entry.name, why); };
  if ((flags & 1) != 0) refuse("is encrypted");
  if (method != 0 && method != 8) refuse(fmt::format("is packed by method {}; known are 0 and 8", method));
  entry.deflated = method == 8;
  if (!entry.deflated && sizes.packed != sizes.size) refuse("is stored and has two sizes");
  entry.offset = payload_offset(archive, sizes.header, where);
  if (sizes.packed > archive.size() - entry.offset) refuse("lies outside the file");
  entry.packed = static_cast<std::size_t>(sizes.packed);
  entry.size = static_cast<std::size_t>(sizes.size);
  return entry;
}

}  // namespace

std::vector<ZipEntry> list_zip(std::span<const std::byte> archive, const std::string& where) {
  const Directory d = find_directory(archive, where);
  ByteCursor cursor = cursor_at(archive, d.offset, where);
  ByteCursor directory(cursor.take(d.bytes, "the directory"), where);
  if (d.entries > d.bytes / kEntryBytes)
    throw IoError("{}: zip: {} entries cannot fit in a directory of {} bytes", where, d.entries, d.bytes);
  std::vector<ZipEntry> entries;
  std::set<std::string> names;
  for (std::uint64_t i = 0; i < d.entries; ++i) {
    entries.push_back(read_entry(directory, archive));
    if (!names.insert(entries.back().name).second)
      throw IoError("{}: zip: two entries are called \"{}\"", where, entries.back().name);
  }
  return entries;
}

std::vector<std::byte> inflate_zip(std::span<const std::byte> archive, const ZipEntry& entry,
                                   const std::string& where) {
  const auto refuse = [&](std::string_view why) { throw IoError("{}: zip entry \"{}\" {}", where, entry.name, why); };
  if (entry.size > kLargestInflated || entry.size / kMostExpansion > entry.packed)
    refuse(fmt::format("claims {} bytes from {}", entry.size, entry.packed));
  std::vector<std::byte> content(entry.size);
  const auto packed = archive.subspan(entry.offset, entry.packed);
  z_stream stream{};
  if (inflateInit2(&stream, -15) != Z_OK) refuse("cannot be inflated; zlib does not start");
  // Both below 2^32: the content by the check above, and what is read of the packed bytes by this.
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(packed.data()));
  stream.avail_in = static_cast<uInt>(std::min<std::size_t>(packed.size(), UINT32_MAX));
  stream.next_out = reinterpret_cast<Bytef*>(content.data());
  stream.avail_out = static_cast<uInt>(content.size());
  const int status = inflate(&stream, Z_FINISH);
  const bool whole = status == Z_STREAM_END && stream.avail_out == 0;
  inflateEnd(&stream);
  if (!whole) refuse("is damaged; its content is not as long as it says, or no deflate stream");
  const auto crc = crc32_z(0, reinterpret_cast<const Bytef*>(content.data()), content.size());
  if (crc != entry.crc) refuse(fmt::format("is damaged; got CRC-32 {:08x}, the directory says {:08x}", crc, entry.crc));
  return content;
}

}  // namespace retort

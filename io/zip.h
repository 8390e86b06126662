// io/zip.h -- zip archives in memory: the central directory, stored entries in place, deflated ones inflated.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace retort {

struct ZipEntry {
  std::string name;
  std::size_t offset = 0;  ///< of the payload in the archive
  std::size_t packed = 0;  ///< bytes in the archive
  std::size_t size = 0;    ///< bytes of the content
  std::uint32_t crc = 0;   ///< CRC-32 of the content
  bool deflated = false;   ///< otherwise stored: `packed` is `size`
};

/// The files of an archive, in the order of its directory (APPNOTE.TXT 6.3, zip64 too, one volume). Payloads lie inside
/// the archive. A missing or damaged directory, names given twice, encryption and methods other than stored and deflate
/// are IoErrors that begin with `where` and name the entry.
std::vector<ZipEntry> list_zip(std::span<const std::byte> archive, const std::string& where);

/// Content of a deflated entry, checked against its size and CRC-32. What claims more than a GB, or more than deflate
/// can pack into its bytes, is refused before memory is taken.
std::vector<std::byte> inflate_zip(std::span<const std::byte> archive, const ZipEntry& entry, const std::string& where);

}  // namespace retort

// io/crc32c.h -- CRC-32C (Castagnoli), the checksum of every tensor in a checkpoint.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace retort {

/// CRC-32C of `bytes` (reflected polynomial 0x82F63B78, as in iSCSI, RFC 3720): 0xE3069283 for "123456789". A long
/// message may come in pieces: pass the checksum of what came before as `seed`. Uses the SSE 4.2 instruction where the
/// build allows it, the table form otherwise; both give the same value.
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t seed = 0);

/// The same checksum by tables alone, eight bytes at a step: runs on every processor.
std::uint32_t crc32c_portable(std::span<const std::byte> bytes, std::uint32_t seed = 0);

}  // namespace retort

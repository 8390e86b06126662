// tests/io/crc32c_test.cpp -- the checksum against its published check values, and its two forms against each other.
#include "io/crc32c.h"

#include <doctest/doctest.h>

#include <random>
#include <vector>

#include "io/file.h"

using namespace retort;

TEST_CASE("io: crc32c gives the published check values") {
  const std::vector<std::byte> zeros(32), ones(32, std::byte{0xff});
  for (auto* sum : {&crc32c, &crc32c_portable}) {
    CHECK(sum(bytes_of("123456789"), 0) == 0xE3069283u);
    CHECK(sum({}, 0) == 0u);
    CHECK(sum(zeros, 0) == 0x8A9136AAu);  // RFC 3720, section B.4
    CHECK(sum(ones, 0) == 0x62A8AB43u);
  }
}

TEST_CASE("io: crc32c is the same by instruction, by table and in pieces") {
  std::mt19937_64 random(7);
  std::vector<std::byte> data(40'000);
  for (std::byte& b : data) b = static_cast<std::byte>(random());
  const std::span<const std::byte> all(data);
  for (std::size_t length : {1u, 7u, 8u, 63u, 6143u, 6144u, 6145u, 12288u, 20001u, 39990u}) {
    const auto message = all.subspan(random() % 8, length);
    const std::uint32_t whole = crc32c(message);
    CHECK(whole == crc32c_portable(message));
    const std::size_t cut = random() % length;
    CHECK(whole == crc32c(message.subspan(cut), crc32c(message.first(cut))));
  }
  auto damaged = data;
  damaged[12345] ^= std::byte{4};
  CHECK(crc32c(damaged) != crc32c(data));
}

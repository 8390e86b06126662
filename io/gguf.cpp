// io/gguf.cpp -- header, metadata, the table of tensors, and payloads decoded a piece at a time.
#include "io/gguf.h"

#include <algorithm>
#include <cstring>

#include "io/byte_cursor.h"
#include "io/gguf_blocks.h"
#include "io/json.h"
#include "tensor/error.h"

namespace retort {
namespace {

constexpr std::string_view kGgufMagic = "GGUF";
constexpr std::size_t kLargestMetadata = std::size_t{128} << 20;
constexpr std::uint32_t kMostDimensions = 4;
constexpr int kDeepestArray = 8;
/// Floats decoded at a time.
constexpr std::size_t kDecodedPiece = std::size_t{1} << 16;

// Kinds of metadata values.
enum GgufKind : std::uint32_t { ku8, ki8, ku16, ki16, ku32, ki32, kf32, kbool, kstring, karray, ku64, ki64, kf64 };

/// Bytes of one value; of a string or an array, the least there can be.
constexpr std::uint64_t least_bytes(std::uint32_t kind) {
  constexpr std::uint64_t bytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};
  return bytes[kind];
}

class GgufFile : public TensorFile {
 public:
  explicit GgufFile(const std::filesystem::path& path) : TensorFile(path), file_(path) {
    // What is beyond the limit on metadata can only be payload.
    ByteCursor cursor(file_.bytes().first(std::min(file_.bytes().size(), kLargestMetadata)), where_);
    cursor.take(kGgufMagic.size(), "the magic");
    const auto version = cursor.number<std::uint32_t>("the version");
    if (version == 0x02000000 || version == 0x03000000) throw IoError("{}: a big-endian GGUF file", where_);
    if (version != 2 && version != 3) throw IoError("{}: GGUF version {}; known are 2 and 3", where_, version);
    format_ = fmt::format("GGUF {}", version);
    const auto tensors = cursor.number<std::uint64_t>("the count of tensors");
    const auto values = cursor.number<std::uint64_t>("the count of metadata values");
    check_count(cursor, values, 8 + 4 + 1, "metadata values");
    for (std::uint64_t i = 0; i < values; ++i) read_pair(cursor);
    check_count(cursor, tensors, 8 + 4 + 4 + 8, "tensors");
    std::vector<Info> infos;
    for (std::uint64_t i = 0; i < tensors; ++i) infos.push_back(read_info(cursor));
    place(infos, cursor.offset());
  }

 private:
  /// A tensor as the table has it; `bytes` is 0 for types that cannot be read, whose size nobody here knows.
  struct Info {
    std::string name;
    const GgufType* type;
    std::vector<std::int64_t> extents;  ///< row-major
    std::uint64_t offset, bytes;
  };

  static void check_count(const ByteCursor& cursor, std::uint64_t count, std::uint64_t least, std::string_view what) {
    if (count > cursor.remaining() / least)
      cursor.refuse(fmt::format("{} {} cannot fit in the {} bytes left", count, what, cursor.remaining()));
  }

  static std::string_view read_text(ByteCursor& cursor, std::string_view what) {
    return cursor.text(cursor.number<std::uint64_t>(what), what);
  }

  /// Numbers as text. In a list (`depth` above 0) texts are quoted.
  static void read_value(ByteCursor& cursor, std::uint32_t kind, int depth, std::string& out) {
    const auto put = [&](auto value) { fmt::format_to(std::back_inserter(out), "{}", value); };
    constexpr std::string_view what = "a metadata value";
    switch (kind) {
      case ku8:
        return put(cursor.number<std::uint8_t>(what));
      case ki8:
        return put(static_cast<int>(cursor.number<std::int8_t>(what)));
      case ku16:
        return put(cursor.number<std::uint16_t>(what));
      case ki16:
        return put(cursor.number<std::int16_t>(what));
      case ku32:
        return put(cursor.number<std::uint32_t>(what));
      case ki32:
        return put(cursor.number<std::int32_t>(what));
      case ku64:
        return put(cursor.number<std::uint64_t>(what));
      case ki64:
        return put(cursor.number<std::int64_t>(what));
      case kf32:
        return put(cursor.number<float>(what));
      case kf64:
        return put(cursor.number<double>(what));
      case kbool: {
        const auto flag = cursor.number<std::uint8_t>(what);
        if (flag > 1) cursor.refuse(fmt::format("a bool is neither 0 nor 1; got {}", flag));
        return put(flag == 1);
      }
      case kstring: {
        const std::string_view text = read_text(cursor, what);
        if (depth == 0)
          out.append(text);
        else
          out.append(nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
        return;
      }
      case karray:
        return read_array(cursor, depth, out);
      default:
        cursor.refuse(fmt::format("unknown kind of metadata; got {}", kind));
    }
  }

  static void read_array(ByteCursor& cursor, int depth, std::string& out) {
    const auto kind = cursor.number<std::uint32_t>("the kind of an array");
    const auto count = cursor.number<std::uint64_t>("the length of an array");
    if (kind > kf64) cursor.refuse(fmt::format("unknown kind of metadata; got {}", kind));
    if (depth >= kDeepestArray) cursor.refuse("arrays nested too deep");
    check_count(cursor, count, least_bytes(kind), "elements");
    out.push_back('[');
    for (std::uint64_t i = 0; i < count; ++i) {
      if (i > 0) out.push_back(',');
      read_value(cursor, kind, depth + 1, out);
    }
    out.push_back(']');
  }

  void read_pair(ByteCursor& cursor) {
    const std::string key(read_text(cursor, "a metadata key"));
    const auto kind = cursor.number<std::uint32_t>("the kind of a metadata value");
    std::string value;
    if (key == "general.alignment") {
      if (kind != ku32) cursor.refuse("general.alignment is no u32");
      alignment_ = cursor.number<std::uint32_t>(key);
      if (alignment_ == 0 || alignment_ % 8 != 0)
        cursor.refuse(fmt::format("general.alignment is no multiple of 8; got {}", alignment_));
      value = fmt::format("{}", alignment_);
    } else {
      read_value(cursor, kind, 0, value);
    }
    if (!metadata_.emplace(key, std::move(value)).second) cursor.refuse(fmt::format("\"{}\" is given twice", key));
  }

  Info read_info(ByteCursor& cursor) const {
    Info info;
    info.name = read_text(cursor, "a tensor's name");
    const auto rank = cursor.number<std::uint32_t>("a tensor's rank");
    if (rank > kMostDimensions)
      cursor.refuse(fmt::format("tensor \"{}\" has rank {}; the format allows {}", info.name, rank, kMostDimensions));
    for (std::uint32_t i = 0; i < rank; ++i) {
      const auto extent = cursor.number<std::uint64_t>("a dimension");
      if (extent > std::uint64_t{INT64_MAX})
        cursor.refuse(fmt::format("tensor \"{}\" has a dimension of {}", info.name, extent));
      info.extents.insert(info.extents.begin(), static_cast<std::int64_t>(extent));
    }
    const auto type = cursor.number<std::uint32_t>("a tensor's type");
    info.type = gguf_type(type);
    if (info.type == nullptr)
      cursor.refuse(fmt::format("tensor \"{}\" is of type {}, which the format does not have", info.name, type));
    info.offset = cursor.number<std::uint64_t>("a tensor's offset");
    info.bytes = payload_bytes(cursor, info);
    return info;
  }

  std::uint64_t payload_bytes(const ByteCursor& cursor, const Info& info) const {
    if (!info.type->known) return 0;
    const std::int64_t row = info.extents.empty() ? 1 : info.extents.back();
    if (row % info.type->values != 0)
      cursor.refuse(fmt::format("tensor \"{}\": rows of {} elements are no whole blocks of {} ({} each)", info.name,
                                row, info.type->name, info.type->values));
    std::vector<std::int64_t> extents = info.extents;
    if (!extents.empty()) extents.back() /= info.type->values;
    return static_cast<std::uint64_t>(
        checked_payload(Shape(std::span<const std::int64_t>(extents)), info.type->bytes, where_, info.name));
  }

  /// Checks where payloads lie and lists the tensors in that order.
  void place(std::vector<Info>& infos, std::size_t end_of_header) {
    const std::uint64_t size = file_.bytes().size();
    const std::uint64_t begin = (std::uint64_t{end_of_header} + alignment_ - 1) / alignment_ * alignment_;
    std::stable_sort(infos.begin(), infos.end(), [](const Info& a, const Info& b) { return a.offset < b.offset; });
    std::uint64_t end = 0;
    for (const Info& info : infos) {
      const auto refuse = [&](std::string_view why) {
        throw IoError("{}: tensor \"{}\" {}; got {} bytes at {} of the data, which begins at {} of {}", where_,
                      info.name, why, info.bytes, info.offset, begin, size);
      };
      if (info.offset % alignment_ != 0) refuse("is not aligned");
      if (info.offset < end) refuse("overlaps another");
      const bool inside = begin <= size && info.offset <= size - begin && info.bytes <= size - begin - info.offset;
      if (!inside && info.bytes > 0) refuse("lies outside the file");
      end = info.offset + info.bytes;
      add_info(info, static_cast<std::size_t>(begin + info.offset));
    }
  }

  void add_info(const Info& info, std::size_t offset) {
    if (!info.type->known) return add_unreadable(info.name, fmt::format("of type {}", info.type->name));
    FileTensor tensor;
    tensor.name = info.name;
    tensor.dtype = info.type->dtype;
    tensor.shape = Shape(std::span<const std::int64_t>(info.extents));
    tensor.stored = info.type->name;
    tensor.file = file_.path();
    add(std::move(tensor));
    payloads_.push_back({info.type, offset, static_cast<std::size_t>(info.bytes)});
  }

  void stream(std::size_t index, const ByteSink& sink) const override {
    const Payload& p = payloads_[index];
    if (p.bytes == 0) return;
    if (p.type->decode == nullptr) return file_.stream(p.offset, p.bytes, sink);
    // Pieces of whole blocks: their size does not divide that of a mapped piece.
    const auto block = static_cast<std::size_t>(p.type->bytes), values = static_cast<std::size_t>(p.type->values);
    const std::size_t piece = kDecodedPiece / values * block;
    static_assert(2 * kDecodedPiece <= MappedFile::kPiece, "a piece of blocks comes in one piece of the mapping");
    std::vector<float> decoded(kDecodedPiece);
    for (std::size_t done = 0; done < p.bytes; done += piece) {
      file_.stream(p.offset + done, std::min(piece, p.bytes - done), [&](std::span<const std::byte> raw) {
        const std::size_t blocks = raw.size() / block;
        for (std::size_t b = 0; b < blocks; ++b) p.type->decode(raw.data() + b * block, decoded.data() + b * values);
        sink(std::as_bytes(std::span(decoded).first(blocks * values)));
      });
    }
  }

  struct Payload {
    const GgufType* type;
    std::size_t offset, bytes;
  };
  MappedFile file_;
  std::uint64_t alignment_ = 32;
  std::vector<Payload> payloads_;  ///< of tensors(), in their order
};

}  // namespace

bool looks_like_gguf(std::span<const std::byte> bytes) {
  return bytes.size() >= kGgufMagic.size() && std::memcmp(bytes.data(), kGgufMagic.data(), kGgufMagic.size()) == 0;
}

std::unique_ptr<TensorFile> open_gguf(const std::filesystem::path& path) { return std::make_unique<GgufFile>(path); }

}  // namespace retort

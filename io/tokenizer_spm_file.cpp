// io/tokenizer_spm_file.cpp -- tokenizer.model: SentencePiece's protocol buffer, of which a few fields matter.
// protobuf.dev/programming-guides/encoding, github.com/google/sentencepiece, sentencepiece_model.proto
#include "io/byte_cursor.h"
#include "io/tokenizer_spm.h"
#include "tensor/error.h"

namespace retort {
namespace {

/// The fields of one message, in the order of the file. A value is a number or bytes, by its wire type.
class ProtoReader {
 public:
  ProtoReader(std::string_view bytes, std::string where)
      : where_(std::move(where)), cursor_(std::as_bytes(std::span(bytes)), where_) {}
  ProtoReader(const ProtoReader&) = delete;
  ProtoReader& operator=(const ProtoReader&) = delete;

  /// Goes to the next field; false at the end.
  bool next() {
    if (cursor_.remaining() == 0) return false;
    const std::uint64_t key = varint();
    field = key >> 3;
    wire_ = static_cast<int>(key & 7);
    if (field == 0 || field > 0x1fffffff) cursor_.refuse("bad number of a field");
    switch (wire_) {
      case 0:
        number_ = varint();
        break;
      case 1:
        cursor_.take(8, "a field");
        break;
      case 2:
        bytes_ = cursor_.text(varint(), "a field");
        break;
      case 5:
        float_ = cursor_.number<float>("a field");
        break;
      default:
        cursor_.refuse(fmt::format("unknown wire type {}", wire_));
    }
    return true;
  }
  std::uint64_t field = 0;

  std::uint64_t number() const { return wanted(0), number_; }
  bool flag() const { return number() != 0; }
  std::string_view bytes() const { return wanted(2), bytes_; }
  float real() const { return wanted(5), float_; }

 private:
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
      const auto byte = cursor_.number<std::uint8_t>("a number");
      value |= shift < 64 ? std::uint64_t{byte & 0x7fu} << shift : 0;
      if (byte < 0x80) return value;
    }
    cursor_.refuse("a number of more than ten bytes");
  }
  void wanted(int wire) const {
    if (wire_ != wire) cursor_.refuse(fmt::format("field {} has the wire type {}; expected {}", field, wire_, wire));
  }

  std::string where_;
  ByteCursor cursor_;
  int wire_ = 0;
  std::uint64_t number_ = 0;
  std::string_view bytes_;
  float float_ = 0;
};

SpmPiece read_piece(std::string_view bytes, const std::string& where) {
  SpmPiece piece;
  ProtoReader reader(bytes, where);
  while (reader.next()) {
    if (reader.field == 1) piece.text = reader.bytes();
    if (reader.field == 2) piece.score = reader.real();
    if (reader.field != 3) continue;
    if (reader.number() < 1 || reader.number() > 6)
      throw IoError("{}: unknown type {} of a piece", where, reader.number());
    piece.type = static_cast<SpmType>(reader.number());
  }
  return piece;
}

void read_trainer(std::string_view bytes, const std::string& where, SpmModel& model) {
  ProtoReader reader(bytes, where);
  while (reader.next()) {
    if (reader.field == 3) {
      if (reader.number() != 1 && reader.number() != 2)
        throw IoError("{}: model_type {} is not supported; known are 1 (Unigram) and 2 (BPE)", where, reader.number());
      model.bpe = reader.number() == 2;
    }
    if (reader.field == 24 && reader.flag()) throw IoError("{}: treat_whitespace_as_suffix is not supported", where);
    if (reader.field == 35) model.byte_fallback = reader.flag();
  }
}

void read_normalizer_spec(std::string_view bytes, const std::string& where, SpmModel& model) {
  ProtoReader reader(bytes, where);
  while (reader.next()) {
    if (reader.field == 2) model.charsmap = reader.bytes();
    if (reader.field == 3) model.prefix = reader.flag();
    if (reader.field == 4) model.remove_spaces = reader.flag();
    if (reader.field == 5 && !reader.flag()) throw IoError("{}: spaces that are not escaped are not supported", where);
  }
}

}  // namespace

bool looks_like_spm_file(std::string_view bytes) {
  const std::size_t first = bytes.find_first_not_of(" \t\r\n");
  return bytes.starts_with('\n') && first != std::string_view::npos && bytes[first] != '{';
}

std::unique_ptr<TokenizerParts> read_spm_file(std::string_view bytes, const std::string& where) {
  SpmModel model;
  model.remove_spaces = true;  // unless the file says no
  ProtoReader reader(bytes, where);
  while (reader.next()) {
    if (reader.field == 1)
      model.pieces.push_back(read_piece(reader.bytes(), fmt::format("{}: pieces[{}]", where, model.pieces.size())));
    if (reader.field == 2) read_trainer(reader.bytes(), where + ": trainer_spec", model);
    if (reader.field == 3) read_normalizer_spec(reader.bytes(), where + ": normalizer_spec", model);
    if (reader.field == 5 && !reader.bytes().empty())
      for (ProtoReader back(reader.bytes(), where + ": denormalizer_spec"); back.next();)
        if (back.field == 2 && !back.bytes().empty())
          throw IoError("{}: denormalizer_spec: replacements in decoded texts are not supported", where);
  }
  return make_spm(std::move(model), where);
}

}  // namespace retort

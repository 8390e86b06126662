// tests/io/foreign_files.h -- small files of other programs, written byte by byte: for tests of readers and as seeds.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace retort::test {

/// Little-endian numbers and texts, one after the other.
class ByteWriter {
 public:
  template <class T>
  ByteWriter& put(T value) {
    text_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  ByteWriter& raw(std::string_view text) {
    text_.append(text);
    return *this;
  }
  /// A text behind its length in 64 bits.
  ByteWriter& sized(std::string_view text) { return put<std::uint64_t>(text.size()).raw(text); }
  ByteWriter& pad(std::size_t alignment) {
    text_.resize((text_.size() + alignment - 1) / alignment * alignment, '\0');
    return *this;
  }
  const std::string& str() const { return text_; }
  std::size_t size() const { return text_.size(); }

 private:
  std::string text_;
};

/// The bytes of a list of values.
template <class T>
std::string packed(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

inline std::string safetensors_file(const std::string& header, const std::string& data) {
  return ByteWriter().sized(header).raw(data).str();
}

inline std::string sound_safetensors() {
  return safetensors_file(
      R"({"__metadata__":{"format":"pt"},"a.weight":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},)"
      R"("b":{"dtype":"BOOL","shape":[3],"data_offsets":[16,19]},"c":{"dtype":"I16","shape":[],)"
      R"("data_offsets":[19,21]}})",
      packed<float>({1, -2, 0.5f, 4}) + std::string("\1\0\1\x07\x00", 5));
}

// ---- GGUF ----

struct GgufInfo {
  std::string name;
  std::vector<std::uint64_t> dimensions;  ///< as the file has them: the fastest first
  std::uint32_t type;
  std::uint64_t offset;
};

/// `pairs` are metadata, already encoded: key, kind, value.
inline std::string gguf_file(const std::vector<std::string>& pairs, const std::vector<GgufInfo>& infos,
                             const std::string& data, std::uint32_t version = 3) {
  ByteWriter w;
  w.raw("GGUF").put(version).put<std::uint64_t>(infos.size()).put<std::uint64_t>(pairs.size());
  for (const std::string& pair : pairs) w.raw(pair);
  for (const GgufInfo& info : infos) {
    w.sized(info.name).put<std::uint32_t>(static_cast<std::uint32_t>(info.dimensions.size()));
    for (const std::uint64_t extent : info.dimensions) w.put(extent);
    w.put(info.type).put(info.offset);
  }
  return w.pad(32).raw(data).str();
}

/// One metadata pair whose value is already encoded.
inline std::string gguf_pair(std::string_view key, std::uint32_t kind, const std::string& value) {
  return ByteWriter().sized(key).put(kind).raw(value).str();
}

inline std::string sound_gguf() {
  const std::string words =
      ByteWriter().put<std::uint32_t>(8).put<std::uint64_t>(2).sized("a").sized("\xc3\xa9\n").str();
  const std::string nested = ByteWriter()
                                 .put<std::uint32_t>(9)
                                 .put<std::uint64_t>(1)
                                 .put<std::uint32_t>(0)
                                 .put<std::uint64_t>(2)
                                 .raw("\1\2")
                                 .str();
  return gguf_file({gguf_pair("general.architecture", 8, ByteWriter().sized("tiny").str()),
                    gguf_pair("tiny.layers", 4, ByteWriter().put<std::uint32_t>(2).str()),
                    gguf_pair("tiny.scale", 12, ByteWriter().put<double>(0.25).str()),
                    gguf_pair("tiny.flag", 7, ByteWriter().put<std::uint8_t>(1).str()), gguf_pair("tokens", 9, words),
                    gguf_pair("nested", 9, nested)},
                   {{"plain", {3, 2}, 0, 0}, {"blocks", {32}, 8, 32}, {"other", {256}, 16, 96}},
                   packed<float>({1, 2, 3, 4, 5, 6}) + std::string(8, '\0') + std::string("\x00\x3c", 2) +
                       std::string(32, '\x05') + std::string(30, '\0') + std::string(66, '\1'));
}

// ---- Pickles ----

/// Opcodes of protocol 2, as torch.save writes them.
class PickleWriter {
 public:
  PickleWriter() { w_.raw("\x80\x02"); }
  PickleWriter& op(std::string_view opcodes) {
    w_.raw(opcodes);
    return *this;
  }
  PickleWriter& text(std::string_view text) {
    w_.raw("X").put<std::uint32_t>(static_cast<std::uint32_t>(text.size())).raw(text);
    return *this;
  }
  PickleWriter& integer(std::int32_t value) {
    w_.raw("J").put(value);
    return *this;
  }
  PickleWriter& global(std::string_view module, std::string_view name) {
    w_.raw("c").raw(module).raw("\n").raw(name).raw("\n");
    return *this;
  }
  PickleWriter& tuple(const std::vector<std::int32_t>& values) {
    w_.raw("(");
    for (const std::int32_t v : values) integer(v);
    w_.raw("t");
    return *this;
  }
  /// A tensor of torch._utils._rebuild_tensor_v2.
  PickleWriter& tensor(std::string_view type, std::string_view key, std::int32_t elements, std::int32_t offset,
                       const std::vector<std::int32_t>& shape, const std::vector<std::int32_t>& strides,
                       bool legacy = false) {
    global("torch._utils", "_rebuild_tensor_v2").op("((").text("storage").global("torch", type).text(key).text("cpu");
    integer(elements).op(legacy ? "NtQ" : "tQ").integer(offset).tuple(shape).tuple(strides);
    return op("\x89").global("collections", "OrderedDict").op(")RtR");
  }
  std::string done() const { return w_.str() + "."; }

 private:
  ByteWriter w_;
};

/// {"w": 2x3 floats with strides, "v": the same storage, "list": [{"k": i64 scalar}], "obj": unknown(..)}.
inline std::string sound_pickle(bool legacy = false) {
  PickleWriter p;
  p.op("}(").text("w").tensor("FloatStorage", "0", 6, 0, {2, 3}, {1, 2}, legacy);
  p.text("v").tensor("FloatStorage", "0", 6, 2, {4}, {1}, legacy);
  p.text("list").op("](}").text("k").tensor("LongStorage", "1", 1, 0, {}, {}, legacy).op("se");
  p.text("obj")
      .global("kitchen", "Recipe")
      .op(")\x81}")
      .text("mean")
      .tensor("FloatStorage", "0", 6, 0, {2}, {1}, legacy);
  return p.op("sb").text("epoch").integer(3).op("u").done();
}

struct ZipContent {
  std::string name, content;
};

inline std::uint32_t zip_crc(std::string_view text) {
  std::uint32_t crc = ~0u;
  for (const char c : text) {
    crc ^= static_cast<unsigned char>(c);
    for (int i = 0; i < 8; ++i) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0u);
  }
  return ~crc;
}

/// An archive of stored entries.
inline std::string zip_file(const std::vector<ZipContent>& contents) {
  ByteWriter w, directory;
  for (const auto& [name, content] : contents) {
    const auto size = static_cast<std::uint32_t>(content.size()), at = static_cast<std::uint32_t>(w.size());
    ByteWriter common;
    common.put<std::uint16_t>(0).put<std::uint16_t>(0).put<std::uint32_t>(0).put(zip_crc(content)).put(size).put(size);
    common.put(static_cast<std::uint16_t>(name.size())).put<std::uint16_t>(0);
    w.put<std::uint32_t>(0x04034b50).put<std::uint16_t>(0).raw(common.str()).raw(name).raw(content);
    directory.put<std::uint32_t>(0x02014b50).put<std::uint32_t>(0).raw(common.str());
    directory.put<std::uint16_t>(0).put<std::uint64_t>(0).put(at).raw(name);
  }
  const auto count = static_cast<std::uint16_t>(contents.size());
  const auto begin = static_cast<std::uint32_t>(w.size());
  w.raw(directory.str()).put<std::uint32_t>(0x06054b50).put<std::uint32_t>(0).put(count).put(count);
  w.put(static_cast<std::uint32_t>(directory.size())).put(begin).put<std::uint16_t>(0);
  return w.str();
}

inline std::string sound_torch_zip(const std::string& pickle = sound_pickle()) {
  return zip_file({{"a/data.pkl", pickle},
                   {"a/byteorder", "little"},
                   {"a/data/0", packed<float>({0, 1, 2, 3, 4, 5})},
                   {"a/data/1", packed<std::int64_t>({7})}});
}

/// The first three pickles of the old format.
inline std::string legacy_head() {
  ByteWriter w;
  w.raw(std::string_view("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15));
  w.raw(PickleWriter().op("M\xe9\x03").done());
  w.raw(PickleWriter().op("}").text("little_endian").op("\x88s").done());
  return w.str();
}

inline std::string sound_torch_legacy() {
  ByteWriter w;
  w.raw(legacy_head()).raw(sound_pickle(true)).raw(PickleWriter().op("](").text("1").text("0").op("e").done());
  w.put<std::int64_t>(1).put<std::int64_t>(7);
  w.put<std::int64_t>(6).raw(packed<float>({0, 1, 2, 3, 4, 5}));
  return w.str();
}

inline std::string sound_index() {
  return R"({"metadata": {"total_size": 1}, "weight_map": {"a.weight": "model.safetensors", "b": "model.safetensors"}})";
}

}  // namespace retort::test

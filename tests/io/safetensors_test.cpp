// tests/io/safetensors_test.cpp -- safetensors: files of the format's own library, headers that lie, the writer.
#include "io/safetensors.h"

#include "io/file.h"
#include "tests/io/checkpoint_fixture.h"
#include "tests/io/foreign_files.h"
#include "tests/io/foreign_fixture.h"

using namespace retort;
using namespace retort::test;

namespace {

/// A file of `data` bytes with these entries; the error it gives.
std::string refused_header(const std::string& header, std::size_t data = 16) {
  const TemporaryFolder folder;
  return refusal_of(folder, safetensors_file(header, std::string(data, '\0')));
}

std::string f32_entry(const std::string& name, int begin, int end, int elements) {
  return fmt::format(R"("{}":{{"dtype":"F32","shape":[{}],"data_offsets":[{},{}]}})", name, elements, begin, end);
}

void write_copy(const TensorFile& file, const std::string& path) {
  std::vector<NamedPayload> tensors;
  for (const FileTensor& t : file.tensors())
    tensors.push_back({t.name, t.dtype, t.shape, [&](const ByteSink& sink) { file.read(t, sink); }});
  write_safetensors(path, std::move(tensors), file.metadata());
}

}  // namespace

TEST_CASE("io/safetensors: every dtype of a file of the format's own library is read") {
  const auto file = open_tensor_file(fixture_path("small.safetensors"));
  CHECK(file->format() == "safetensors");
  CHECK(file->metadata().at("format") == "pt");
  CHECK(file->unreadable().empty());
  CHECK(file->tensors().size() == 10);
  const DType kinds[] = {DType::boolean, DType::u8,  DType::f16, DType::bf16,
                         DType::i32,     DType::i64, DType::f32, DType::f64};
  const char* names[] = {"bool", "uint8", "float16", "bfloat16", "int32", "int64", "float32", "float64"};
  for (int i = 0; i < 8; ++i) CHECK(is_fixture(*file, fmt::format("layer.{}.{}", i, names[i]), kinds[i], {3, 5}, i));
  CHECK(values_of(*file, "scalar") == std::vector<double>{1.5});
  CHECK(file->find("scalar")->shape.rank() == 0);
  CHECK(file->bytes("empty").empty());
  CHECK(file->find("empty")->shape == Shape{2, 0});
}

TEST_CASE("io/safetensors: what is written again has the same bytes") {
  const TemporaryFolder folder;
  const auto file = open_tensor_file(fixture_path("small.safetensors"));
  write_copy(*file, folder.file("again"));
  CHECK(read_file(folder.file("again")) == read_file(fixture_path("small.safetensors")));
}

TEST_CASE("io/safetensors: dtypes that Retort does not have are named, the others are read") {
  const auto file = open_tensor_file(fixture_path("unreadable.safetensors"));
  CHECK(is_fixture(*file, "w", DType::f32, {2, 2}, 1));
  CHECK(file->tensors().size() == 1);
  const auto reason = [&](const char* name) { return error_text<IoError>([&] { file->bytes(name); }); };
  CHECK(contains(reason("short"), "\"short\"; it is of dtype I16"));
  CHECK(contains(reason("f8"), "\"f8\"; it is of dtype F8_E4M3"));
  CHECK(contains(reason("none"), "no tensor \"none\""));
}

TEST_CASE("io/safetensors: shards are found through their index") {
  const auto file = open_tensor_file(fixture_path("shards.safetensors.index.json"));
  CHECK(file->format() == "safetensors of 2 shards");
  CHECK(is_fixture(*file, "a.weight", DType::f32, {4, 2}, 1));
  CHECK(is_fixture(*file, "b.weight", DType::f32, {2, 4}, 3));
  CHECK(file->find("b.weight")->file.filename() == "shards-00002-of-00002.safetensors");
  CHECK(file->metadata().at("total_size") == "80");
}

TEST_CASE("io/safetensors: an index that does not fit its shards is refused") {
  const TemporaryFolder folder;
  write_bytes(folder.file("model.safetensors"), bytes_from(sound_safetensors()));
  const auto refused = [&](const std::string& map) { return refusal_of(folder, R"({"weight_map": )" + map + "}"); };
  CHECK(contains(refused(R"({"a.weight": "model.safetensors", "x": "model.safetensors"})"), "\"x\" is not in"));
  CHECK(contains(refused(R"({"a": "../model.safetensors"})"), "a shard is a file in the same folder"));
  CHECK(contains(refused(R"({"a": "/etc/passwd"})"), "a shard is a file in the same folder"));
  CHECK(contains(refused(R"({"a": 3})"), "\"a\" has no file name"));
  CHECK(contains(refused("[]"), "no object \"weight_map\""));
  // An index is no shard, or an index of itself would never end.
  CHECK(contains(refused(R"({"a": "refused"})"), "of no format known here"));
  write_bytes(folder.file("part.json"), bytes_from(R"({"weight_map": {"a.weight": "model.safetensors"}})"));
  const auto part = open_tensor_file(folder.file("part.json"));
  CHECK(part->tensors().size() == 1);
  CHECK(contains(part->unreadable().at("model.safetensors: b"), "not placed"));
}

TEST_CASE("io/safetensors: a header that lies about the data is refused and the place named") {
  const auto one = [](const std::string& entry) { return "{" + entry + "}"; };
  CHECK(refused_header(one(f32_entry("a", 0, 16, 4))).empty());
  CHECK(contains(refused_header(one(f32_entry("a", 0, 8, 2) + "," + f32_entry("b", 4, 16, 3))), "\"b\": it overlaps"));
  CHECK(contains(refused_header(one(f32_entry("a", 0, 4, 1) + "," + f32_entry("b", 8, 16, 2))), "\"b\": a hole lies"));
  CHECK(contains(refused_header(one(f32_entry("a", 4, 16, 3))), "\"a\": a hole lies before it"));
  CHECK(contains(refused_header(one(f32_entry("a", 0, 8, 2))), "bytes that belong to no tensor"));
  CHECK(contains(refused_header(one(f32_entry("a", 0, 20, 5))), "\"a\": it lies outside the file"));
  CHECK(contains(refused_header(one(f32_entry("a", 0, 16, 3))), "does not fill its bytes"));
  CHECK(contains(refused_header(one(f32_entry("a", 0, 15, 4))), "does not fill its bytes"));
  CHECK(contains(refused_header(one(f32_entry("a", 16, 0, 4))), "not a begin and an end"));
  CHECK(contains(refused_header(one(f32_entry("a", -4, 12, 4))), "what is no size"));
  CHECK(contains(refused_header(one(f32_entry("a", 0, 8, 2) + "," + f32_entry("a", 8, 16, 2))), "given twice"));
  CHECK(contains(refused_header(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,16]}})"),
                 "does not fill its bytes"));
  CHECK(contains(refused_header(R"({"a":{"dtype":"F33","shape":[4],"data_offsets":[0,16]}})"), "\"F33\" is none"));
  CHECK(contains(refused_header(R"({"a":{"dtype":"F32","shape":[4.0],"data_offsets":[0,16]}})"), "what is no size"));
  CHECK(contains(refused_header(R"({"a":{"dtype":"F32","shape":[4]}})"), "no list \"data_offsets\""));
  CHECK(contains(refused_header(R"({"__metadata__":{"a":1}})", 0), "no text"));
}

TEST_CASE("io/safetensors: headers too long, cut or nested are refused before memory is taken") {
  const TemporaryFolder folder;
  const auto with_length = [&](std::uint64_t length) {
    return refusal_of(folder, ByteWriter().put(length).raw("{").raw(std::string(100, ' ')).str());
  };
  CHECK(contains(with_length(102), "of no format known here"));
  CHECK(contains(with_length(101), "bad JSON at byte"));
  const std::string path = folder.file("sparse");
  write_bytes(path, bytes_from(ByteWriter().put<std::uint64_t>(200'000'000).raw("{").str()));
  std::filesystem::resize_file(path, 300'000'000);
  CHECK(contains(error_text<IoError>([&] { open_tensor_file(path); }), "header too large; got 200000000 bytes"));
  CHECK(contains(refused_header("{\"a\":" + std::string(50, '[') + std::string(50, ']') + "}"), "nested deeper"));
  CHECK(contains(refused_header("{\"\xff\":1}"), "bad JSON at byte"));
}

TEST_CASE("io/safetensors: a length that reads as a brace does not make the file an index") {
  std::string header = "{" + f32_entry("a", 0, 16, 4) + "}";
  header.resize('{', ' ');
  CHECK(refused_header(header).empty());
}

TEST_CASE("io/safetensors: a bool that is neither 0 nor 1 is refused when it is read") {
  const TemporaryFolder folder;
  write_bytes(folder.file("f"),
              bytes_from(safetensors_file(R"({"m":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}})", "\1\2")));
  const auto file = open_tensor_file(folder.file("f"));
  CHECK(contains(error_text<IoError>([&] { file->bytes("m"); }), "\"m\" is damaged; a bool"));
}

TEST_CASE("io/safetensors: the writer refuses what the format cannot hold, and leaves no file") {
  const TemporaryFolder folder;
  const std::string path = folder.file("out");
  const std::vector<std::byte> eight(8);
  const auto give = [&](const ByteSink& sink) { sink(eight); };
  const auto write = [&](std::vector<NamedPayload> list) { write_safetensors(path, std::move(list), {}); };
  CHECK(contains(error_text<ValueError>([&] {
                   write({{"a", DType::f32, {2}, give}, {"a", DType::f64, {1}, give}});
                 }),
                 "given twice"));
  CHECK(contains(error_text<ValueError>([&] { write({{"__metadata__", DType::f32, {2}, give}}); }), "__metadata__"));
  CHECK(contains(error_text<ValueError>([&] { write({{"\xff", DType::f32, {2}, give}}); }), "not UTF-8"));
  CHECK(contains(error_text<ShapeError>([&] { write({{"a", DType::f32, {1}, give}}); }), "\"a\" exceeds"));
  CHECK(contains(error_text<ShapeError>([&] { write({{"a", DType::f32, {3}, give}}); }), "lacks 4 bytes"));
  CHECK_FALSE(std::filesystem::exists(path));
  CHECK(std::filesystem::is_empty(folder.path()));
}

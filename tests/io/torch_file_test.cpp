// tests/io/torch_file_test.cpp -- what torch.save wrote, pickles written opcode by opcode, and hostile ones.
#include "io/torch_file.h"

#include <zlib.h>

#include "io/pickle.h"
#include "io/zip.h"
#include "tests/io/checkpoint_fixture.h"
#include "tests/io/foreign_files.h"
#include "tests/io/foreign_fixture.h"

using namespace retort;
using namespace retort::test;

namespace {

void check_state(const TensorFile& file, const std::string& p) {
  CHECK(is_fixture(file, p + "embed.weight", DType::f32, {6, 4}, 1));
  CHECK(is_fixture(file, p + "conv.weight", DType::f32, {4, 3, 2, 2}, 2));
  REQUIRE(file.find(p + "conv.transposed") != nullptr);
  CHECK(file.find(p + "conv.transposed")->shape == Shape{3, 5});
  const std::vector<double> transposed = values_of(file, p + "conv.transposed");
  for (int i = 0; i < 15; ++i)
    CHECK(transposed[static_cast<std::size_t>(i)] == fixture_value(i % 5 * 3 + i / 5, 3, DType::f32));
  const std::vector<double> column = values_of(file, p + "conv.column");
  REQUIRE(column.size() == 4);
  for (int i = 0; i < 4; ++i)
    CHECK(column[static_cast<std::size_t>(i)] == fixture_value((i + 1) * 4 + 2, 4, DType::f64));
  CHECK(is_fixture(file, p + "norm.running", DType::bf16, {4}, 8));
  CHECK(values_of(file, p + "norm.count") == std::vector<double>{7});
  CHECK(is_fixture(file, p + "mask", DType::boolean, {3, 3}, 9));
  CHECK(is_fixture(file, p + "bytes", DType::u8, {5}, 10));
  CHECK(is_fixture(file, p + "half", DType::f16, {2, 3}, 11));
  CHECK(is_fixture(file, p + "index", DType::i32, {4}, 12));
  CHECK(file.find(p + "empty")->shape == Shape{0, 3});
  const std::vector<double> expanded = values_of(file, p + "expanded");
  REQUIRE(expanded.size() == 12);
  for (int i = 0; i < 12; ++i) CHECK(expanded[static_cast<std::size_t>(i)] == fixture_value(i % 3, 13, DType::f32));
  CHECK(contains(error_text<IoError>([&] { file.bytes(p + "short"); }), "of a ShortStorage"));
  CHECK(is_fixture(file, p + "head.weight", DType::f32, {6, 4}, 1));
  CHECK(file.find(p + "head.weight")->same_as == p + "embed.weight");
  CHECK(file.find(p + "embed.weight")->same_as.empty());
}

void check_checkpoint(const TensorFile& file) {
  check_state(file, "model.");
  CHECK(is_fixture(file, "optimizer.state.0.exp_avg", DType::f32, {6, 4}, 15));
  CHECK(is_fixture(file, "args.table", DType::f32, {2, 2}, 16));
  CHECK(is_fixture(file, "recipe.mean", DType::f32, {3}, 5));
  CHECK(is_fixture(file, "recipe.parts.0", DType::f32, {2}, 6));
  CHECK(is_fixture(file, "recipe.parts.1.deep", DType::f32, {1, 2}, 7));
  CHECK(is_fixture(file, "parameter", DType::f32, {2}, 17));
  CHECK(file.metadata().at("epoch") == "3");
  CHECK(file.metadata().at("arch") == "tiny");
  CHECK(file.metadata().at("args.lr") == "0.5");
  CHECK(file.tensors().size() == 19);
}

/// What a pickle that holds `opcodes` between the protocol and STOP is refused with.
std::string refused_pickle(const std::string& opcodes) {
  const std::string text = "\x80\x02" + opcodes + ".";
  return error_text<IoError>([&] { read_pickle(bytes_of(text), "p"); });
}

std::string refused_tensor(const std::string& pickle) {
  const TemporaryFolder folder;
  return refusal_of(folder, sound_torch_zip(pickle));
}

std::string deflate_raw(const std::string& content) {
  std::string out(compressBound(content.size()) + 64, '\0');
  z_stream z{};
  deflateInit2(&z, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY);
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  z.avail_in = static_cast<uInt>(content.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  REQUIRE(deflate(&z, Z_FINISH) == Z_STREAM_END);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

}  // namespace

TEST_CASE("io/torch: a checkpoint of torch.save is read, wherever its tensors are") {
  const auto file = open_tensor_file(fixture_path("zip.pt"));
  CHECK(file->format() == "PyTorch");
  check_checkpoint(*file);
}

TEST_CASE("io/torch: the format before 1.6 gives the same tensors") {
  const auto file = open_tensor_file(fixture_path("legacy.pt"));
  CHECK(file->format() == "PyTorch, before 1.6");
  check_checkpoint(*file);
}

TEST_CASE("io/torch: a module pickled whole is an inert record with tensors in it") {
  const auto file = open_tensor_file(fixture_path("module.pt"));
  CHECK(is_fixture(*file, "_modules.0._parameters.weight", DType::f32, {2, 3}, 1));
  CHECK(is_fixture(*file, "_modules.0._parameters.bias", DType::f32, {2}, 2));
  CHECK(file->find("_modules.1._buffers.num_batches_tracked")->dtype == DType::i64);
}

TEST_CASE("io/torch: protocol 5, with bytes, sets and large integers around the tensors") {
  const auto file = open_tensor_file(fixture_path("protocol5.pt"));
  CHECK(is_fixture(*file, "w", DType::f32, {2, 2}, 1));
  CHECK(file->tensors().size() == 1);
}

TEST_CASE("io/torch: strides, views and scalars of files written opcode by opcode") {
  for (const bool legacy : {false, true}) {
    const TemporaryFolder folder;
    write_bytes(folder.file("f"), bytes_from(legacy ? sound_torch_legacy() : sound_torch_zip()));
    const auto file = open_tensor_file(folder.file("f"));
    CHECK(values_of(*file, "w") == std::vector<double>{0, 2, 4, 1, 3, 5});
    CHECK(values_of(*file, "v") == std::vector<double>{2, 3, 4, 5});
    CHECK(values_of(*file, "list.0.k") == std::vector<double>{7});
    CHECK(values_of(*file, "obj.mean") == std::vector<double>{0, 1});
    CHECK(file->metadata().at("epoch") == "3");
    CHECK(file->tensors().size() == 4);
  }
}

TEST_CASE("io/torch: a tensor saved alone, a storage alone, sparse and odd ones") {
  const TemporaryFolder folder;
  write_bytes(folder.file("f"),
              bytes_from(sound_torch_zip(PickleWriter().tensor("FloatStorage", "0", 6, 0, {6}, {1}).done())));
  CHECK(values_of(*open_tensor_file(folder.file("f")), "tensor").size() == 6);
  PickleWriter p;
  p.op("}(").text("sparse").global("torch._utils", "_rebuild_sparse_tensor").op(")R");
  p.text("storage").op("(").text("storage").global("torch", "FloatStorage").text("0").text("cpu").integer(6).op("tQ");
  p.text("rank").tensor("FloatStorage", "0", 6, 0, {1, 1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1, 1});
  write_bytes(folder.file("g"), bytes_from(sound_torch_zip(p.op("u").done())));
  const auto file = open_tensor_file(folder.file("g"));
  CHECK(file->tensors().empty());
  CHECK(contains(file->unreadable().at("sparse"), "_rebuild_sparse_tensor"));
  CHECK(contains(file->unreadable().at("storage"), "a storage without a tensor"));
  CHECK(contains(file->unreadable().at("rank"), "of rank 9"));
}

TEST_CASE("io/torch: tensors that do not fit their storage are refused") {
  const auto tensor = [](std::int32_t elements, std::int32_t offset, const std::vector<std::int32_t>& shape,
                         const std::vector<std::int32_t>& strides) {
    return refused_tensor(
        PickleWriter().op("}").text("t").tensor("FloatStorage", "0", elements, offset, shape, strides).op("s").done());
  };
  CHECK(tensor(6, 0, {6}, {1}).empty());
  CHECK(contains(tensor(6, 1, {6}, {1}), "\"t\": elements outside the storage"));
  CHECK(contains(tensor(6, 0, {2}, {6}), "elements outside the storage"));
  CHECK(contains(tensor(6, 0, {2147483647, 2147483647, 2147483647}, {2147483647, 2147483647, 1}),
                 "\"t\" has an impossible shape"));
  CHECK(contains(tensor(6, 0, {6}, {-1}), "no such number"));
  CHECK(contains(tensor(6, 0, {-6}, {1}), "no such number"));
  CHECK(contains(tensor(6, 0, {6}, {}), "more sizes than strides"));
  CHECK(contains(tensor(7, 0, {6}, {1}), "storage \"0\" has 24 bytes; 7 elements"));
  CHECK(contains(tensor(6, 0, {2147483647}, {0}), "\"t\" claims more than the file holds"));
  PickleWriter two;
  two.op("(").tensor("FloatStorage", "0", 6, 0, {6}, {1}).tensor("DoubleStorage", "0", 3, 0, {3}, {1});
  CHECK(contains(refused_tensor(two.op("t").done()), "\"0\" is described in two ways"));
  CHECK(contains(refused_tensor(PickleWriter().tensor("FloatStorage", "9", 6, 0, {6}, {1}).done()),
                 "\"9\" is not in the archive"));
  CHECK(contains(refused_tensor(PickleWriter().global("torch._utils", "_rebuild_tensor_v2").op("(K\1tR").done()),
                 "a tensor without a storage"));
  CHECK(contains(refused_tensor(PickleWriter().op("NQ").done()), "no storage"));
}

TEST_CASE("io/torch: a pickle that bites its tail, nests or multiplies itself ends quickly") {
  // A list that holds itself.
  CHECK(refused_tensor(PickleWriter().op("]q\1h\1a").done()).empty());
  // Sixty lists, each holding the one before twice: 2^60 paths.
  std::string doubled = "]";
  for (int i = 0; i < 60; ++i)
    doubled +=
        "q" + std::string(1, static_cast<char>(i)) + "](h" + static_cast<char>(i) + "h" + static_cast<char>(i) + "e";
  CHECK(refused_tensor(PickleWriter().op(doubled).done()).empty());
  CHECK(contains(refused_tensor(PickleWriter().op(std::string(300, ']') + std::string(299, 'a')).done()),
                 "nested too deep"));
  // A path of long keys, each remembered once and used often.
  PickleWriter longs;
  longs.text(std::string(4000, 'k'))
      .op("q\1"
          "0}(");
  for (int i = 0; i < 100; ++i) longs.integer(i).op("}h\1]s");
  CHECK(refused_tensor(longs.op("u").done()).empty());
  PickleWriter more;
  more.text(std::string(4000, 'k'))
      .op("q\1"
          "0}(");
  for (int i = 0; i < 1000; ++i) more.integer(i).op("}h\1]s");
  CHECK(contains(refused_tensor(more.op("u").done()), "names out of proportion"));
  CHECK(refused_pickle(std::string(1000, '(')) == "p: pickle: opcode 0x2e at offset 1002: the stack is empty");
}

TEST_CASE("io/pickle: every kind of value") {
  const std::string text = std::string("\x80\x05(N\x88\x89K\x07M\x01\x02J", 12) + "\xff\xff\xff\xff" +
                           std::string("\x8a\x01\x80\x8a\x00\x8a\x09", 7) + "123456789" + "G\x3f\xf8" +
                           std::string(6, '\0') + std::string("\x8c\x02hi", 4) +
                           std::string(
                               "C\x01"
                               "b",
                               3) +
                           "\x8f(K\1K\2\x90" + "cmod\nname\n" + "t.";
  const Pickle p = read_pickle(bytes_of(text), "p");
  CHECK(p.size == text.size());
  const auto& items = p.as<PickleList>(p.root)->items;
  REQUIRE(items.size() == 14);
  CHECK(p.as<PickleNone>(items[0]) != nullptr);
  CHECK(*p.as<bool>(items[1]));
  CHECK_FALSE(*p.as<bool>(items[2]));
  const std::int64_t integers[] = {7, 0x201, -1, -128, 0};
  for (std::size_t i = 0; i < 5; ++i) CHECK(*p.as<std::int64_t>(items[3 + i]) == integers[i]);
  CHECK(p.as<PickleLong>(items[8])->bytes == "123456789");
  CHECK(*p.as<double>(items[9]) == 1.5);
  CHECK(p.text(items[10]) == "hi");
  CHECK(p.as<PickleText>(items[11])->is_bytes);
  CHECK(p.as<PickleList>(items[12])->items.size() == 2);
  CHECK(p.is_global(items[13], "mod", "name"));
}

TEST_CASE("io/pickle: what is not read is refused with opcode and place") {
  CHECK(contains(refused_pickle("I1\n"), "opcode 0x49 at offset 2: not one of those"));
  CHECK(contains(refused_pickle("\x82\1"), "opcode 0x82"));
  CHECK(contains(refused_pickle("\x97"), "opcode 0x97"));
  CHECK(contains(refused_pickle(""), "the stack is empty"));
  CHECK(contains(refused_pickle("t"), "there is no mark"));
  CHECK(contains(refused_pickle("h\5"), "nothing is remembered"));
  CHECK(contains(refused_pickle("NNa"), "what is no list"));
  CHECK(contains(refused_pickle("NNNs"), "what is no dict"));
  CHECK(contains(refused_pickle("}(Nu"), "a key without a value"));
  CHECK(contains(refused_pickle("NNb"), "what is no object"));
  CHECK(contains(refused_pickle("NN\x93"), "a name that is no text"));
  CHECK(contains(refused_pickle("cmod"), "a name that does not end"));
  CHECK(contains(refused_pickle("X\xff\xff\xff\x7f"), "a pickled text at offset 7 is truncated"));
  CHECK(refused_pickle("N(0\x85").empty());
  const std::string old = "\x80\x01N.", none = "N.";
  CHECK(contains(error_text<IoError>([&] { read_pickle(bytes_of(old), "p"); }), "protocol 1"));
  CHECK(contains(error_text<IoError>([&] { read_pickle(bytes_of(none), "p"); }), "no pickle of protocol 2"));
  // Values below a mark are out of reach.
  CHECK(contains(refused_pickle("]N(a"), "the stack is empty"));
}

TEST_CASE("io/torch: other pickles and archives are refused") {
  const TemporaryFolder folder;
  CHECK(contains(refusal_of(folder, PickleWriter().op("K\1").done()), "not of torch.save"));
  CHECK(contains(refusal_of(folder, zip_file({{"a/b", "c"}})), "without a data.pkl"));
  CHECK(contains(refusal_of(folder, "PK\x03\x04 and nothing else that a zip archive has"), "without its directory"));
  CHECK(contains(refusal_of(folder, zip_file({{"a/data.pkl", sound_pickle()}, {"a/byteorder", "big"}})), "big-endian"));
  CHECK(contains(refusal_of(folder, zip_file({{"a", "1"}, {"a", "2"}})), "two entries are called \"a\""));
  const std::string legacy = sound_torch_legacy();
  CHECK(contains(refusal_of(folder, legacy.substr(0, legacy.size() - 1)), "a storage at offset"));
  CHECK(contains(refusal_of(folder, legacy_head() + PickleWriter().op("}").done()), "is truncated"));
}

TEST_CASE("io/zip: deflated entries are inflated and checked, and bombs refused") {
  const std::string content(5000, 'x'), packed = deflate_raw(content);
  // A stored entry made a deflated one by method and sizes, in both headers.
  std::string file = zip_file({{"e", packed}});
  const auto patch = [&](std::size_t at, std::uint32_t size, std::uint32_t crc) {
    file[at] = 8;
    std::memcpy(file.data() + at + 6, &crc, 4);
    std::memcpy(file.data() + at + 14, &size, 4);
  };
  const std::size_t directory = file.find("PK\x01\x02");
  patch(directory + 10, 5000, zip_crc(content));
  const auto entries = list_zip(bytes_of(file), "z");
  REQUIRE(entries.size() == 1);
  const auto inflated = inflate_zip(bytes_of(file), entries[0], "z");
  CHECK(std::string(reinterpret_cast<const char*>(inflated.data()), inflated.size()) == content);
  patch(directory + 10, 5000, 7);
  CHECK(contains(error_text<IoError>([&] { inflate_zip(bytes_of(file), list_zip(bytes_of(file), "z")[0], "z"); }),
                 "CRC-32"));
  patch(directory + 10, 4999, zip_crc(content));
  CHECK(contains(error_text<IoError>([&] { inflate_zip(bytes_of(file), list_zip(bytes_of(file), "z")[0], "z"); }),
                 "not as long"));
  patch(directory + 10, 2'000'000'000, zip_crc(content));
  CHECK(contains(error_text<IoError>([&] { inflate_zip(bytes_of(file), list_zip(bytes_of(file), "z")[0], "z"); }),
                 "claims 2000000000"));
}

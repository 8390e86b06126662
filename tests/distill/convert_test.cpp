// tests/distill/convert_test.cpp -- files of other programs become checkpoints and come back, and nothing is lost
// silently.
#include "distill/convert/convert.h"

#include <doctest/doctest.h>

#include "distill/train/models.h"
#include "distill/train/state.h"
#include "io/checkpoint.h"
#include "io/safetensors.h"
#include "nn/init.h"
#include "tests/distill/child.h"
#include "tests/io/checkpoint_fixture.h"
#include "tests/io/foreign_fixture.h"

using namespace retort;
using namespace retort::test;
namespace fs = std::filesystem;

namespace {

constexpr const char* kArch = "mlp(in=6 classes=3 widths=4)";

NameTable table_from(const std::string& yaml) { return NameTable::parse(Config::parse(yaml, "names.yaml")); }

std::unique_ptr<Model> filled_model() {
  auto model = build_model(parse_call(kArch, "test"), {});
  initialize(*model, Rng(7));
  return model;
}

/// A payload that lives as long as the lambda.
NamedPayload payload(const std::string& name, DType dtype, const Shape& shape, std::vector<std::byte> bytes) {
  return {name, dtype, shape, [b = std::move(bytes)](const ByteSink& sink) { sink(b); }};
}

std::vector<std::byte> bytes_of_tensor(const Tensor& t) {
  const auto* begin = t.raw();
  return {begin, begin + t.numel() * size_of(t.dtype())};
}

/// The model's tensors under foreign names, "net.encoder." before each.
std::vector<NamedPayload> foreign_tensors(Model& model) {
  std::vector<NamedPayload> list;
  for (const NamedParameter& p : parameters_of(model))
    list.push_back(
        payload("net.encoder." + p.name, DType::f32, p.parameter->value.shape(), bytes_of_tensor(p.parameter->value)));
  return list;
}

constexpr const char* kTable = "rename: [{from: 'net.encoder.**', to: '**'}]";

ConvertSpec spec_of(const std::string& in, const std::string& table, bool into) {
  ConvertSpec spec;
  spec.in = in;
  spec.names = table_from(table);
  if (into) spec.into = parse_call(kArch, "--into");
  return spec;
}

}  // namespace

TEST_CASE("convert: patterns match, capture and are filled") {
  const NamePattern p("model.layers.*.mlp.**");
  CHECK(p.match("model.layers.7.mlp.gate.weight") == std::vector<std::string>{"7", "gate.weight"});
  CHECK(p.match("model.layers.7.mlp.") == std::vector<std::string>{"7", ""});
  CHECK_FALSE(p.match("model.layers..mlp.x").has_value());
  CHECK_FALSE(p.match("model.layers.7.8.mlp.x").has_value());
  CHECK_FALSE(p.match("xmodel.layers.7.mlp.x").has_value());
  CHECK(p.fill({"12", "up"}) == "model.layers.12.mlp.up");
  CHECK(NamePattern("h*_b*").match("h1_2_b3") == std::vector<std::string>{"1_2", "3"});
  CHECK(NamePattern("**.weight").match("a.weight.weight") == std::vector<std::string>{"a.weight"});
  // Without memory of what failed this would take longer than anyone waits.
  CHECK_FALSE(NamePattern("*a*a*a*a*a*a*a*a*a*a*b").match(std::string(300, 'a')).has_value());
  CHECK_THROWS_AS(NamePattern("a.***"), ValueError);
  CHECK_THROWS_AS(NamePattern("**.a.**"), ValueError);
}

TEST_CASE("convert: a table renames by its first rule and is read backwards") {
  const NameTable t = table_from(
      "rename:\n"
      "  - {from: 'model.layers.*.attn.c_*.weight', to: 'blocks.*.*.w'}\n"
      "  - {from: 'model.**', to: '**'}\n"
      "drop: ['**.inv_freq']\n");
  const std::pair<const char*, const char*> pairs[] = {
      {"model.layers.3.attn.c_q.weight", "blocks.3.q.w"}, {"model.norm.weight", "norm.weight"}, {"head", "head"}};
  for (const auto& [foreign, ours] : pairs) {
    CHECK(t.ours(foreign) == ours);
    CHECK(t.foreign(ours) == std::string(foreign == std::string("head") ? "model.head" : foreign));
  }
  CHECK(t.drops("a.inv_freq"));
  CHECK_FALSE(t.drops("inv_freq"));
  const NameTable taken = table_from("rename: [{from: 'a', to: 'x'}, {from: 'b', to: 'a'}]");
  CHECK(taken.foreign("x") == "a");
  CHECK(taken.foreign("a") == "b");
  CHECK(contains(error_text<ConfigError>([&] { taken.foreign("b"); }), "no name becomes \"b\""));
}

TEST_CASE("convert: a wrong table is an error at its place") {
  const auto wrong = [](const char* yaml) { return error_text<ConfigError>([&] { table_from(yaml); }); };
  CHECK(contains(wrong("rename: [{from: 'a.*', to: 'b'}]"), "other wildcards; got \"*\" and \"\""));
  CHECK(contains(wrong("rename: [{from: 'a.*.**', to: 'b.**.*'}]"), "other wildcards"));
  CHECK(contains(wrong("rename: [{from: '**.**', to: 'b'}]"), "names.yaml:1"));
  CHECK(contains(wrong("rename: [{from: a}]"), "to"));
  CHECK(contains(wrong("renames: []"), "renames"));
}

TEST_CASE("convert: safetensors become a checkpoint and come back with the same bytes, also under other names") {
  const std::string source = fixture_path("small.safetensors");
  for (const char* table : {"rename: []", "rename: [{from: 'layer.*.*', to: 'blocks.*.of.*'}]"}) {
    const TemporaryFolder folder;
    const ConvertSpec spec = spec_of(source, table, false);
    const Conversion conversion(spec);
    CHECK(conversion.coverage().complete());
    conversion.write(folder.file("model.h5"));
    const CheckpointReader reader(folder.file("model.h5"));
    CHECK(reader.entries().size() == 10);
    CHECK((reader.find("blocks.3.of.bfloat16") != nullptr) == contains(table, "blocks"));
    CHECK(export_safetensors(folder.file("model.h5"), folder.file("back"), spec.names, "") == 10);
    CHECK(read_file(folder.file("back")) == read_file(source));
  }
}

TEST_CASE("convert: quantised GGUF goes through a checkpoint unchanged, with its metadata") {
  const TemporaryFolder folder;
  Conversion(spec_of(fixture_path("blocks.gguf"), "{}", false)).write(folder.file("model.h5"));
  export_safetensors(folder.file("model.h5"), folder.file("out"), {}, "");
  const auto before = open_tensor_file(fixture_path("blocks.gguf")), after = open_tensor_file(folder.file("out"));
  CHECK(after->metadata() == before->metadata());
  for (const FileTensor& t : before->tensors()) CHECK(before->bytes(t) == after->bytes(t.name));
}

TEST_CASE("convert: into an architecture, a job can begin from the result") {
  const TemporaryFolder folder;
  const auto model = filled_model();
  write_safetensors(folder.file("in"), foreign_tensors(*model), {{"format", "pt"}});
  const ConvertSpec spec = spec_of(folder.file("in"), kTable, true);
  const Conversion conversion(spec);
  CHECK(conversion.coverage().complete());
  CHECK(conversion.coverage().loaded.size() == parameters_of(*model).size());
  conversion.write(folder.file("model.h5"));
  CHECK(std::get<std::string>(CheckpointReader(folder.file("model.h5")).attribute("arch.model").value()) ==
        model->arch());
  Role role;
  role.model = build_model(parse_call(kArch, "test"), {});
  load_role(folder.file("model.h5"), role, "model/");
  for (const NamedParameter& p : parameters_of(*role.model))
    for (const NamedParameter& q : parameters_of(*model))
      if (p.name == q.name) CHECK(bytes_of_tensor(p.parameter->value) == bytes_of_tensor(q.parameter->value));
  export_safetensors(folder.file("model.h5"), folder.file("back"), spec.names, "");
  CHECK(read_file(folder.file("back")) == read_file(folder.file("in")));
}

TEST_CASE("convert: sixteen-bit floats widen into an f32 target, other dtypes are mismatches") {
  const TemporaryFolder folder;
  const auto model = filled_model();
  for (const DType dtype : {DType::bf16, DType::f16, DType::f64}) {
    std::vector<NamedPayload> list;
    for (const NamedParameter& p : parameters_of(*model)) {
      const Shape& shape = p.parameter->value.shape();
      const auto count = static_cast<std::size_t>(shape.product());
      // 1.5 in each of the three.
      std::string bytes;
      const std::string one_and_half = dtype == DType::bf16  ? std::string("\xc0\x3f")
                                       : dtype == DType::f16 ? std::string("\x00\x3e", 2)
                                                             : std::string("\0\0\0\0\0\0\xf8\x3f", 8);
      for (std::size_t i = 0; i < count; ++i) bytes += one_and_half;
      const auto raw = bytes_of(bytes);
      list.push_back(payload(p.name, dtype, shape, {raw.begin(), raw.end()}));
    }
    write_safetensors(folder.file("in"), std::move(list), {});
    const Conversion conversion(spec_of(folder.file("in"), "{}", true));
    CHECK(conversion.coverage().complete() == (dtype != DType::f64));
    if (dtype == DType::f64) {
      CHECK(contains(conversion.coverage().mismatched.at(0), "is f64"));
      continue;
    }
    conversion.write(folder.file("model.h5"));
    const auto file = open_tensor_file(folder.file("model.h5"));
    for (const FileTensor& t : file->tensors()) {
      CHECK(t.dtype == DType::f32);
      for (const double v : values_of(*file, t.name)) CHECK(v == 1.5);
    }
  }
}

TEST_CASE("convert: what is missing, unexpected or of another shape is refused by name, and allowed when asked") {
  const TemporaryFolder folder;
  const auto model = filled_model();
  std::vector<NamedPayload> list = foreign_tensors(*model);
  REQUIRE(list.size() >= 3);
  const std::string missing = list[0].name.substr(12), mismatched = list[1].name.substr(12);
  list[0].name = "net.encoder.stranger";
  list[1] = payload(list[1].name, DType::f32, {1, 1}, std::vector<std::byte>(4));
  const std::size_t rest = list.size() - 2;
  write_safetensors(folder.file("in"), std::move(list), {});
  ConvertSpec spec = spec_of(folder.file("in"), kTable, true);
  const Conversion strict(spec);
  const Coverage& c = strict.coverage();
  CHECK(c.loaded.size() == rest);
  REQUIRE(c.missing.size() == 1);
  CHECK(c.missing[0].starts_with(missing + " f32"));
  REQUIRE(c.unexpected.size() == 1);
  CHECK(c.unexpected[0].starts_with("net.encoder.stranger f32"));
  REQUIRE(c.mismatched.size() == 1);
  CHECK(contains(c.mismatched[0], mismatched + " is f32[1, 1] in the file, expected f32["));
  CHECK(contains(c.text(), "missing 1, unexpected 1, mismatched 1"));
  const std::string text = error_text<IoError>([&] { strict.write(folder.file("model.h5")); });
  for (const std::string& part : {missing, mismatched, std::string("stranger"), folder.file("in")})
    CHECK(contains(text, part));
  CHECK_FALSE(fs::exists(folder.file("model.h5")));
  spec.partial = true;
  Conversion(spec).write(folder.file("model.h5"));
  CHECK(CheckpointReader(folder.file("model.h5")).entries().size() == rest);
  spec.names = table_from(std::string(kTable) + "\ndrop: ['**.stranger']");
  CHECK(Conversion(spec).coverage().unexpected.empty());
  CHECK(Conversion(spec).coverage().dropped.size() == 1);
}

TEST_CASE("convert: two tensors that would take one name, unreadable ones, and replacing the source are refused") {
  const TemporaryFolder folder;
  const ConvertSpec two = spec_of(fixture_path("shards.safetensors.index.json"),
                                  "rename: [{from: 'a.*', to: 'x.*'}, {from: 'b.*', to: 'x.*'}]", false);
  CHECK(contains(error_text<IoError>([&] { Conversion{two}; }),
                 "\"a.weight\" and \"b.weight\" both become \"x.weight\""));
  ConvertSpec spec = spec_of(fixture_path("unreadable.safetensors"), "{}", false);
  CHECK(contains(error_text<IoError>([&] { Conversion(spec).write(folder.file("out.h5")); }), "short: of dtype I16"));
  spec.names = table_from("drop: [short, f8]");
  Conversion(spec).write(folder.file("out.h5"));
  CHECK(CheckpointReader(folder.file("out.h5")).entries().size() == 1);
  fs::copy(fixture_path("small.safetensors"), folder.file("same"));
  CHECK(contains(error_text<ConfigError>(
                     [&] { Conversion(spec_of(folder.file("same"), "{}", false)).write(folder.file("same")); }),
                 "would replace"));
}

TEST_CASE("convert: copies are verified, left out, and come back") {
  const TemporaryFolder folder;
  const auto model = filled_model();
  std::vector<NamedPayload> list = foreign_tensors(*model);
  NamedPayload copy = list[0];
  copy.name = "net.head";
  const std::string original = list[0].name;
  list.push_back(copy);
  write_safetensors(folder.file("in"), std::move(list), {{"format", "pt"}});
  const std::string table = std::string(kTable) + "\ntied: [{name: net.head, same_as: " + original + "}]";
  CHECK_FALSE(Conversion(spec_of(folder.file("in"), kTable, true)).coverage().complete());
  const ConvertSpec spec = spec_of(folder.file("in"), table, true);
  const Conversion conversion(spec);
  CHECK(conversion.coverage().complete());
  CHECK(conversion.coverage().tied.size() == 1);
  conversion.write(folder.file("model.h5"));
  export_safetensors(folder.file("model.h5"), folder.file("back"), spec.names, "model");
  CHECK(read_file(folder.file("back")) == read_file(folder.file("in")));
  // One bit makes it no copy.
  std::string bytes = read_file(folder.file("in"));
  const auto file = open_tensor_file(folder.file("in"));
  const std::vector<std::byte> head = file->bytes("net.head");
  const std::size_t at = bytes.rfind(std::string(reinterpret_cast<const char*>(head.data()), head.size()));
  bytes[at] = static_cast<char>(bytes[at] ^ 1);
  write_bytes(folder.file("other"), bytes_from(bytes));
  CHECK(contains(error_text<ConfigError>([&] { Conversion{spec_of(folder.file("other"), table, true)}; }),
                 "is no copy of"));
}

TEST_CASE("convert: one storage under two names of a PyTorch file counts as tied") {
  const TemporaryFolder folder;
  const ConvertSpec spec =
      spec_of(fixture_path("zip.pt"),
              "drop: ['model.short']\ntied: [{name: model.head.weight, same_as: model.embed.weight}]", false);
  const Conversion conversion(spec);
  CHECK(conversion.coverage().complete());
  conversion.write(folder.file("model.h5"));
  CHECK(CheckpointReader(folder.file("model.h5")).find("model.head.weight") == nullptr);
  export_safetensors(folder.file("model.h5"), folder.file("out"), {}, "");
  CHECK(is_fixture(*open_tensor_file(folder.file("out")), "model.head.weight", DType::f32, {6, 4}, 1));
}

TEST_CASE("convert: a config.json beside the file travels with it and is not written over another") {
  const TemporaryFolder folder, elsewhere;
  fs::copy(fixture_path("small.safetensors"), folder.file("in"));
  write_bytes(folder.file("config.json"), bytes_from("{\"width\": 4}\n"));
  Conversion(spec_of(folder.file("in"), "{}", false)).write(folder.file("model.h5"));
  export_safetensors(folder.file("model.h5"), elsewhere.file("out"), {}, "");
  CHECK(read_file(elsewhere.file("config.json")) == "{\"width\": 4}\n");
  export_safetensors(folder.file("model.h5"), elsewhere.file("out"), {}, "");  // the same one may stay
  write_bytes(elsewhere.file("config.json"), bytes_from("{}"));
  CHECK(
      contains(error_text<IoError>([&] { export_safetensors(folder.file("model.h5"), elsewhere.file("out"), {}, ""); }),
               "another configuration"));
  write_bytes(folder.file("config.json"), bytes_from("{"));
  CHECK(contains(
      error_text<IoError>([&] { Conversion(spec_of(folder.file("in"), "{}", false)).write(folder.file("model.h5")); }),
      "bad JSON"));
}

TEST_CASE("convert: the program converts, inspects and exports, and its exit codes say how it went") {
  const TemporaryFolder folder;
  const auto run = [&](const std::vector<std::string>& arguments) {
    return retort::testing::Child(arguments, folder.file("log")).wait();
  };
  fs::copy(fixture_path("zip.pt"), folder.file("zip.pt"));
  const retort::testing::Ended refused = run({"convert", folder.file("zip.pt")});
  CHECK(refused.exit_code == 3);
  CHECK(contains(refused.output, "unreadable model.short: of a ShortStorage"));
  CHECK_FALSE(fs::exists(folder.file("zip.h5")));
  CHECK(run({"convert", folder.file("zip.pt"), "--partial"}).exit_code == 0);
  CHECK(run({"export", folder.file("zip.h5"), folder.file("zip.safetensors")}).exit_code == 0);
  for (const char* file : {"zip.pt", "zip.h5", "zip.safetensors"}) {
    const retort::testing::Ended seen = run({"inspect", folder.file(file)});
    CHECK(seen.exit_code == 0);
    CHECK(contains(seen.output, "optimizer.state.0.exp_avg"));
    CHECK(contains(seen.output, "19 tensors"));
  }
  CHECK(run({"convert", folder.file("zip.pt"), "--into", "convnett()"}).exit_code == 2);
  CHECK(run({"export", folder.file("zip.h5"), folder.file("x"), "--role", "student"}).exit_code == 2);
}

// tests/distill/families_test.cpp -- models of other libraries, as those save them, come in by their configuration
// alone, compute what they computed there, and come back bit for bit.
#include "distill/convert/families.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "tests/distill/child.h"
#include "tests/distill/family_fixture.h"
#include "tests/io/foreign_files.h"

using namespace retort;
using namespace retort::test;
namespace fs = std::filesystem;

TEST_CASE("families: a saved model computes what it did, and comes back with the same bytes") {
  for (const char* name : {"gpt2", "llama", "llama_tied", "llama_bias", "llama_linear", "llama_llama3", "llama_yarn",
                           "mistral", "qwen2", "qwen3", "bert", "roberta"}) {
    CAPTURE(std::string(name));
    const TemporaryFolder folder, back;
    const Reference reference(name);
    save_foreign(reference, folder);
    const Conversion conversion(recognised(folder.path()));
    CHECK_MESSAGE(conversion.coverage().complete(), conversion.coverage().text());
    CHECK(conversion.arch() == reference.model()->arch());
    conversion.write(folder.file("model.h5"));
    const auto model = loaded(folder.file("model.h5"));
    const retort::testing::Disagreement d = reference.compare(*model);
    CHECK(d.output < 1e-5);
    CHECK(d.gradients < 1e-4);
    export_safetensors(folder.file("model.h5"), back.file("model.safetensors"), {}, "");
    CHECK(read_file(back.file("model.safetensors")) == read_file(folder.file("model.safetensors")));
    CHECK(read_file(back.file("config.json")) == read_file(folder.file("config.json")));
  }
}

TEST_CASE("families: sixteen-bit weights are widened and come back as they were") {
  for (const DType dtype : {DType::bf16, DType::f16}) {
    const TemporaryFolder folder, back;
    save_foreign(Reference("gpt2"), folder, dtype);
    Conversion(recognised(folder.path())).write(folder.file("model.h5"));
    CHECK(parameters_of(*loaded(folder.file("model.h5"))).front().parameter->value.dtype() == DType::f32);
    export_safetensors(folder.file("model.h5"), back.file("out"), {}, "");
    CHECK(read_file(back.file("out")) == read_file(folder.file("model.safetensors")));
  }
}

TEST_CASE("families: files without a head have no prefix; buffers are dropped, a written tied head is verified") {
  struct Case {
    const char *fixture, *prefix, *buffer;
  };
  for (const Case& c : {Case{"gpt2", "transformer.", "h.1.attn.masked_bias"},
                        Case{"llama_tied", "model.", "layers.0.self_attn.rotary_emb.inv_freq"}}) {
    const Reference reference(c.fixture);
    for (const bool bare : {true, false}) {
      const TemporaryFolder folder, back;
      const std::string head = bare ? "" : c.prefix;
      std::vector<NamedPayload> list;
      for (const ForeignTensor& t : reference.foreign()) {
        list.push_back(payload_of(head + t.name.substr(std::string(c.prefix).size()), t.value));
        if (t.ours == "embed.weight") list.push_back(payload_of("lm_head.weight", t.value));
      }
      list.push_back(payload_of(head + c.buffer, Tensor::zeros({})));
      write_safetensors(folder.file("model.safetensors"), std::move(list), {});
      write_bytes(folder.file("config.json"), bytes_from(reference.configuration()));
      const Conversion conversion(recognised(folder.path()));
      CHECK_MESSAGE(conversion.coverage().complete(), conversion.coverage().text());
      CHECK(conversion.coverage().tied.size() == 1);
      CHECK(conversion.coverage().dropped == std::vector<std::string>{head + c.buffer});
      conversion.write(folder.file("model.h5"));
      CHECK(reference.compare_evaluation(*loaded(folder.file("model.h5"))).output < 1e-5);
      export_safetensors(folder.file("model.h5"), back.file("out"), {}, "");
      CHECK(open_tensor_file(back.file("out"))->tensors().size() ==
            open_tensor_file(folder.file("model.safetensors"))->tensors().size() - 1);
    }
  }
}

TEST_CASE("families: what a configuration says and Retort does not do is refused by its key") {
  const std::string unknown = "does not know";
  const auto check = [](const std::string& text, const std::string& key, const std::string& why) {
    INFO(text);
    CHECK(contains(text, "config.json"));
    CHECK(contains(text, "\"" + key + "\""));
    CHECK(contains(text, why));
  };
  check(refusal("llama", {{"model_type", "gemma9"}}), "model_type", "gemma9");
  check(refusal("llama", {{"logit_scale", 0.5}}), "logit_scale", unknown);
  check(refusal("llama", {{"sliding_window", 4}}), "sliding_window", unknown);
  check(refusal("llama", {{"quantization_config", {{"bits", 4}}}}), "quantization_config", unknown);
  check(refusal("llama", {{"hidden_act", "gelu"}}), "hidden_act", "\"silu\"");
  check(refusal("llama", {{"mlp_bias", true}}), "mlp_bias", "false");
  check(refusal("llama", {{"hidden_size", 24.5}}), "hidden_size", "24.5");
  check(refusal("llama", {{"hidden_size", -24}}), "hidden_size", "-24");
  check(refusal("llama", {{"vocab_size", nullptr}}), "vocab_size", "missing");
  check(refusal("llama", {{"rope_parameters", {{"rope_type", "dynamic"}, {"factor", 2}}}}), "rope_type", "dynamic");
  check(refusal("llama", {{"rope_parameters", {{"rope_type", "yarn"}, {"factor", 2}, {"mscale", 1}}}}), "mscale",
        unknown);
  check(refusal("llama", {{"partial_rotary_factor", 0.5}}), "partial_rotary_factor", "0.5");
  check(refusal("bert", {{"position_embedding_type", "relative_key"}}), "position_embedding_type", "relative_key");
  check(refusal("roberta", {{"hidden_act", "mish"}}), "hidden_act", "mish");
  check(refusal("gpt2", {{"scale_attn_by_inverse_layer_idx", true}}), "scale_attn_by_inverse_layer_idx", "false");
  check(refusal("gpt2", {{"activation_function", "relu"}}), "activation_function", "relu");
  check(refusal("qwen2", {{"layer_types", {"full_attention", "sliding_attention", "full_attention"}}}), "layer_types",
        "several kinds");
  check(refusal(
            "qwen3",
            {{"layer_types", nullptr}, {"use_sliding_window", true}, {"sliding_window", 4}, {"max_window_layers", 1}}),
        "max_window_layers", "1 of 3");
  check(refusal("mistral", {{"sliding_window", "many"}}), "sliding_window", "many");
  CHECK(contains(refusal("llama", {{"num_hidden_layers", 2000000000}}), "parameters at least"));
  CHECK(contains(refusal("llama", {{"intermediate_size", 2000000000}}), "parameters at least"));
  const TemporaryFolder folder;
  CHECK(contains(error_text<IoError>([&] { Conversion{recognised(folder.path())}; }), "no model.safetensors"));
  save_foreign(Reference("llama"), folder);
  fs::remove(folder.file("config.json"));
  CHECK(contains(error_text<ConfigError>([&] { Conversion{recognised(folder.path())}; }), "config.json: missing"));
}

TEST_CASE("families: an encoder's pooling is read from the modules behind it, and its heads are dropped") {
  const std::string transformer =
      R"({"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"})";
  const std::string pooling =
      R"({"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"})";
  const std::string unit =
      R"({"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"})";
  const std::string mean =
      R"({"word_embedding_dimension": 24, "pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true})";
  const Reference reference("bert_sentence");
  const TemporaryFolder folder;
  std::vector<NamedPayload> list;
  for (const ForeignTensor& t : reference.foreign()) list.push_back(payload_of("bert." + t.name, t.value));
  list.push_back(payload_of("bert.pooler.dense.weight", Tensor::zeros({24, 24})));
  list.push_back(payload_of("cls.predictions.bias", Tensor::zeros({29})));
  write_safetensors(folder.file("model.safetensors"), std::move(list), {});
  write_bytes(folder.file("config.json"), bytes_from(reference.configuration()));
  fs::create_directory(folder.file("1_Pooling"));
  const auto write = [&](const std::string& modules, const std::string& pool) {
    write_bytes(folder.file("modules.json"), bytes_from("[" + modules + "]"));
    write_bytes(folder.file("1_Pooling/config.json"), bytes_from(pool));
  };
  write(fmt::format("{}, {}, {}", transformer, pooling, unit), mean);
  const Conversion conversion(recognised(folder.path()));
  CHECK_MESSAGE(conversion.coverage().complete(), conversion.coverage().text());
  CHECK(conversion.coverage().dropped.size() == 2);
  conversion.write(folder.file("model.h5"));
  CHECK(reference.compare_evaluation(*loaded(folder.file("model.h5"))).output < 1e-5);
  const auto arch = [&](const std::string& modules, const std::string& pool) {
    write(modules, pool);
    return Conversion(recognised(folder.path())).arch();
  };
  CHECK(contains(arch(transformer, mean), "pool=none norm=none"));
  CHECK(contains(arch(transformer + "," + pooling, R"({"pooling_mode": "cls"})"), "pool=first norm=none"));
  const auto wrong = [&](const std::string& modules, const std::string& pool) {
    return error_text<ConfigError>([&] { arch(modules, pool); });
  };
  CHECK(contains(wrong(transformer + "," + pooling, R"({"pooling_mode_max_tokens": true})"), "max_tokens"));
  CHECK(contains(wrong(transformer + "," + pooling, "{}"), "\"pooling_mode\""));
  CHECK(contains(wrong(pooling + "," + transformer, mean), "\"type\""));
  CHECK(contains(wrong(unit, mean), "\"type\""));
  CHECK(contains(wrong(R"({"type": "sentence_transformers.models.Dense"})", mean), "models.Dense"));
  CHECK(contains(wrong("3", mean), "is an object"));
}

TEST_CASE("families: norms of old encoders are called gamma and beta, and come back so") {
  const TemporaryFolder folder, back;
  const Reference reference("bert");
  save_foreign(reference, folder, DType::f32, [](std::string name) {
    if (!contains(name, "LayerNorm")) return name;
    const auto dot = name.rfind('.') + 1;
    return name.replace(dot, name.npos, name.substr(dot) == "weight" ? "gamma" : "beta");
  });
  Conversion(recognised(folder.path())).write(folder.file("model.h5"));
  CHECK(reference.compare_evaluation(*loaded(folder.file("model.h5"))).output < 1e-5);
  export_safetensors(folder.file("model.h5"), back.file("out"), {}, "");
  CHECK(read_file(back.file("out")) == read_file(folder.file("model.safetensors")));
}

TEST_CASE("families: older configurations say the same in other words") {
  CHECK(arch_of("roberta", {{"model_type", "xlm-roberta"}, {"output_past", true}}) ==
        Reference("roberta").model()->arch());
  const nlohmann::json linear{
      {"rope_parameters", nullptr}, {"rope_theta", 500}, {"rope_scaling", {{"type", "linear"}, {"factor", 4}}}};
  CHECK(arch_of("llama_linear", linear) == Reference("llama_linear").model()->arch());
  const nlohmann::json plain{{"rope_parameters", nullptr}, {"rope_theta", 500.0}, {"rope_scaling", nullptr}};
  CHECK(arch_of("qwen2", plain) == Reference("qwen2").model()->arch());
  CHECK(contains(arch_of("mistral", {{"sliding_window", nullptr}}), "window=0"));
  const nlohmann::json windows{{"layer_types", nullptr}, {"use_sliding_window", true}, {"sliding_window", 4}};
  nlohmann::json first = windows;
  first["max_window_layers"] = 0;
  CHECK(contains(arch_of("qwen2", first), "window=4"));
  CHECK(contains(arch_of("qwen2", windows), "window=0"));  // none of three layers comes after the 28th
}

namespace {
std::string text_pair(const std::string& key, const std::string& value) {
  return gguf_pair(key, 8, ByteWriter().sized(value).str());
}
std::string count_pair(const std::string& key, std::uint32_t value) {
  return gguf_pair(key, 4, ByteWriter().put(value).str());
}
std::string real_pair(const std::string& key, float value) { return gguf_pair(key, 6, ByteWriter().put(value).str()); }

/// The name that a GGUF gives a tensor of ours.
std::string gguf_name(std::string name) {
  const std::pair<const char*, const char*> words[] = {
      {"embed.", "token_embd."}, {"blocks.", "blk."},      {"attn.out.", "attn_output."},
      {"attn.q", "attn_q"},      {"attn.k", "attn_k"},     {"attn.v", "attn_v"},
      {"mlp.", "ffn_"},          {"norm1.", "attn_norm."}, {"norm2.", "ffn_norm."},
      {"head.", "output."}};
  if (name.starts_with("norm.")) return "output_" + name;
  for (const auto& [from, to] : words)
    if (const auto at = name.find(from); at != name.npos) name.replace(at, std::string(from).size(), to);
  return name;
}

/// Rows of queries and keys as the format has them for llama: head by head, the two halves interleaved.
Tensor with_pairs(const Tensor& t, std::int64_t head) {
  const auto from = t.values<float>();
  std::vector<float> to;
  const std::int64_t row = t.size(1);
  for (std::int64_t h = 0; h < t.size(0) / head; ++h)
    for (std::int64_t i = 0; i < head / 2; ++i)
      for (std::int64_t half = 0; half < 2; ++half) {
        const auto first = from.begin() + (h * head + half * head / 2 + i) * row;
        to.insert(to.end(), first, first + row);
      }
  return Tensor::of<float>(to, t.shape());
}

/// Writes the fixture (24 wide, 3 deep, heads of `head`) as a GGUF.
std::string gguf_of(const Reference& reference, const std::string& arch, std::uint32_t heads, std::uint32_t kv_heads,
                    std::int64_t head, const std::vector<std::string>& more) {
  std::vector<std::string> pairs{text_pair("general.architecture", arch),
                                 text_pair("general.name", "small"),
                                 count_pair(arch + ".block_count", 3),
                                 count_pair(arch + ".context_length", 16),
                                 count_pair(arch + ".embedding_length", 24),
                                 count_pair(arch + ".feed_forward_length", 40),
                                 count_pair(arch + ".attention.head_count", heads),
                                 count_pair(arch + ".attention.head_count_kv", kv_heads),
                                 real_pair(arch + ".attention.layer_norm_rms_epsilon", 1e-5f),
                                 real_pair(arch + ".rope.freq_base", 500)};
  pairs.insert(pairs.end(), more.begin(), more.end());
  std::vector<GgufInfo> infos;
  ByteWriter data;
  for (const ForeignTensor& t : reference.foreign()) {
    const bool turns = arch == "llama" && (contains(t.ours, "attn.q.") || contains(t.ours, "attn.k."));
    const Tensor value = turns ? with_pairs(t.value, head) : t.value;
    std::vector<std::uint64_t> dimensions;
    for (int axis = value.rank() - 1; axis >= 0; --axis)
      dimensions.push_back(static_cast<std::uint64_t>(value.size(axis)));
    infos.push_back({gguf_name(t.ours), dimensions, 0, data.size()});
    data.raw({reinterpret_cast<const char*>(value.raw()), static_cast<std::size_t>(value.numel()) * 4}).pad(32);
  }
  return gguf_file(pairs, infos, data.str());
}
}  // namespace

TEST_CASE("families: a GGUF is recognised by its metadata, and comes out as its library would have it") {
  struct Case {
    const char *fixture, *arch;
    std::uint32_t heads, kv_heads;
    std::int64_t head;
  };
  for (const Case& c : {Case{"llama", "llama", 4, 2, 6}, Case{"llama_tied", "llama", 4, 2, 6},
                        Case{"qwen2", "qwen2", 3, 1, 8}, Case{"qwen3", "qwen3", 4, 2, 10}}) {
    CAPTURE(std::string(c.fixture));
    const TemporaryFolder folder, library, again;
    const Reference reference(c.fixture);
    const auto wide = static_cast<std::uint32_t>(c.head);
    const std::string arch = c.arch;
    write_bytes(folder.file("small.gguf"), bytes_from(gguf_of(reference, arch, c.heads, c.kv_heads, c.head,
                                                              {count_pair(arch + ".attention.key_length", wide),
                                                               count_pair(arch + ".attention.value_length", wide)})));
    const Conversion conversion(recognised(folder.path()));
    CHECK_MESSAGE(conversion.coverage().complete(), conversion.coverage().text());
    conversion.write(folder.file("small.h5"));
    CHECK(reference.compare_evaluation(*loaded(folder.file("small.h5"))).output < 1e-5);
    export_safetensors(folder.file("small.h5"), library.file("model.safetensors"), {}, "");
    const auto exported = open_tensor_file(library.file("model.safetensors"));
    for (const ForeignTensor& t : reference.foreign()) CHECK(exported->find(t.name) != nullptr);
    const Conversion second(recognised(library.path()));
    CHECK(second.arch() == conversion.arch());
    second.write(again.file("model.h5"));
    CHECK(reference.compare_evaluation(*loaded(again.file("model.h5"))).output < 1e-5);
  }
  const TemporaryFolder folder;
  const auto refused = [&](const std::string& arch, const std::vector<std::string>& more) {
    write_bytes(folder.file("small.gguf"), bytes_from(gguf_of(Reference("llama"), arch, 4, 2, 6, more)));
    return error_text<ConfigError>([&] { Conversion{recognised(folder.file("small.gguf"))}; });
  };
  CHECK(contains(refused("llama", {text_pair("llama.rope.scaling.type", "yarn")}), "\"llama.rope.scaling.type\""));
  CHECK(contains(refused("llama", {count_pair("llama.rope.dimension_count", 4)}), "only 6 is supported; got 4"));
  CHECK(contains(refused("llama", {count_pair("llama.vocab_size", 30)}), "\"llama.vocab_size\""));
  CHECK(contains(refused("mamba", {}), "\"general.architecture\""));
}

TEST_CASE("families: a table says which matrices are transposed, and wrong orders are refused") {
  const TemporaryFolder folder;
  const Tensor t = Tensor::of<float>(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3});
  write_safetensors(folder.file("in"), {[&] { return payload_of("a.w", t); }()}, {});
  const auto spec = [&](const std::string& table) {
    ConvertSpec s;
    s.in = folder.file("in");
    s.names = NameTable::parse(Config::parse(table, "names.yaml"));
    return s;
  };
  Conversion(spec("transpose: ['a.*']")).write(folder.file("out.h5"));
  CHECK(values_of(*open_tensor_file(folder.file("out.h5")), "a.w") == std::vector<double>{1, 4, 2, 5, 3, 6});
  export_safetensors(folder.file("out.h5"), folder.file("back"), {}, "");
  CHECK(read_file(folder.file("back")) == read_file(folder.file("in")));
  CHECK(contains(error_text<ConfigError>([&] { Conversion{spec("interleaved: [{name: 'a.*', head: 4}]")}; }),
                 "\"a.w\": rows in pairs"));
  CHECK(contains(error_text<ConfigError>([&] { spec("interleaved: [{name: 'a.*'}]"); }), "head"));
}

TEST_CASE("families: a model that was trained here goes out under its family's names, and is recognised again") {
  for (const char* name : {"gpt2", "llama", "llama_tied", "llama_bias", "llama_linear", "llama_llama3", "llama_yarn",
                           "mistral", "qwen2", "qwen3"}) {
    CAPTURE(std::string(name));
    const TemporaryFolder folder;
    const Reference reference(name);
    const auto model = reference.model(DType::f32);
    CheckpointWriter writer(folder.file("trained.h5"));
    writer.attribute("format", "retort-roles-1");
    writer.attribute("arch.student", model->arch());
    writer.attribute("arch.teacher", "mlp(in=6 classes=3 widths=4)");
    for (const NamedParameter& p : parameters_of(*model)) {
      const Tensor& t = p.parameter->value;
      writer.add("student/" + p.name, t.dtype(), t.shape(),
                 {t.raw(), static_cast<std::size_t>(t.numel() * size_of(t.dtype()))});
    }
    writer.commit();
    export_safetensors(folder.file("trained.h5"), folder.file("model.safetensors"), {}, "student", true);
    const auto file = open_tensor_file(folder.file("model.safetensors"));
    for (const ForeignTensor& t : reference.foreign()) CHECK_MESSAGE(file->find(t.name) != nullptr, t.name);
    const Conversion again(recognised(folder.path()));
    CHECK_MESSAGE(again.coverage().complete(), again.coverage().text());
    CHECK(again.arch() == model->arch());
    again.write(folder.file("again.h5"));
    CHECK(reference.compare_evaluation(*loaded(folder.file("again.h5"))).output < 1e-5);
    CHECK(contains(error_text<ConfigError>(
                       [&] { export_safetensors(folder.file("trained.h5"), folder.file("x"), {}, "teacher", true); }),
                   "got mlp"));
  }
  const auto refused = [](const std::string& more) {
    return error_text<ConfigError>(
        [&] { described(parse_call("llama(vocab=9 width=8 heads=2 depth=1 " + more + ")", "test")); });
  };
  CHECK(contains(refused("qk_norm=head bias=qkv"), "no known family"));
  CHECK(contains(refused("rotary_width=2"), "no known family"));
  CHECK(contains(refused("bias=attn window=4"), "no known family"));
  for (const char* more : {"qk_norm=head bias=attn window=4", "bias=qkv window=4", "bias=attn", "window=4"})
    CHECK(refused(more).empty());
}

TEST_CASE("families: the program converts a folder, and its checkpoint exports under the library's names") {
  const TemporaryFolder folder, back;
  save_foreign(Reference("qwen2"), folder);
  const auto run = [&](const std::vector<std::string>& arguments) {
    return retort::testing::Child(arguments, folder.file("log")).wait();
  };
  const retort::testing::Ended ended = run({"convert", folder.path(), "--into", "auto"});
  CHECK_MESSAGE(ended.exit_code == 0, ended.output);
  CHECK(contains(ended.output, "llama(vocab=29 context=16"));
  CHECK(run({"export", folder.file("model.h5"), back.file("model.safetensors")}).exit_code == 0);
  CHECK(read_file(back.file("model.safetensors")) == read_file(folder.file("model.safetensors")));
}

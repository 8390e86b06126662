// tests/distill/image_families_test.cpp -- networks over images of transformers, torchvision and timm, as those save
// them, come in by their configuration or by their names, compute what they computed there, and come back bit for bit.
#include <doctest/doctest.h>

#include <algorithm>

#include "autograd/ops/shape.h"
#include "distill/convert/families.h"
#include "tests/distill/child.h"
#include "tests/distill/family_fixture.h"

using namespace retort;
using namespace retort::test;
namespace fs = std::filesystem;

namespace {
/// What is in `folder` as model.h5, compared with the reference and exported again.
void check_converted(const Reference& reference, const TemporaryFolder& folder) {
  const TemporaryFolder back;
  const auto model = loaded(folder.file("model.h5"));
  const retort::testing::Disagreement d = reference.compare(*model);
  CHECK_MESSAGE(d.output < 1e-5, d.worst);
  CHECK_MESSAGE(d.gradients < 1e-4, d.worst);
  export_safetensors(folder.file("model.h5"), back.file("model.safetensors"), {}, "");
  CHECK(read_file(back.file("model.safetensors")) == read_file(folder.file("model.safetensors")));
}
}  // namespace

TEST_CASE("images: a saved network computes what it did, and comes back with the same bytes") {
  for (const char* name : {"resnet_basic", "resnet_early", "vit_transformers", "vit_states", "deit_transformers",
                           "dinov2", "dinov2_giant", "dinov2_registers", "vit", "vit_avg", "deit"}) {
    CAPTURE(std::string(name));
    const TemporaryFolder folder;
    const Reference reference(name);
    save_foreign(reference, folder);
    const Conversion conversion(recognised(folder.path()));
    CHECK_MESSAGE(conversion.coverage().complete(), conversion.coverage().text());
    CHECK(conversion.arch() == reference.model()->arch());
    CHECK(conversion.coverage().library.empty());
    conversion.write(folder.file("model.h5"));
    check_converted(reference, folder);
  }
}

TEST_CASE("images: a network of torchvision comes in by timm's configuration, or by its names alone") {
  const Reference reference("resnet18");
  const TemporaryFolder folder;
  std::vector<NamedPayload> list;
  for (const ForeignTensor& t : reference.foreign()) list.push_back(payload_of(t.name, t.value));
  list.push_back(payload_of("layer2.0.bn1.num_batches_tracked", Tensor::zeros({}, DType::i64)));
  write_safetensors(folder.file("model.safetensors"), std::move(list), {});
  const auto spec = [&](const std::string& arch) {
    ConvertSpec s;
    s.in = folder.path();
    s.into = parse_call(arch, "--into");
    return s;
  };
  const Conversion bare(spec("resnet(in=3 classes=10 depth=18)"));
  CHECK(bare.coverage().complete());
  CHECK(bare.coverage().library == "torchvision and timm");
  CHECK(contains(bare.coverage().text(), "named      by the table of torchvision and timm"));
  CHECK(bare.coverage().dropped == std::vector<std::string>{"layer2.0.bn1.num_batches_tracked"});
  bare.write(folder.file("model.h5"));
  CHECK(reference.compare_evaluation(*loaded(folder.file("model.h5"))).output < 1e-5);
  const Conversion deeper(spec("resnet(in=3 classes=10 depth=34)"));
  CHECK(!deeper.coverage().missing.empty());
  CHECK_THROWS_AS(deeper.write(folder.file("x.h5")), IoError);
  const Conversion other(spec("resnet_cifar(in=3 classes=10 depth=20)"));  // has no library
  CHECK(other.coverage().library.empty());
  CHECK(other.coverage().loaded.empty());
  write_bytes(folder.file("config.json"), bytes_from(reference.configuration()));
  const Conversion described(recognised(folder.path()));
  CHECK(described.coverage().complete());
  CHECK(described.arch() == bare.arch());
}

TEST_CASE("images: without a configuration the names of a library are told by a tensor that marks them") {
  struct Case {
    const char *fixture, *library;
  };
  for (const Case& c :
       {Case{"vit", "timm"}, Case{"deit", "timm"}, Case{"vit_avg", "timm"}, Case{"vit_transformers", "transformers"},
        Case{"vit_states", "transformers"}, Case{"deit_transformers", "transformers"}, Case{"dinov2", "transformers"},
        Case{"dinov2_registers", "transformers"}, Case{"resnet_early", "transformers"}}) {
    CAPTURE(std::string(c.fixture));
    const TemporaryFolder folder;
    const Reference reference(c.fixture);
    save_foreign(reference, folder);
    ConvertSpec spec;
    spec.in = folder.path();
    spec.into = parse_call(reference.arch(), "--into");
    const Conversion conversion(spec);
    CHECK_MESSAGE(conversion.coverage().complete(), conversion.coverage().text());
    CHECK(conversion.coverage().library == c.library);
  }
}

TEST_CASE("images: what a configuration says and Retort does not do is refused by its key") {
  const auto check = [](const std::string& text, const std::string& key, const std::string& why) {
    INFO(text);
    CHECK(contains(text, "config.json"));
    CHECK(contains(text, "\"" + key + "\""));
    CHECK(contains(text, why));
  };
  check(refusal("resnet_basic", {{"hidden_act", "gelu"}}), "hidden_act", "\"relu\"");
  check(refusal("resnet_basic", {{"downsample_in_first_stage", true}}), "downsample_in_first_stage", "false");
  check(refusal("resnet_basic", {{"layer_type", "inverted"}}), "layer_type", "inverted");
  check(refusal("resnet_basic", {{"depths", {2}}}), "depths", "1 stages and 2");
  check(refusal("resnet_basic", {{"depths", {2, 0}}}), "depths", "positive");
  check(refusal("resnet_basic", {{"hidden_sizes", 8}}), "hidden_sizes", "list");
  check(refusal("resnet_basic", {{"id2label", 5}}), "id2label", "object");
  check(refusal("resnet_basic", {{"groups", 2}}), "groups", "does not know");
  const TemporaryFolder headless;
  save_foreign(Reference("resnet_basic"), headless, DType::f32, [](const std::string& name) {
    return name.starts_with("classifier") ? "other" + name : name.substr(std::string("resnet.").size());
  });
  check(error_text<ConfigError>([&] { Conversion{recognised(headless.path())}; }), "architectures", "no classifier");
  check(refusal("resnet18", {{"num_classes", 0}, {"model_args", nullptr}}), "num_classes", "without a classifier");
  check(refusal("vit_transformers", {{"patch_size", {8, 4}}}), "patch_size", "8 x 4");
  check(refusal("vit_transformers", {{"image_size", {8, 8, 8}}}), "image_size", "a height and a width");
  check(refusal("vit_transformers", {{"hidden_act", "mish"}}), "hidden_act", "mish");
  check(refusal("vit_transformers", {{"mask_ratio", 0.5}}), "mask_ratio", "does not know");
  check(refusal("dinov2", {{"layerscale_value", -1}}), "layerscale_value", "-1");
  check(refusal("dinov2", {{"mlp_ratio", 2.5}}), "mlp_ratio", "2.5");
  CHECK(contains(refusal("vit_transformers", {{"image_size", 1 << 30}}), "parameters at least"));
  CHECK(contains(refusal("vit_transformers", {{"num_channels", 1 << 30}}), "parameters at least"));
  CHECK(contains(refusal("dinov2", {{"hidden_size", 1 << 28}}), "parameters at least"));
  check(refusal("dinov2", {{"hidden_size", 1 << 30}}), "mlp_ratio", "too much");
  CHECK(contains(refusal("resnet_basic", {{"id2label", nullptr}, {"num_labels", 1 << 30}}), "parameters at least"));
  CHECK(contains(refusal("roberta", {{"type_vocab_size", 1 << 30}}), "parameters at least"));
  CHECK(contains(refusal("clip_text_end", {{"projection_dim", 1 << 30}}), "parameters at least"));
  CHECK(contains(refusal("resnet_basic", {{"depths", {2, 1 << 30}}}), "parameters at least"));
  CHECK(contains(refusal("resnet_basic", {{"hidden_sizes", {8, 1 << 30}}}), "parameters at least"));

  const nlohmann::json args = nlohmann::json::parse(Reference("vit_avg").configuration())["model_args"];
  const auto changed = [&](const char* key, const nlohmann::json& value) {
    nlohmann::json all = args;
    all[key] = value;
    return refusal("vit_avg", {{"model_args", all}});
  };
  check(changed("qk_norm", true), "qk_norm", "false");
  check(changed("init_values", 1e-5), "init_values", "does not know");
  check(changed("reg_tokens", 4), "reg_tokens", "0");
  check(changed("fc_norm", false), "fc_norm", "unlike in the file");
  check(changed("global_pool", "max"), "global_pool", "");
  check(changed("patch_size", {8, 4}), "patch_size", "square");
  check(changed("mlp_ratio", 1e300), "mlp_ratio", "1e+300");
  check(refusal("vit_avg", {{"global_pool", "token"}}), "global_pool", "make it avg");
  check(refusal("vit_avg", {{"architecture", "vit_huge_patch14_224"}}), "architecture", "vit_huge_patch14_224");
  check(refusal("vit_avg", {{"architecture", "vit_base_patch16_clip_224"}}), "architecture", "clip_224");
  check(refusal("vit_avg", {{"architecture", "resnet50d"}}), "architecture", "resnet50d");
  check(refusal("vit_avg", {{"pretrained_cfg", {{"in_21k", true}}}}), "in_21k", "does not know");
  check(refusal("deit", {{"model_args", {{"num_classes", 0}}}}), "num_classes", "without heads");
}

TEST_CASE("images: the program says by whose names a bare file came in") {
  const TemporaryFolder folder;
  save_foreign(Reference("vit_avg"), folder);
  fs::remove(folder.file("config.json"));
  const auto run = [&](const std::vector<std::string>& arguments) {
    return retort::testing::Child(arguments, folder.file("log")).wait();
  };
  const retort::testing::Ended ended = run({"convert", folder.path(), "--into", Reference("vit_avg").arch()});
  CHECK_MESSAGE(ended.exit_code == 0, ended.output);
  CHECK(contains(ended.output, "by the table of timm"));
}

namespace {
/// A file with both towers: `reference`'s, the other fixture's, and the scale if neither has it.
void save_both(const Reference& reference, const Reference& other, const TemporaryFolder& folder) {
  std::vector<NamedPayload> list;
  std::vector<std::string> names;
  for (const Reference* r : {&reference, &other})
    for (const ForeignTensor& t : r->foreign()) {
      if (std::find(names.begin(), names.end(), t.name) != names.end()) continue;
      names.push_back(t.name);
      list.push_back(payload_of(t.name, t.value));
    }
  list.push_back(payload_of("text_model.embeddings.position_ids", Tensor::zeros({1, 12}, DType::i64)));
  write_safetensors(folder.file("model.safetensors"), std::move(list), {{"format", "pt"}});
  write_bytes(folder.file("config.json"), bytes_from(reference.configuration()));
}

ConvertSpec tower_of(const TemporaryFolder& folder, const std::string& name, bool scaled = false) {
  ConvertSpec spec = recognised(folder.path());
  spec.tower = {name, scaled};
  return spec;
}
}  // namespace

TEST_CASE("images: a tower of clip comes in, and the other one is dropped on purpose") {
  const Reference text("clip_text"), vision("clip_vision");
  struct Case {
    const Reference &reference, &other;
    std::string tower;
    bool scaled;
  };
  for (const Case& c : {Case{text, vision, "text", true}, Case{vision, text, "vision", false}}) {
    const TemporaryFolder folder, back, again;
    save_both(c.reference, c.other, folder);
    const Conversion conversion(tower_of(folder, c.tower, c.scaled));
    CHECK_MESSAGE(conversion.coverage().complete(), conversion.coverage().text());
    CHECK(conversion.arch() == c.reference.model()->arch());
    const auto& dropped = conversion.coverage().dropped;
    for (const ForeignTensor& t : c.other.foreign())
      if (t.name != "logit_scale") CHECK(std::find(dropped.begin(), dropped.end(), t.name) != dropped.end());
    CHECK((std::find(dropped.begin(), dropped.end(), "logit_scale") == dropped.end()) == c.scaled);
    conversion.write(folder.file("model.h5"));
    const auto model = loaded(folder.file("model.h5"));
    const retort::testing::Disagreement d = c.reference.compare(*model);
    CHECK_MESSAGE(d.output < 1e-5, d.worst);
    CHECK_MESSAGE(d.gradients < 1e-4, d.worst);
    export_safetensors(folder.file("model.h5"), back.file("model.safetensors"), {}, "");
    const auto before = open_tensor_file(folder.file("model.safetensors"));
    const auto after = open_tensor_file(back.file("model.safetensors"));
    CHECK(after->tensors().size() == c.reference.foreign().size());
    for (const ForeignTensor& t : c.reference.foreign()) CHECK(values_of(*after, t.name) == values_of(*before, t.name));
  }
  const TemporaryFolder folder;
  save_both(text, vision, folder);
  CHECK(contains(Conversion(tower_of(folder, "text")).arch(), "norm=unit scale=none"));
  const auto wrong = [&](const std::string& tower) {
    return error_text<ConfigError>([&] { Conversion{tower_of(folder, tower)}; });
  };
  CHECK(contains(wrong(""), "auto(text)"));
  CHECK(contains(wrong("audio"), "auto(vision)"));
  const auto run = [&](const std::string& into) {
    return retort::testing::Child({"convert", folder.path(), folder.file("model.h5"), "--into", into},
                                  folder.file("log"))
        .wait();
  };
  const retort::testing::Ended ended = run("auto(vision)");
  CHECK_MESSAGE(ended.exit_code == 0, ended.output);
  CHECK(contains(ended.output, "dropped    text_model.final_layer_norm.weight"));
  CHECK(contains(ended.output, "clip_vision(image=21"));
  CHECK(run("auto").exit_code == 2);
  CHECK(run("auto(text scale=fixed)").exit_code == 2);
  CHECK(run("auto(scale=learned)").exit_code == 2);
}

TEST_CASE("images: towers of clip that were saved alone, and what their configurations may not say") {
  for (const char* name : {"clip_text_end", "clip_vision_states"}) {
    CAPTURE(std::string(name));
    const TemporaryFolder folder;
    const Reference reference(name);
    save_foreign(reference, folder);
    const Conversion conversion(recognised(folder.path()));
    CHECK_MESSAGE(conversion.coverage().complete(), conversion.coverage().text());
    CHECK(conversion.arch() == reference.model()->arch());
    conversion.write(folder.file("model.h5"));
    check_converted(reference, folder);
    CHECK(contains(error_text<ConfigError>([&] { Conversion{tower_of(folder, "text")}; }), "has no towers"));
  }
  CHECK(contains(arch_of("clip_text_end", {{"eos_token_id", 2}}), "end=largest"));
  CHECK(contains(refusal("clip_text_end", {{"eos_token_id", {5, 6}}}), "\"eos_token_id\""));
  CHECK(contains(refusal("clip_text_end", {{"eos_token_id", 29}}), "\"eos_token_id\": is 29"));
  CHECK(contains(refusal("clip_text_end", {{"pruned_heads", {{"0", {1}}}}}), "\"pruned_heads\""));
  CHECK(contains(refusal("clip_vision_states", {{"image_size", {21, 28}}}), "\"image_size\""));
  CHECK(contains(refusal("clip_vision_states", {{"hidden_act", "mish"}}), "\"hidden_act\""));
  CHECK(contains(refusal("clip_vision_states", {{"registers", 2}}), "does not know"));

  const TemporaryFolder folder;
  const Reference text("clip_text"), vision("clip_vision");
  save_both(text, vision, folder);
  nlohmann::json config = nlohmann::json::parse(text.configuration());
  const auto arch = [&] {
    write_bytes(folder.file("config.json"), bytes_from(config.dump()));
    return Conversion(tower_of(folder, "text", true)).arch();
  };
  config["text_config_dict"] = config["text_config"];
  config["text_config_dict"]["eos_token_id"] = 7;
  CHECK(contains(arch(), "end=7"));  // as the library: the older section counts
  config["text_config_dict"]["rotary"] = true;
  CHECK(contains(error_text<ConfigError>(arch), "text_config_dict: \"rotary\""));
  config.erase("text_config_dict");
  for (const char* key : {"bad_words_ids", "cross_attention_hidden_size", "forced_bos_token_id", "prefix"})
    config["text_config"][key] = nullptr;
  config["text_config"].update({{"add_cross_attention", false},
                                {"dropout", 0.0},
                                {"length_penalty", 1.0},
                                {"num_beams", 1},
                                {"pruned_heads", nlohmann::json::object()},
                                {"top_p", 1.0}});
  CHECK(contains(arch(), "end=largest"));
  config["text_config"]["is_decoder"] = true;
  CHECK(contains(error_text<ConfigError>(arch), "text_config: \"is_decoder\""));
  config["text_config"]["is_decoder"] = false;
  config["fusion"] = true;
  CHECK(contains(error_text<ConfigError>(arch), "\"fusion\""));
}

TEST_CASE("images: an encoder that was trained here goes out under a library's names, and is recognised again") {
  const char* fixtures[] = {"bert",    "roberta",      "resnet_basic",     "resnet_early",     "vit",
                            "vit_avg", "deit",         "vit_states",       "vit_transformers", "deit_transformers",
                            "dinov2",  "dinov2_giant", "dinov2_registers", "clip_text_end",    "clip_vision_states"};
  for (const char* name : fixtures) {
    CAPTURE(std::string(name));
    const TemporaryFolder folder;
    const Reference reference(name);
    const auto model = reference.model(DType::f32);
    CheckpointWriter writer(folder.file("trained.h5"));
    writer.attribute("format", "retort-roles-1");
    writer.attribute("arch.student", model->arch());
    const auto add = [&](const std::string& key, const Tensor& value) {
      const Tensor t = contiguous(value);
      writer.add("student/" + key, t.dtype(), t.shape(), payload_of(key, t).payload);
    };
    for (const NamedParameter& p : parameters_of(*model)) add(p.name, p.parameter->value);
    for (const NamedBuffer& b : buffers_of(*model)) add(b.name, b.buffer->value);
    writer.commit();
    export_safetensors(folder.file("trained.h5"), folder.file("model.safetensors"), {}, "student", true);
    const auto file = open_tensor_file(folder.file("model.safetensors"));
    for (const ForeignTensor& t : reference.foreign()) {
      REQUIRE_MESSAGE(file->find(t.name) != nullptr, t.name);
      CHECK(file->find(t.name)->shape == t.value.shape());
      CHECK(values_of(*file, t.name) == t.value.values());
    }
    const Conversion again(recognised(folder.path()));
    CHECK_MESSAGE(again.coverage().complete(), again.coverage().text());
    CHECK(again.arch() == model->arch());
    again.write(folder.file("again.h5"));
    CHECK(reference.compare_evaluation(*loaded(folder.file("again.h5"))).output < 1e-5);
  }
  const auto refused = [](const std::string& arch) {
    return error_text<ConfigError>([&] { described(parse_call(arch, "test")); });
  };
  CHECK(contains(refused("bert(vocab=9 width=8 heads=2 depth=1 pool=mean)"), "pooling"));
  CHECK(contains(refused("bert(vocab=9 width=8 heads=2 depth=1 act=silu)"), "act=silu"));
  const std::string vit = "vit(image=8 patch=4 in=3 classes=4 width=12 depth=1 heads=3";
  CHECK(contains(refused(vit + " layer_scale=1)"), "hint: qkv=separate"));
  CHECK(contains(refused(vit + " pool=token_avg)"), "pool=token_avg"));
  CHECK(contains(refused(vit + " prompts=2)"), "prompts"));
  CHECK(contains(refused(vit + " qkv=separate pool=avg)"), "pool=avg with classes=4"));
  CHECK(contains(refused(vit + " qkv=separate registers=2)"), "registers"));
  CHECK(contains(refused(vit + " qkv=separate norm=pooled)"), "norm=pooled"));
  CHECK(contains(refused("dinov2(image=8 patch=4 in=3 width=12 depth=1 heads=3 hidden=20)"), "hidden=20"));
  CHECK(contains(refused("dinov2(image=8 patch=4 in=3 width=12 depth=1 heads=3 registers=1)"), "resample=bicubic"));
  CHECK(contains(refused("dinov2(image=8 patch=4 in=3 width=12 depth=1 heads=3 pool=token)"), "pool=token"));
  CHECK(contains(refused("clip_text(vocab=9 width=8 heads=2 depth=1 end=2)"), "end=2"));
  CHECK(contains(refused("clip_text(vocab=9 width=8 heads=2 depth=1 norm=unit)"), "norm=unit"));
  CHECK(contains(refused("clip_vision(image=8x12 in=3 patch=4 width=8 heads=2 depth=1)"), "image=8x12"));
  CHECK(contains(refused("convnet(widths=4 in=3 classes=2)"), "clip_vision; got convnet"));
  CHECK(refused("resnet(in=3 classes=10 depth=18)").empty());
}

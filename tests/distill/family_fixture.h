// tests/distill/family_fixture.h -- models of fixtures as their libraries save them, and what becomes of them here.
#pragma once
#include <nlohmann/json.hpp>

#include "autograd/ops/arithmetic.h"
#include "distill/convert/convert.h"
#include "distill/train/models.h"
#include "distill/train/state.h"
#include "io/checkpoint.h"
#include "io/safetensors.h"
#include "tests/io/checkpoint_fixture.h"
#include "tests/io/foreign_fixture.h"
#include "tests/nn/reference.h"

namespace retort::test {

using retort::testing::ForeignTensor;
using retort::testing::Reference;

inline NamedPayload payload_of(const std::string& name, const Tensor& t) {
  return {name, t.dtype(), t.shape(), [t](const ByteSink& sink) {
            sink({t.raw(), static_cast<std::size_t>(t.numel() * size_of(t.dtype()))});
          }};
}

/// Writes what the reference's library would save into `folder`, under the names that `rename` gives.
template <class F>
void save_foreign(const Reference& reference, const TemporaryFolder& folder, DType dtype, F&& rename) {
  std::vector<NamedPayload> list;
  for (const ForeignTensor& t : reference.foreign()) list.push_back(payload_of(rename(t.name), cast(t.value, dtype)));
  write_safetensors(folder.file("model.safetensors"), std::move(list), {{"format", "pt"}});
  write_bytes(folder.file("config.json"), bytes_from(reference.configuration()));
}
inline void save_foreign(const Reference& reference, const TemporaryFolder& folder, DType dtype = DType::f32) {
  save_foreign(reference, folder, dtype, [](const std::string& name) { return name; });
}

inline ConvertSpec recognised(const std::string& in) {
  ConvertSpec spec;
  spec.in = in;
  spec.recognise = true;
  return spec;
}

inline std::unique_ptr<Model> loaded(const std::string& checkpoint) {
  const auto arch = std::get<std::string>(CheckpointReader(checkpoint).attribute("arch.model").value());
  Role role;
  role.model = build_model(parse_call(arch, "test"), {});
  load_role(checkpoint, role, "model/");
  return std::move(role.model);
}

/// The architecture that is recognised when the model's configuration has been changed.
inline std::string arch_of(const std::string& fixture, const nlohmann::json& patch) {
  const TemporaryFolder folder;
  const Reference reference(fixture);
  save_foreign(reference, folder);
  nlohmann::json config = nlohmann::json::parse(reference.configuration());
  for (const auto& [key, value] : patch.items()) config[key] = value;
  write_bytes(folder.file("config.json"), bytes_from(config.dump()));
  return Conversion(recognised(folder.path())).arch();
}

/// The text of the ConfigError that is the answer instead.
inline std::string refusal(const std::string& fixture, const nlohmann::json& patch) {
  return error_text<ConfigError>([&] { arch_of(fixture, patch); });
}

}  // namespace retort::test

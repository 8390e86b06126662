#include "distill/train/state.h"

#include <nlohmann/json.hpp>

#include "io/checkpoint.h"
#include "io/crc32c.h"
#include "io/file.h"
#include "retort_config.h"
#include "tensor/transfer.h"
#include "tensor/write.h"

namespace retort {

namespace {
struct Named {
  std::string name;
  Tensor value;
};

std::vector<Named> tensors_of(Role& role) {
  std::vector<Named> list;
  for (const auto& p : parameters_of(role)) list.push_back({p.name, p.parameter->value});
  for (const auto& b : buffers_of(role)) list.push_back({b.name, b.buffer->value});
  return list;
}

/// Where files are written from: row-major on the host.
Tensor row_major(const Tensor& value) {
  const Tensor here = to(value, kCpu);
  return here.layout().contiguous() ? here : copy_of(here);
}

std::span<const std::byte> bytes_of_row_major(const Tensor& plain) {
  return {plain.raw(), static_cast<std::size_t>(plain.numel() * size_of(plain.dtype()))};
}

void add_tensor(CheckpointWriter& writer, const std::string& name, const Tensor& value) {
  const Tensor plain = row_major(value);
  writer.add(name, plain.dtype(), plain.shape(), bytes_of_row_major(plain));
}

/// Refuses a file that does not hold exactly the listed tensors below `prefix`; of these only shape and dtype matter.
void check_tensors(const CheckpointReader& reader, const std::string& file, const std::string& prefix,
                   const std::vector<Named>& wanted) {
  std::vector<std::string> missing, mismatched, unexpected;
  std::set<std::string> known;
  for (const Named& n : wanted) {
    const std::string name = prefix + n.name;
    known.insert(name);
    const TensorEntry* entry = reader.find(name);
    if (!entry)
      missing.push_back(name);
    else if (!(entry->shape == n.value.shape()) || entry->dtype != n.value.dtype())
      mismatched.push_back(fmt::format("{} is {}{}, expected {}{}", name, name_of(entry->dtype), entry->shape.str(),
                                       name_of(n.value.dtype()), n.value.shape().str()));
  }
  for (const TensorEntry& e : reader.entries())
    if (e.name.starts_with(prefix) && !known.contains(e.name)) unexpected.push_back(e.name);
  if (!missing.empty() || !mismatched.empty() || !unexpected.empty())
    throw IoError("{}: tensors do not fit the model; missing: {}; mismatched: {}; unexpected: {}", file,
                  missing.empty() ? "none" : fmt::format("{}", fmt::join(missing, ", ")),
                  mismatched.empty() ? "none" : fmt::format("{}", fmt::join(mismatched, ", ")),
                  unexpected.empty() ? "none" : fmt::format("{}", fmt::join(unexpected, ", ")));
}

void read_tensor(const CheckpointReader& reader, const std::string& name, const Tensor& value) {
  Tensor plain = Tensor::empty(value.shape(), value.dtype());
  const auto bytes = reader.bytes(name);
  if (!bytes.empty()) std::memcpy(plain.raw(), bytes.data(), bytes.size());
  assign_(value, to(plain, value.device()), "checkpoint");
}

void load_tensors(const CheckpointReader& reader, const std::string& file, const std::string& prefix,
                  const std::vector<Named>& wanted) {
  check_tensors(reader, file, prefix, wanted);
  for (const Named& n : wanted) read_tensor(reader, prefix + n.name, n.value);
}

void refresh_shadows(Role& role) {
  for (const auto& p : parameters_of(role))
    if (p.parameter->shadow.defined()) assign_(p.parameter->shadow, p.parameter->value, "checkpoint");
}
}  // namespace

void load_role(const std::filesystem::path& file, Role& role, const std::string& prefix) {
  const CheckpointReader reader(file);
  load_tensors(reader, file.string(), prefix, tensors_of(role));
  refresh_shadows(role);
}

void save_tensors(const std::filesystem::path& file, const std::vector<std::pair<std::string, Tensor>>& tensors) {
  CheckpointWriter writer(file);
  for (const auto& [name, value] : tensors) add_tensor(writer, name, value);
  writer.commit();
}

std::vector<std::string> trained_roles(const Setup& setup) {
  std::set<std::string> names;
  for (const PhaseSpec& p : setup.phases)
    for (const UpdateSpec& u : p.updates) names.insert(u.train.begin(), u.train.end());
  return {names.begin(), names.end()};
}

std::vector<std::string> changing_roles(const Setup& setup) {
  std::vector<std::string> names = trained_roles(setup);
  for (const auto& [name, spec] : setup.followers) names.push_back(name);
  for (const auto& [name, drawn] : setup.drawn) names.push_back(name);
  for (const PhaseSpec& p : setup.phases)
    for (const Between& b : p.between) names.push_back(b.role);
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

std::uint32_t fingerprint(Role& role) {
  std::uint32_t crc = 0;
  for (const Named& n : tensors_of(role)) {
    const std::string head = fmt::format("{} {} {}\n", n.name, name_of(n.value.dtype()), n.value.shape().str());
    crc = crc32c(bytes_of(head), crc);
    crc = crc32c(bytes_of_row_major(row_major(n.value)), crc);
  }
  return crc;
}

void save_checkpoint(const std::filesystem::path& folder, Setup& setup, Trainer& trainer, const CheckpointInfo& info) {
  const auto changing = changing_roles(setup);
  {
    CheckpointWriter writer(folder / "model.h5");
    writer.attribute("format", "retort-roles-1");
    for (const std::string& name : changing) {
      Role& role = setup.roles.at(name);
      writer.attribute("arch." + name, role.model->arch());
      for (const Named& n : tensors_of(role)) add_tensor(writer, name + "/" + n.name, n.value);
    }
    writer.commit();
  }
  {
    CheckpointWriter writer(folder / "state.h5");
    writer.attribute("format", "retort-state-1");
    trainer.visit_state(StateUse::save,
                        [&](const std::string& name, Tensor& value) { add_tensor(writer, name, value); });
    writer.commit();
  }
  nlohmann::ordered_json manifest;
  manifest["format"] = "retort-checkpoint-1";
  manifest["version"] = RETORT_VERSION;
  manifest["step"] = info.step;
  manifest["best_step"] = info.best_step;
  manifest["best_value"] = info.best_value;
  for (auto& [name, role] : setup.roles)
    if (role.model && std::find(changing.begin(), changing.end(), name) == changing.end())
      manifest["frozen"][name] = fingerprint(role);
  write_file_atomic(folder / "manifest.json", manifest.dump(2) + "\n");
}

CheckpointInfo load_checkpoint(const std::filesystem::path& folder, Setup& setup, Trainer& trainer) {
  const std::string where = (folder / "manifest.json").string();
  CheckpointInfo info;
  nlohmann::json manifest;
  try {
    manifest = nlohmann::json::parse(read_file(folder / "manifest.json"));
    info.step = manifest.at("step").get<std::int64_t>();
    info.best_step = manifest.at("best_step").get<std::int64_t>();
    info.best_value = manifest.at("best_value").get<double>();
  } catch (const nlohmann::json::exception& e) {
    throw IoError("{}: not a manifest of a checkpoint; {}", where, e.what());
  }
  const auto changing = changing_roles(setup);
  for (auto& [name, role] : setup.roles) {
    if (!role.model || std::find(changing.begin(), changing.end(), name) != changing.end()) continue;
    const auto saved = manifest.value("frozen", nlohmann::json::object());
    if (saved.contains(name) && saved[name].get<std::uint32_t>() != fingerprint(role))
      throw ConfigError(
          "{}: role {} is not the one this run began with (its tensors differ); hint: restore the file that "
          "init_from names",
          where, name);
  }
  trainer.seek(info.step);
  {
    const CheckpointReader reader(folder / "model.h5");
    for (const std::string& name : changing) {
      Role& role = setup.roles.at(name);
      load_tensors(reader, (folder / "model.h5").string(), name + "/", tensors_of(role));
      refresh_shadows(role);
    }
  }
  const CheckpointReader reader(folder / "state.h5");
  std::vector<Named> state;
  trainer.visit_state(StateUse::look, [&](const std::string& name, Tensor& value) { state.push_back({name, value}); });
  check_tensors(reader, (folder / "state.h5").string(), "", state);
  trainer.visit_state(StateUse::load,
                      [&](const std::string& name, Tensor& value) { read_tensor(reader, name, value); });
  return info;
}

}  // namespace retort

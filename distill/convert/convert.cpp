// distill/convert/convert.cpp -- the account, and the way of each tensor into a checkpoint.
#include "distill/convert/convert.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>

#include "distill/convert/companions.h"
#include "distill/convert/families.h"
#include "distill/train/models.h"
#include "io/checkpoint.h"
#include "io/crc32c.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "tensor/error.h"

namespace retort {
namespace fs = std::filesystem;

namespace {
constexpr std::size_t kNamed = 8;         ///< tensors that an error names
const std::string kForeign = "foreign.";  ///< the head of attributes that are the file's own metadata
const std::string kStored = "stored";     ///< the attribute with the dtypes of tensors that were widened, as JSON

std::string described(DType dtype, const Shape& shape) { return fmt::format("{}{}", name_of(dtype), shape.str()); }

/// Passes 16-bit floats on as f32.
template <class T>
ByteSink widened(const ByteSink& sink) {
  return [&sink, wide = std::vector<float>()](std::span<const std::byte> piece) mutable {
    wide.resize(piece.size() / sizeof(T));
    for (std::size_t i = 0; i < wide.size(); ++i) {
      T value;
      std::memcpy(&value, piece.data() + i * sizeof(T), sizeof(T));
      wide[i] = static_cast<float>(value);
    }
    sink(std::as_bytes(std::span(wide)));
  };
}

/// Passes f32 on as the 16-bit floats it was widened from.
template <class T>
ByteSource narrowed(ByteSource source, const std::string& name) {
  return [source = std::move(source), name](const ByteSink& sink) {
    source([&, narrow = std::vector<T>()](std::span<const std::byte> piece) mutable {
      narrow.resize(piece.size() / sizeof(float));
      for (std::size_t i = 0; i < narrow.size(); ++i) {
        float value;
        std::memcpy(&value, piece.data() + i * sizeof(float), sizeof(float));
        narrow[i] = static_cast<T>(value);
        if (std::bit_cast<std::uint32_t>(static_cast<float>(narrow[i])) != std::bit_cast<std::uint32_t>(value))
          throw IoError("\"{}\" was widened to f32, and {} is no longer one of {}", name, value, name_of(dtype_of<T>));
      }
      sink(std::as_bytes(std::span(narrow)));
    });
  };
}

ByteSource source_of(const TensorFile& file, const FileTensor& tensor, DType dtype) {
  return [&file, &tensor, dtype](const ByteSink& sink) {
    if (tensor.dtype == dtype) return file.read(tensor, sink);
    tensor.dtype == DType::f16 ? file.read(tensor, widened<Half>(sink)) : file.read(tensor, widened<BFloat16>(sink));
  };
}

bool becomes(DType from, DType to) {
  return from == to || (to == DType::f32 && (from == DType::f16 || from == DType::bf16));
}

std::uint32_t checksum(const TensorFile& file, const FileTensor& tensor) {
  std::uint32_t crc = 0;
  file.read(tensor, [&](std::span<const std::byte> piece) { crc = crc32c(piece, crc); });
  return crc;
}

/// "a, b, .. and 3 more"
std::string first_of(std::vector<std::string> names) {
  const std::size_t more = names.size() > kNamed ? names.size() - kNamed : 0;
  names.resize(names.size() - more);
  if (names.empty()) return "none";
  return fmt::format("{}{}", fmt::join(names, ", "), more > 0 ? fmt::format(" and {} more", more) : "");
}
}  // namespace

bool Coverage::complete() const {
  return missing.empty() && unexpected.empty() && mismatched.empty() && unreadable.empty();
}

std::string Coverage::text() const {
  std::string text = fmt::format(
      "loaded {}, missing {}, unexpected {}, mismatched {}, unreadable {}, tied {}, dropped {}\n", loaded.size(),
      missing.size(), unexpected.size(), mismatched.size(), unreadable.size(), tied.size(), dropped.size());
  if (!library.empty()) text += fmt::format("{:<10} by the table of {}\n", "named", library);
  const auto list = [&](std::string_view what, const std::vector<std::string>& names) {
    for (const std::string& name : names) text += fmt::format("{:<10} {}\n", what, name);
  };
  list("missing", missing);
  list("unexpected", unexpected);
  list("mismatched", mismatched);
  list("unreadable", unreadable);
  for (const auto& [name, same] : tied) text += fmt::format("{:<10} {} = {}\n", "tied", name, same);
  list("dropped", dropped);
  // Written twice all the same: without a target there is no telling which name is wanted.
  for (const Loaded& l : loaded)
    if (!l.tensor->same_as.empty())
      text += fmt::format("{:<10} {} = {}\n", "shared", l.tensor->name, l.tensor->same_as);
  return text;
}

fs::path weights_in(const fs::path& in) {
  if (!fs::is_directory(in)) return in;
  for (const char* name :
       {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"})
    if (fs::exists(in / name)) return in / name;
  std::vector<fs::path> ggufs;
  for (const fs::directory_entry& entry : fs::directory_iterator(in))
    if (entry.path().extension() == ".gguf") ggufs.push_back(entry.path());
  if (ggufs.size() != 1)
    throw IoError(
        "{}: no model.safetensors, pytorch_model.bin or index of shards, and {} .gguf files; hint: name the "
        "file",
        in.string(), ggufs.size());
  return ggufs.front();
}

Conversion::Conversion(ConvertSpec spec) : spec_(std::move(spec)) {
  spec_.in = weights_in(spec_.in);
  file_ = open_tensor_file(spec_.in);
  companions_ = companions_beside(spec_.in);
  if (spec_.recognise) {
    const auto configuration = companions_.find("config.json");
    Recognised found = recognise(
        *file_, spec_.in, configuration == companions_.end() ? std::nullopt : std::optional(configuration->second),
        spec_.tower);
    spec_.into = found.into;
    if (spec_.names.text().empty()) {
      spec_.names = std::move(found.names);
      table_ = found.exported.text();
    }
    companions_["config.json"] = std::move(found.configuration);
  }
  if (spec_.into && spec_.names.text().empty())
    if (auto found = library_names(*spec_.into, *file_)) {
      spec_.names = std::move(found->names);
      coverage_.library = found->library;
    }
  if (table_.empty()) table_ = spec_.names.text();
  check_ties();
  account(build_target());
}

std::map<std::string, Conversion::Target> Conversion::build_target() {
  std::map<std::string, Target> target;
  if (!spec_.into) return target;
  const auto model = build_model(*spec_.into, {});
  arch_ = model->arch();
  for (const NamedParameter& p : parameters_of(*model))
    target[p.name] = {p.parameter->value.dtype(), p.parameter->value.shape()};
  for (const NamedBuffer& b : buffers_of(*model)) target[b.name] = {b.buffer->value.dtype(), b.buffer->value.shape()};
  return target;
}

/// The table's copies that are in the file must be copies.
void Conversion::check_ties() {
  for (const auto& [name, same] : spec_.names.tied()) {
    const FileTensor *copy = file_->find(name), *original = file_->find(same);
    if (copy == nullptr) continue;
    if (original == nullptr)
      throw ConfigError("{}: \"{}\" is tied to \"{}\", which is not there", spec_.in.string(), name, same);
    if (copy->dtype != original->dtype || !(copy->shape == original->shape) ||
        checksum(*file_, *copy) != checksum(*file_, *original))
      throw ConfigError(
          "{}: \"{}\" is no copy of \"{}\", to which the table ties it; hint: another architecture, untied",
          spec_.in.string(), name, same);
    coverage_.tied.emplace_back(name, same);
  }
}

void Conversion::account(const std::map<std::string, Target>& target) {
  for (const FileTensor& tensor : file_->tensors()) place(tensor, target);
  for (const auto& [name, reason] : file_->unreadable())
    if (spec_.names.drops(name))
      coverage_.dropped.push_back(name);
    else
      coverage_.unreadable.push_back(fmt::format("{}: {}", name, reason));
  std::map<std::string, std::string> from;
  for (const Coverage::Loaded& l : coverage_.loaded) {
    const auto [other, fresh] = from.emplace(l.name, l.tensor->name);
    if (!fresh)
      throw IoError("{}: \"{}\" and \"{}\" both become \"{}\"", spec_.in.string(), other->second, l.tensor->name,
                    l.name);
  }
  for (const auto& [name, wanted] : target) {
    const bool mismatched = std::any_of(coverage_.mismatched.begin(), coverage_.mismatched.end(),
                                        [&, n = name + " "](const std::string& m) { return m.starts_with(n); });
    if (!from.contains(name) && !mismatched)
      coverage_.missing.push_back(fmt::format("{} {}", name, described(wanted.dtype, wanted.shape)));
  }
}

void Conversion::place(const FileTensor& tensor, const std::map<std::string, Target>& target) {
  const auto is_tied = [&](const auto& pair) { return pair.first == tensor.name; };
  if (std::any_of(coverage_.tied.begin(), coverage_.tied.end(), is_tied)) return;
  if (spec_.names.drops(tensor.name)) return coverage_.dropped.push_back(tensor.name);
  const std::string name = spec_.names.ours(tensor.name);
  const Reorder order = spec_.names.reorder(tensor.name);
  const Shape shape = order.ours(tensor.shape, fmt::format("{}: \"{}\"", spec_.in.string(), tensor.name));
  if (!spec_.into) return coverage_.loaded.push_back({&tensor, name, tensor.dtype, shape, order});
  const auto wanted = target.find(name);
  if (wanted == target.end()) {
    // One storage under two names: the other one is loaded, if the target has it.
    if (!tensor.same_as.empty() && target.contains(spec_.names.ours(tensor.same_as)))
      coverage_.tied.emplace_back(tensor.name, tensor.same_as);
    else
      coverage_.unexpected.push_back(fmt::format("{} {}", tensor.name, described(tensor.dtype, tensor.shape)));
  } else if (!(shape == wanted->second.shape) || !becomes(tensor.dtype, wanted->second.dtype)) {
    coverage_.mismatched.push_back(fmt::format("{} is {} in the file, expected {}", name,
                                               described(tensor.dtype, shape),
                                               described(wanted->second.dtype, wanted->second.shape)));
  } else {
    coverage_.loaded.push_back({&tensor, name, wanted->second.dtype, shape, order});
  }
}

void Conversion::write(const fs::path& out) const {
  const Coverage& c = coverage_;
  if (!c.complete() && !spec_.partial)
    throw IoError(
        "{}: not converted; missing: {}; unexpected: {}; mismatched: {}; unreadable: {}; hint: a table of names, or "
        "--partial",
        spec_.in.string(), first_of(c.missing), first_of(c.unexpected), first_of(c.mismatched), first_of(c.unreadable));
  std::error_code ignored;
  if (fs::equivalent(spec_.in, out, ignored))
    throw ConfigError("convert: {} would replace what it is read from", out.string());
  CheckpointWriter writer(out);
  writer.attribute("format", spec_.into ? "retort-roles-1" : "retort-tensors-1");
  if (spec_.into) writer.attribute("arch." + spec_.role, arch_);
  for (const auto& [key, value] : file_->metadata())
    writer.attribute(key.starts_with(kForeign) ? key : kForeign + key, value);
  for (const auto& [name, same] : c.tied) writer.attribute("tied." + name, same);
  for (const auto& [name, text] : companions_) {
    if (name.ends_with(".json")) parse_json(text, (spec_.in.parent_path() / name).string());
    writer.attribute(name, text);
  }
  if (!table_.empty()) writer.attribute("names", table_);
  nlohmann::json stored = nlohmann::json::object();
  for (const Coverage::Loaded& l : c.loaded)
    if (l.dtype != l.tensor->dtype) stored[l.name] = name_of(l.tensor->dtype);
  if (!stored.empty()) writer.attribute(kStored, stored.dump());
  const std::string prefix = spec_.into ? spec_.role + "/" : "";
  for (const Coverage::Loaded& l : c.loaded)
    writer.add(prefix + l.name, l.dtype, l.shape,
               reordered(source_of(*file_, *l.tensor, l.dtype), l.tensor->shape, l.dtype, l.order, false));
  writer.commit();
}

namespace {
/// The prefix of a role's tensors in a checkpoint of roles; "" for any other file.
std::string role_prefix(const TensorFile& file, const fs::path& in, const std::string& role) {
  std::vector<std::string> roles;
  for (const auto& [key, value] : file.metadata())
    if (key.starts_with("arch.")) roles.push_back(key.substr(5));
  const auto format = file.metadata().find("format");
  const bool is_roles = format != file.metadata().end() && format->second == "retort-roles-1";
  if (!is_roles) {
    if (!role.empty()) throw ConfigError("export: {} is no checkpoint of roles; got role {}", in.string(), role);
    return "";
  }
  if (role.empty() && roles.size() == 1) return roles.front() + "/";
  if (std::find(roles.begin(), roles.end(), role) == roles.end())
    throw ConfigError("export: {} has the roles {}; got \"{}\"; hint: --role", in.string(), fmt::join(roles, ", "),
                      role);
  return role + "/";
}

}  // namespace

namespace {
/// What a conversion noted about the tensors of a file.
struct Noted {
  NameTable names;
  std::map<std::string, DType> stored;  ///< of those that were widened, by our names
  TextMap companions;
};

Noted noted_in(const TensorFile& file, const fs::path& in) {
  Noted noted;
  const auto text_of = [&](const std::string& key) {
    const auto found = file.metadata().find(key);
    return found == file.metadata().end() ? std::string() : found->second;
  };
  const std::string where = in.string();
  if (const std::string table = text_of("names"); !table.empty())
    noted.names = NameTable::parse(Config::parse(table, where + ": names"));
  noted.companions = companions_in(file.metadata());
  const std::string stored = text_of(kStored);
  if (stored.empty()) return noted;
  const nlohmann::json json = parse_json(stored, where + ": " + kStored);
  for (const auto& [name, dtype] : json.items()) {
    if (dtype != name_of(DType::f16) && dtype != name_of(DType::bf16))
      throw IoError("{}: \"{}\" was widened from {}, which is no 16-bit float", where, name, dtype.dump());
    noted.stored[name] = dtype == name_of(DType::f16) ? DType::f16 : DType::bf16;
  }
  return noted;
}

/// Replaces names and configuration by those of the role's family.
void describe(const TensorFile& file, const fs::path& in, const std::string& prefix, Noted& noted) {
  const std::string role = prefix.substr(0, prefix.empty() ? 0 : prefix.size() - 1);
  const auto arch = file.metadata().find("arch." + role);
  if (prefix.empty() || arch == file.metadata().end())
    throw ConfigError("export: {} does not say which architecture its tensors are of", in.string());
  Described family = described(parse_call(arch->second, in.string() + ": arch." + role));
  noted.names = std::move(family.names);
  noted.companions["config.json"] = std::move(family.configuration);
}

/// A tensor of a checkpoint as the other program had it.
NamedPayload foreign_payload(const TensorFile& file, const FileTensor& t, const std::string& ours,
                             const NameTable& names, const Noted& noted) {
  const std::string name = names.foreign(ours);
  const Reorder order = names.reorder(name);
  const Shape shape = order.foreign(t.shape, fmt::format("\"{}\"", t.name));
  ByteSource source = reordered(source_of(file, t, t.dtype), t.shape, t.dtype, order, true);
  const auto stored = noted.stored.find(ours);
  if (stored == noted.stored.end() || t.dtype != DType::f32) return {name, t.dtype, shape, std::move(source)};
  return {name, stored->second, shape,
          stored->second == DType::f16 ? narrowed<Half>(std::move(source), name)
                                       : narrowed<BFloat16>(std::move(source), name)};
}
}  // namespace

std::size_t export_safetensors(const fs::path& in, const fs::path& out, const NameTable& given, const std::string& role,
                               bool recognise) {
  const auto file = open_tensor_file(in);
  const std::string prefix = role_prefix(*file, in, role);
  Noted noted = noted_in(*file, in);
  if (recognise) describe(*file, in, prefix, noted);
  const NameTable& names = given.text().empty() ? noted.names : given;
  std::vector<NamedPayload> tensors;
  std::map<std::string, NamedPayload> exported;
  for (const FileTensor& t : file->tensors()) {
    if (!t.name.starts_with(prefix)) continue;
    tensors.push_back(foreign_payload(*file, t, t.name.substr(prefix.size()), names, noted));
    exported.emplace(tensors.back().name, tensors.back());
  }
  TextMap metadata;
  // Loaders want to know which library's layout it is; what was converted says so itself, if it did.
  if (!prefix.empty()) metadata["format"] = "pt";
  for (const auto& [key, value] : file->metadata()) {
    if (key.starts_with(kForeign)) metadata[key.substr(kForeign.size())] = value;
    if (!key.starts_with("tied.")) continue;
    const auto original = exported.find(value);
    if (original == exported.end())
      throw IoError("{}: \"{}\" is tied to \"{}\", which is not there", in.string(), key.substr(5), value);
    tensors.push_back(original->second);
    tensors.back().name = key.substr(5);
  }
  const std::size_t count = tensors.size();
  write_safetensors(out, std::move(tensors), metadata);
  write_companions(noted.companions, out);
  return count;
}

}  // namespace retort

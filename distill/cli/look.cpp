// distill/cli/look.cpp -- the commands that only look: plan, eval, inspect, methods, doctor.
#include <omp.h>

#include <cstdio>
#include <set>

#include "distill/cli/commands.h"
#include "distill/train/call.h"
#include "distill/train/environment.h"
#include "distill/train/method_check.h"
#include "distill/train/run.h"
#include "distill/train/state.h"
#include "io/file.h"
#include "io/tensor_file.h"
#include "retort_config.h"
#include "tensor/gpu/device.h"

namespace retort::cli {

namespace fs = std::filesystem;

int plan(const std::string& name, const std::vector<std::string>& overrides) {
  const OpenedJob opened = open_job(name, overrides);
  Job job = build_job(opened.config, opened.file, kMeta);
  std::printf("%s\n%s", job.title.c_str(), plan_job(job).text().c_str());
  return 0;
}

int capture(const std::string& name, const std::vector<std::string>& overrides) {
  const OpenedJob opened = open_job(name, overrides);
  Job job = build_job(opened.config, opened.file, kCpu);
  if (job.top_k.empty()) throw ConfigError("capture: the method of {} has no store of kind top_k", name);
  for (TopKSpec spec : job.top_k) {
    spec.file.clear();
    fill_top_k(spec, job.setup, job.folder);
    std::printf("%s\n", top_k_file(spec, job.folder).string().c_str());
  }
  return 0;
}

int eval(const std::string& target, const std::vector<std::string>& overrides, bool best) {
  const bool is_run = fs::exists(fs::path(target) / "resolved.yaml");
  const fs::path file = is_run ? fs::path(target) / "resolved.yaml" : find_job(target);
  Job job = is_run ? build_job(Config::parse_file(file), file, kCpu) : build_job(read_job(file, overrides), file, kCpu);
  if (is_run) {
    Trainer trainer(job.setup);
    const auto checkpoint = best ? best_checkpoint(target) : newest_checkpoint(target);
    if (!checkpoint && !trainer.finished()) throw ConfigError("eval: {} has no complete checkpoint yet", target);
    const std::int64_t step = checkpoint ? load_checkpoint(checkpoint->path, job.setup, trainer).step : 0;
    std::printf("step %lld\n", static_cast<long long>(step));
  }
  for (const auto& [role, words] : job.eval.roles) {
    const Evaluation e = evaluate_role(job, role);
    if (e.text) {
      fmt::print("{:<24} {}\n", words, text_summary(e));
      for (const Continuation& c : e.text->shown) fmt::print("    {}|{}\n", c.prompt, c.text);
      continue;
    }
    std::printf("%-24s %6.2f %%  cross-entropy %.4f  (%lld samples)\n", words.c_str(), 100 * e.top1, e.cross_entropy,
                static_cast<long long>(e.samples));
  }
  if (job.protocol)
    fmt::print("{}", protocol_table(*job.protocol, run_protocol(*job.protocol, job.setup, job.eval.data, job.sizes)));
  if (job.generation)
    fmt::print("{}", generation_table(*job.generation, run_generation(*job.generation, job.setup, job.eval.data)));
  return 0;
}

namespace {
/// Text of a file on a terminal: control characters as \\xNN, long texts cut.
std::string shown(std::string_view text) {
  constexpr std::size_t longest = 200;
  std::string out;
  for (const char c : text.substr(0, longest))
    if (const auto code = static_cast<unsigned char>(c); code < 32 || code == 127)
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", code);
    else
      out.push_back(c);
  return text.size() > longest ? fmt::format("{} .. ({} bytes)", out, text.size()) : out;
}
}  // namespace

int inspect(const std::string& path) {
  const auto file = open_tensor_file(path);
  const bool checksums = file->format() == "HDF5";
  fmt::print("{}\n", file->format());
  for (const auto& [name, value] : file->metadata()) fmt::print("{:<24} {}\n", shown(name), shown(value));
  std::int64_t elements = 0, bytes = 0;
  for (const FileTensor& t : file->tensors()) {
    const bool checked = checksums && t.stored.starts_with("crc");
    if (checked) file->read(t, [](std::span<const std::byte>) {});  // verifies the checksum
    const std::string same = t.same_as.empty() ? "" : fmt::format(" same as {}", shown(t.same_as));
    fmt::print("{:<5} {:<20} {:<48} {}{}{}\n", name_of(t.dtype), t.shape.str(), shown(t.name), shown(t.stored),
               checked ? " ok" : "", same);
    elements += t.shape.product();
    bytes += t.bytes;
  }
  for (const auto& [name, reason] : file->unreadable()) fmt::print("unreadable {}: {}\n", shown(name), shown(reason));
  fmt::print("{} tensors, {} elements, {} bytes\n", file->tensors().size(), elements, bytes);
  return 0;
}

namespace {
std::string one_line(Config& c, const char* key) { return c.has(key) ? c.get<std::string>(key) : ""; }
}  // namespace

namespace {
Config parse_method(const std::string& slug) {
  return Config::parse(lookup(method_presets(), Call{slug, {}, "methods"}, "method"), slug + ".yaml");
}

/// Kinds of terms and of sources that a preset is made of: "match direction, rollout".
std::string parts_of(Config& method) {
  const auto kinds = [&](const char* section) {
    std::set<std::string> names;
    if (method.has(section))
      for (Config& c : method.child(section).items()) names.insert(c.get<std::string>("kind"));
    return fmt::format("{}", fmt::join(names, " "));
  };
  if (!method.has("terms")) return "samplers";
  return kinds("terms") + ", " + kinds("sources");
}
}  // namespace

int list_methods() {
  for (const auto& [slug, text] : method_presets()) {
    Config c = parse_method(slug);
    c.resolve_extends(parse_method);
    const auto known = method_catalogue().find(slug);
    const std::string family = known == method_catalogue().end() ? "-" : known->second.family;
    fmt::print("{:<36} {:<3} {:<5} {:<72} {}\n", slug, family, c.has("row") ? c.get<std::string>("row") : "-",
               one_line(c, "title"), parts_of(c));
  }
  return 0;
}

int missing_methods() {
  std::size_t missing = 0;
  for (const auto& [slug, m] : method_catalogue()) {
    if (method_presets().contains(slug)) continue;
    fmt::print("{:<36} {:<3} {:<5} {}\n", slug, m.family, m.row, m.title);
    ++missing;
  }
  fmt::print("{} of {} catalogued methods have no preset yet\n", missing, method_catalogue().size());
  return 0;
}

int methods(const std::string& name) {
  Config c = parse_method(name);
  c.resolve_extends(parse_method);
  fmt::print("{}: {}\n  {}\n  source: {}\n\n{}", name, one_line(c, "title"), one_line(c, "formula"),
             one_line(c, "source"), c.to_yaml());
  return 0;
}

int check_methods(const std::string& name) {
  std::vector<std::string> slugs;
  for (const auto& [slug, text] : method_presets())
    if (name.empty() || slug == name) slugs.push_back(slug);
  if (slugs.empty()) slugs.push_back(name);  // its error names the nearest
  bool ok = true;
  for (const std::string& slug : slugs) {
    fmt::print("{}\n", slug);
    for (const CheckResult& r : check_method(slug)) {
      ok = ok && r.passed;
      fmt::print("  {:<6} {:<48} golden {:<16.12g} got {:.12g}\n", r.passed ? "ok" : "FAILED", r.what, r.expected,
                 r.got);
    }
  }
  return ok ? 0 : 1;
}

int doctor() {
  fmt::print("retort {} ({})\n{}\n", RETORT_VERSION, RETORT_COMPILER, environment_json());
  fmt::print("threads            {}\n", omp_get_max_threads());
  for (const auto& [kind, name] :
       {std::pair(DeviceKind::cpu, "cpu"), {DeviceKind::emu, "emu"}, {DeviceKind::cuda, "cuda"}})
    fmt::print("kernels on {:<8}{}\n", name, registered_kernels(kind).size());
  for (const std::string& gpu : known_gpus()) fmt::print("device             {}\n", gpu);
  fmt::print("methods            {}\n", method_presets().size());
  bool ok = true;
  for (const char* job : {"fashion_teacher", "fashion_kd", "fashion_kd_full"}) {
    try {
      const fs::path file = find_job(job);
      build_job(read_job(file, {}), file, kMeta);
      fmt::print("job {:<16} ok\n", job);
    } catch (const Error& e) {
      fmt::print("job {:<16} {}: {}\n", job, e.kind(), e.what());
      ok = false;
    }
  }
  return ok ? 0 : 1;
}

}  // namespace retort::cli

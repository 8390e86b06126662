// distill/cli/look.cpp -- the commands that only look: plan, eval, inspect, methods, doctor.
#include <omp.h>

#include <cstdio>

#include "distill/cli/commands.h"
#include "distill/train/call.h"
#include "distill/train/environment.h"
#include "distill/train/method_check.h"
#include "distill/train/run.h"
#include "distill/train/state.h"
#include "io/checkpoint.h"
#include "io/file.h"
#include "retort_config.h"

namespace retort::cli {

namespace fs = std::filesystem;

int plan(const std::string& name, const std::vector<std::string>& overrides) {
  const OpenedJob opened = open_job(name, overrides);
  Job job = build_job(opened.config, opened.file, kMeta);
  std::printf("%s\n%s", job.title.c_str(), plan_job(job).text().c_str());
  return 0;
}

int eval(const std::string& target, const std::vector<std::string>& overrides, bool best) {
  const bool is_run = fs::exists(fs::path(target) / "resolved.yaml");
  const fs::path file = is_run ? fs::path(target) / "resolved.yaml" : find_job(target);
  Job job = is_run ? build_job(Config::parse_file(file), file, kCpu) : build_job(read_job(file, overrides), file, kCpu);
  if (is_run) {
    const auto checkpoint = best ? best_checkpoint(target) : newest_checkpoint(target);
    if (!checkpoint) throw ConfigError("eval: {} has no complete checkpoint yet", target);
    Trainer trainer(job.setup);
    const CheckpointInfo info = load_checkpoint(checkpoint->path, job.setup, trainer);
    std::printf("step %lld\n", static_cast<long long>(info.step));
  }
  for (const auto& [role, words] : job.eval.roles) {
    const Evaluation e = evaluate(job.setup.roles.at(role), job.eval.data, kCpu);
    std::printf("%-24s %6.2f %%  cross-entropy %.4f  (%lld samples)\n", words.c_str(), 100 * e.top1, e.cross_entropy,
                static_cast<long long>(e.samples));
  }
  return 0;
}

int inspect(const std::string& path) {
  const CheckpointReader reader(path);
  for (const auto& [name, value] : reader.attributes())
    std::visit([&n = name](const auto& v) { fmt::print("{:<24} {}\n", n, v); }, value);
  std::int64_t elements = 0, bytes = 0;
  for (const TensorEntry& e : reader.entries()) {
    reader.bytes(e.name);  // verifies the checksum
    fmt::print("{:<5} {:<20} {:<48} {}\n", name_of(e.dtype), e.shape.str(), e.name,
               e.crc ? fmt::format("crc {:08x} ok", *e.crc) : "no checksum");
    elements += e.shape.product();
    bytes += e.bytes;
  }
  for (const auto& [name, reason] : reader.unreadable()) fmt::print("unreadable {}: {}\n", name, reason);
  fmt::print("{} tensors, {} elements, {} bytes\n", reader.entries().size(), elements, bytes);
  return 0;
}

namespace {
std::string one_line(Config& c, const char* key) { return c.has(key) ? c.get<std::string>(key) : ""; }
}  // namespace

int methods(const std::string& name) {
  if (name.empty()) {
    for (const auto& [slug, text] : method_presets()) {
      Config c = Config::parse(text, slug);
      fmt::print("{:<10} {}\n", slug, one_line(c, "title"));
    }
    return 0;
  }
  const auto parse = [](const std::string& slug) {
    const Call call{slug, {}, "methods"};
    return Config::parse(lookup(method_presets(), call, "method"), slug + ".yaml");
  };
  Config c = parse(name);
  c.resolve_extends(parse);
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
  fmt::print("kernels on cpu     {}\n", registered_kernels(DeviceKind::cpu).size());
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

#include "distill/train/job.h"

#include <cstdlib>

#include "distill/objectives/match.h"
#include "distill/train/pixel_sets.h"
#include "distill/train/roles.h"
#include "distill/train/source_reader.h"
#include "distill/train/state.h"
#include "distill/train/terms.h"
#include "io/checkpoint.h"
#include "io/file.h"
#include "retort_paths.h"
#include "tensor/gpu/device.h"

namespace retort {

namespace fs = std::filesystem;

namespace {
/// Where the jobs that come with Retort are: RETORT_JOBS in the environment, else the source tree it was built from,
/// else where they were installed.
fs::path jobs_folder() {
  if (const char* from_environment = std::getenv("RETORT_JOBS")) return from_environment;
  std::error_code ignored;
  return fs::exists(RETORT_JOBS_FOLDER, ignored) ? RETORT_JOBS_FOLDER : RETORT_INSTALLED_JOBS;
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& e : fs::directory_iterator(folder, ignored))
    if (e.path().extension() == ".yaml") names.push_back(e.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

/// A file named in a job: as given, or beside the job.
fs::path beside(const fs::path& job, const std::string& name) {
  if (fs::exists(name) || fs::path(name).is_absolute()) return name;
  return job.parent_path() / name;
}

class Builder {
 public:
  Builder(Config& config, const fs::path& file, Device device, Job& job)
      : config_(config), file_(file), device_(device), job_(job) {}

  void build() {
    read_head();
    read_data();
    read_models();
    read_numbers();
    build_sources(config_, {sets_, texts_, numbers_, sample_shape(), dtype_, device_}, setup());
    fill_pixel_sets(config_.child("method"), setup(), dtype_);
    read_stores();
    read_drawn_params(config_.child("method"), numbers_, setup());
    read_terms();
    read_samplers();
    read_phases();
    read_generation();
    read_eval();
    if (!config_.has("job.task")) return;
    for (const char* section : {"models", "sources", "optim"})  // a task offers more than a method needs
      if (config_.has(section)) skip(config_.child(section));
  }

 private:
  Setup& setup() { return job_.setup; }

  void read_head() {
    job_.name = config_.get("job.name", file_.stem().string());
    job_.title = config_.get("job.title", job_.name);
    if (config_.has("job.task")) config_.get<std::string>("job.task");
    job_.folder = fs::path(config_.get("job.output_dir", "runs")) / job_.name;
    setup().seed = config_.get("job.seed", std::uint64_t{1});
    if (config_.has("job.seeds")) job_.seeds = config_.get<std::vector<std::uint64_t>>("job.seeds");
    if (config_.has("run.steps")) config_.get<std::string>("run.steps");  // a plan may fix every phase's steps itself
    read_capture(chosen_device(config_));
    job_.run.log_every = config_.get_int("run.log_every", 50, {.min = 1});
    job_.run.save_every = config_.get_int("run.save_every", 0, {.min = 0});
    job_.run.keep_last = static_cast<int>(config_.get_int("run.keep_last", 3, {.min = 1, .max = 1000000}));
    job_.run.threads = static_cast<int>(config_.get_int("run.threads", 0, {.min = 0, .max = 1024}));
    if (config_.has("run.timeout")) job_.run.timeout = config_.get_real("run.timeout", {.min = 0.1});
    if (config_.has("run.zero")) job_.run.trainer.zero = config_.get_int("run.zero", 0, {.min = 0, .max = 1}) == 1;
    dtype_ = config_.get_choice("run.dtype", {"f32", "f64"}, "f32") == "f64" ? DType::f64 : DType::f32;
    setup().device = device_;
  }

  void read_capture(Device device) {
    const std::string name = config_.get_choice("run.capture", {"auto", "on", "off"}, "auto");
    job_.run.trainer.capture = name == "on" ? Capture::on : name == "off" ? Capture::off : Capture::automatic;
    if (name == "on" && device.kind == DeviceKind::cpu)
      config_.child("run.capture").fail("steps are captured on GPUs; hint: run.device=cuda, or run.capture=auto");
  }

  /// Data sets, or `sample: [d]`, the shape of what closed forms and generators make.
  void read_data() {
    if (config_.has("sample")) {
      for (const std::int64_t n : config_.get<std::vector<std::int64_t>>("sample")) sample_.push_back(n);
      return;
    }
    for (Config& set : config_.child("data").items()) {
      if (const auto texts = make_token_set(set))
        texts_[set.key()] = texts;
      else
        sets_[set.key()] = make_dataset(set);
    }
    for (const auto& [name, texts] : texts_)
      if (const std::int64_t vocab = texts_.begin()->second->vocab(); texts->vocab() != vocab)
        config_.child("data").child(name).fail(
            fmt::format("sets of texts share one vocabulary; got {} and {}", vocab, texts->vocab()));
    if (sets_.empty() && texts_.empty()) config_.child("data").fail("a job needs at least one data set");
  }

  const std::shared_ptr<const Dataset>& set_named(Config& node) {
    return lookup(sets_, Call{node.as<std::string>(), {}, node.where()}, "data set");
  }

  ModelSizes sizes() const {
    if (!texts_.empty()) return {.classes = texts_.begin()->second->vocab()};
    if (sets_.empty()) return {};
    const Dataset& d = *sets_.begin()->second;
    return {d.image_shape()[0], d.image_shape()[1], d.image_shape()[2], d.classes()};
  }

  /// Of one sample, without the batch axis.
  Shape sample_shape() const {
    if (sample_.rank() > 0) return sample_;
    const ModelSizes m = sizes();
    return {m.channels, m.height, m.width};
  }

  void read_models() {
    Config& method = config_.child("method");
    method.get("method", "custom");
    for (const char* text : {"row", "title", "formula", "source", "notes", "family"})
      if (method.has(text)) method.get<std::string>(text);
    for (const char* unused : {"checks", "trial", "task"})
      if (method.has(unused)) skip(method.child(unused));
    cached_ = build_roles(config_, role_settings(), setup());
  }

  RoleSettings role_settings() const {
    return {[this](const std::string& name) { return beside(file_, name); }, sizes(), sample_shape(), dtype_, device_};
  }

  /// `checks` of a preset are read by the test program, not by runs; `trial` and `task` were applied if they are to be.
  static void skip(Config& node) {
    if (node.is_scalar() || node.is_null()) {
      node.as<std::string>();
      return;
    }
    for (Config& c : node.items()) skip(c);
  }

  void read_stores() {
    Config& method = config_.child("method");
    if (!method.has("stores")) return;
    for (Config& c : method.child("stores").items()) {
      const std::string kind = c.get_choice("kind", {"index", "class_mean", "trajectory", "top_k"}, "index");
      if (kind == "trajectory") {
        setup().trajectories[c.key()];
        continue;
      }
      if (kind == "top_k") {
        job_.top_k.push_back(parse_top_k(c, setup()));
        setup().stores[c.key()] = make_top_k_store(job_.top_k.back(), setup(), dtype_);
        store_source_[c.key()] = job_.top_k.back().source;
        continue;
      }
      const std::string source = c.get<std::string>("source");
      const Source& s = *lookup(setup().sources, Call{source, {}, c.child("source").where()}, "source");
      if (!s.set()) c.child("source").fail("a store is indexed by the images of a data set");
      const Read read = c.has("of") ? parse_read(c.child("of")) : like_read(c.child("like"));
      const Role& role = lookup(setup().roles, Call{read.role, {}, c.where()}, "role");
      if (read.from == Read::From::head) lookup(role.heads, Call{read.head, {}, c.where()}, "head");
      const Shape row = shape_of(role, read, role_settings());
      setup().stores[c.key()] = make_store(c, *s.set(), row, setup().seed, dtype_, device_);
      store_source_[c.key()] = source;
      if (c.has("of")) job_.class_means.push_back({read, c.key(), source});
    }
  }

  /// ROLE or ROLE.HEAD.
  static Read like_read(Config& like) {
    const std::string text = like.as<std::string>();
    const auto dot = text.find('.');
    Read read;
    read.role = text.substr(0, dot);
    if (dot != std::string::npos) {
      read.from = Read::From::head;
      read.head = text.substr(dot + 1);
    }
    return read;
  }

  void read_numbers() {
    Config& method = config_.child("method");
    if (!method.has("numbers")) return;
    for (Config& n : method.child("numbers").items()) {
      if (n.is_scalar() || !n.has("control")) {
        if (n.is_scalar() && n.as<std::string>() == "job")
          n.fail(fmt::format("the method leaves it to the job; set method.numbers.{}", n.key()));
        numbers_[n.key()] = Number::parse(n);
        continue;
      }
      const auto controller = make_controller(with_numbers(parse_call(n.child("control")), numbers_));
      setup().controllers[n.key()] = controller;
      numbers_[n.key()] = Number([controller] { return controller->number(); });
    }
  }

  void read_terms() {
    for (Config& t : config_.child("method").child("terms").items()) {
      Config& from = t.child("from");
      const std::string source = from.as<std::string>();
      lookup(setup().sources, Call{source, {}, from.where()}, "source");
      auto term = make_term(t.key(), t, numbers_, noise_schedule());
      for (const std::string& own : setup().sources.at(source)->states())  // which its batches bring: not made again
        if (term->plan().find(own))
          t.child("points").fail(
              fmt::format("source {} brings a state {} of its own; name this point otherwise", source, own));
      for (const Read& r : term->reads()) check_read(r, *term, source, t);
      for (const std::string& asked : term->asks()) lookup(setup().roles, Call{asked, {}, t.where()}, "role");
      setup().terms[t.key()] = std::move(term);
      setup().term_source[t.key()] = source;
    }
  }

  /// The schedule in which terms draw times: the teacher's, or the first that some role has.
  const NoiseSchedule* noise_schedule() {
    const auto teacher = setup().roles.find("teacher");
    if (teacher != setup().roles.end() && teacher->second.diffusion) return &teacher->second.diffusion->schedule;
    for (const auto& [name, role] : setup().roles)
      if (role.diffusion) return &role.diffusion->schedule;
    return nullptr;
  }

  void check_read(const Read& r, const Term& term, const std::string& source, Config& at) {
    if (r.from == Read::From::store) {
      lookup(setup().stores, Call{r.role, {}, at.where()}, "store");
      if (store_source_.at(r.role) != source)
        at.fail(fmt::format("store {} is indexed by source {}", r.role, store_source_.at(r.role)));
      return;
    }
    std::map<std::string, int> known{{"x", 0}, {"noise", 0}};
    for (const State& s : term.plan().states) known[s.name] = 0;
    for (const std::string& s : setup().sources.at(source)->states()) known[s] = 0;
    lookup(known, Call{r.at, {}, at.where()}, "point");
    if (r.from == Read::From::state) return;
    const Role& role = lookup(setup().roles, Call{r.role, {}, at.where()}, "role");
    if (r.space && !role.diffusion) at.fail(fmt::format("role {} is no denoiser: its model needs a schedule", r.role));
    if (r.from == Read::From::head) lookup(role.heads, Call{r.head, {}, at.where()}, "head");
    if (!r.to.empty()) check_jump(r, role, term, at);
    if (std::find(cached_.begin(), cached_.end(), r.role) == cached_.end()) return;
    if (r.at != "x")
      at.fail(fmt::format("role {} answers from a table (mode: cached), so it is read at x only", r.role));
    job_.tables.push_back({r.role, source});
  }

  /// A read with an end time is of a denoiser at a noisy state, as is who takes it on.
  void check_jump(const Read& r, const Role& role, const Term& term, Config& at) {
    const State* state = term.plan().find(r.at);
    if (!role.diffusion || !state || state->time.empty())
      at.fail(fmt::format("{}: jumps are of denoisers, from a state with a time", r.str()));
    if (r.space && role.diffusion->boundary.kind() != Boundary::Kind::ddim_jump)
      at.fail(fmt::format("what the jumps of role {} are made of is not what it predicts: no `space`", role.name));
    if (r.through.empty()) return;
    if (!lookup(setup().roles, Call{r.through, {}, at.where()}, "role").diffusion)
      at.fail(fmt::format("role {} is no denoiser", r.through));
  }

  /// Of the method, and of the job.
  void read_samplers() {
    for (Config* owner : {&config_.child("method"), &config_})
      if (owner->has("samplers"))
        for (auto& [name, sampler] : parse_samplers(owner->child("samplers"), numbers_, setup().roles))
          samplers_[name] = std::move(sampler);
  }

  void read_phases() {
    Config& method = config_.child("method");
    PlanContext context;
    for (const auto& [name, role] : setup().roles)
      if (!setup().followers.contains(name)) context.roles.insert(name);
    for (const auto& [name, term] : setup().terms) {
      context.terms.insert(name);
      if (term->uses_labels()) context.label_terms.insert(name);
    }
    context.numbers = numbers_;
    context.term_source = setup().term_source;
    context.store_source = store_source_;
    context.steps_per_epoch = [this](const std::string& s) { return setup().sources.at(s)->steps_per_epoch(); };
    context.job_optim = &config_.child("optim");
    context.job_steps = &config_.child("run");
    for (const auto& [name, runs] : setup().trajectories) context.trajectories.insert(name);
    // Samplers need no training.
    if (method.has("phases") || samplers_.empty()) setup().phases = parse_phases(method.child("phases"), context);
    allocate_trajectories(setup(), dtype_);
    const auto trained = trained_roles(setup());
    for (const std::string& name : changing_roles(setup()))
      if (std::find(cached_.begin(), cached_.end(), name) != cached_.end())
        method.fail(fmt::format("role {} changes during the run, so its answers cannot be cached", name));
    for (const auto& [name, spec] : setup().followers)
      if (std::find(trained.begin(), trained.end(), spec.of) == trained.end())
        method.fail(fmt::format("role {} follows {}, but no update trains that", name, spec.of));
  }

  /// eval.generate, or a few samples of every sampler.
  void read_generation() {
    if (config_.has("eval") && config_.child("eval").has("generate")) {
      const auto named = [this](Config& node) { return set_named(node); };
      job_.generation =
          parse_generation(config_.child("eval.generate"), samplers_, numbers_, setup().roles, role_settings(), named);
      return;
    }
    if (samplers_.empty()) return;
    Generation& few = job_.generation.emplace();
    few.sample = sample_shape();
    few.dtype = dtype_;
    for (const auto& [name, sampler] : samplers_) few.rows.push_back({name, sampler});
  }

  void read_eval() {
    if ((sets_.empty() && texts_.empty()) || !sample_.empty() || !config_.has("eval")) return;  // nothing is held out
    EvalSpec& e = job_.eval;
    Config& c = config_.child("eval");
    if (texts_.contains(c.get<std::string>("set"))) {
      if (c.has("generate")) c.child("set").fail("generated samples are compared with images");
      e.texts = parse_text_eval(c, texts_, setup().roles);
    } else {
      e.data = {set_named(c.child("set")), c.get_int("batch", 500, {.min = 1}), dtype_};
    }
    e.every = c.get_int("every", 0, {.min = 0});
    if (c.has("protocol")) {
      const auto named = [this](Config& node) { return set_named(node); };
      job_.protocol = parse_protocol(c.child("protocol"), config_.child("models"), named);
      job_.sizes = sizes();
    }
    if ((job_.protocol || c.has("generate")) && !c.has("roles")) return;  // the set, or samples, are all that is judged
    for (Config& r : c.child("roles").items()) {
      lookup(setup().roles, Call{r.key(), {}, r.where()}, "role");
      e.roles.emplace_back(r.key(), r.as<std::string>());
    }
    if (e.roles.empty()) c.child("roles").fail("name at least one role to evaluate: {student: words for reports}");
    read_keep_best();
  }

  /// run.keep_best: a metric that evaluations of this job write.
  void read_keep_best() {
    std::map<std::string, KeepBest, std::less<>> known;
    for (const auto& [role, words] : job_.eval.roles) {
      if (!changes(role)) continue;
      known["acc/top1/" + role] = {"acc/top1/" + role, role, true};
      known["eval/ce/" + role] = {"eval/ce/" + role, role, false};
      if (job_.eval.texts && job_.eval.texts->set->has_bytes())
        known["eval/bpb/" + role] = {"eval/bpb/" + role, role, false};
    }
    if (known.empty()) config_.child("eval.roles").fail("name at least one role that the method trains");
    const std::string of_student = job_.eval.texts ? "eval/ce/student" : "acc/top1/student";
    const std::string usual = known.contains(of_student) ? of_student : known.begin()->first;
    const std::string name = config_.get("run.keep_best", usual);
    job_.run.keep_best = lookup(known, Call{name, {}, config_.child("run.keep_best").where()}, "metric");
  }

  bool changes(const std::string& role) {
    const auto names = changing_roles(setup());
    return std::find(names.begin(), names.end(), role) != names.end();
  }

  Config& config_;
  fs::path file_;
  Device device_;
  Job& job_;
  DType dtype_ = DType::f32;
  Datasets sets_;
  TokenSets texts_;
  std::vector<std::string> cached_;
  std::map<std::string, std::string> store_source_;
  NumberMap numbers_;
  Samplers samplers_;
  Shape sample_;
};
}  // namespace

fs::path find_job(const std::string& name_or_path) {
  if (fs::is_regular_file(name_or_path)) return name_or_path;
  const fs::path known = jobs_folder() / (name_or_path + ".yaml");
  if (fs::is_regular_file(known)) return known;
  throw ConfigError("job: there is no file, no built-in job and no method named '{}'; built-in jobs in {}: {}",
                    name_or_path, jobs_folder().string(), fmt::join(names_in(jobs_folder()), " "));
}

Config read_job(const fs::path& file, const std::vector<std::string>& overrides) {
  Config config = Config::parse_file(file);
  config.resolve_extends([](const std::string& name) { return Config::parse_file(find_job(name)); });
  Config& method = config.child("method");
  if (method.is_scalar()) config.apply_override("method={extends: " + method.as<std::string>() + "}");
  for (const std::string& o : overrides) config.apply_override(o);
  config.child("method").resolve_extends([&](const std::string& name) {
    const Call call{name, {}, file.string() + ": method"};
    return Config::parse(lookup(method_presets(), call, "method"), "methods/" + name + ".yaml");
  });
  return config;
}

namespace {
/// `task: NAME` or `task: {name: NAME, set: [roles.student.net=halved, ..]}` of a preset: the built-in task that stands
/// for the tiny one, and what its keys are on built-in tasks.
struct TaskChoice {
  std::string name = "tiny";
  std::vector<std::string> set;
};

TaskChoice task_of(const std::string& slug) {
  const auto preset = [](const std::string& name) {
    return Config::parse(lookup(method_presets(), Call{name, {}, "methods"}, "method"), "methods/" + name + ".yaml");
  };
  Config method = preset(slug);
  method.resolve_extends(preset);
  TaskChoice task;
  if (!method.has("task")) return task;
  if (method.child("task").is_scalar()) return {method.get<std::string>("task"), {}};
  task.name = method.get("task.name", task.name);
  if (method.has("task.set")) task.set = method.get<std::vector<std::string>>("task.set");
  return task;
}
}  // namespace

OpenedJob open_job(const std::string& name, const std::vector<std::string>& overrides) {
  const bool is_job = fs::is_regular_file(name) || fs::is_regular_file(jobs_folder() / (name + ".yaml"));
  if (is_job || !method_presets().contains(name)) {
    const fs::path file = find_job(name);
    return {file, read_job(file, overrides)};
  }
  constexpr std::string_view kTask = "job.task=";
  std::string task;
  for (const std::string& o : overrides)
    if (o.starts_with(kTask)) task = o.substr(kTask.size());
  const TaskChoice choice = task_of(name);
  if (task == "tiny") task = choice.name;
  const fs::path folder = jobs_folder() / "tasks", file = folder / (task + ".yaml");
  if (!fs::is_regular_file(file))
    throw ConfigError("job: {} is a method; run it on a task, job.task=NAME of {}, or in a job file with method: {}",
                      name, fmt::join(names_in(folder), ", "), name);
  std::vector<std::string> all{"method={extends: " + name + "}", "job.name=" + name + "-" + task};
  for (const std::string& assignment : choice.set) all.push_back("method." + assignment);
  all.insert(all.end(), overrides.begin(), overrides.end());
  Config job = read_job(file, all);
  apply_trial(job.child("method"));
  return {file, job};
}

void apply_trial(Config& method) {
  if (!method.has("trial")) return;
  for (Config& value : method.child("trial").items()) {
    Config& number = method.child("numbers").child(value.key());
    if (number.is_scalar() && number.as<std::string>() == "job")
      method.set("numbers." + value.key(), value.as<double>());
  }
}

Evaluation evaluate_role(const Job& job, const std::string& role, Communicator* ranks) {
  const Role& r = job.setup.roles.at(role);
  if (job.eval.texts) return evaluate_texts(r, *job.eval.texts, job.setup.roles, job.setup.device, ranks);
  return evaluate(r, job.eval.data, job.setup.device, ranks);
}

Device chosen_device(Config& config) {
  const auto name = config.get<std::string>("run.device", "auto");
  if (name == "auto" || name == "cpu") return kCpu;
  if (const std::string kind = name.substr(0, name.find(':')); kind != "emu" && kind != "cuda")
    config.get_choice("run.device", {"auto", "cpu", "cuda", "emu"});
  try {
    return gpu_from_name(name);
  } catch (const Error& e) {
    config.child("run.device").fail(e.what());
  }
}

Job build_job(Config config, const fs::path& file, Device device, std::optional<std::uint64_t> seed) {
  Job job;
  if (seed) {
    config.set("job.seed", *seed);
    config.set("job.seeds", std::vector<std::uint64_t>{});
  }
  Builder(config, file, device, job).build();
  config.check_all_read();
  job.resolved = config.to_yaml();
  job.raw = read_file(file);
  return job;
}

}  // namespace retort

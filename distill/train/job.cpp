#include "distill/train/job.h"

#include <cstdlib>

#include "autograd/ops/arithmetic.h"
#include "distill/objectives/match.h"
#include "distill/train/models.h"
#include "distill/train/state.h"
#include "io/checkpoint.h"
#include "io/file.h"
#include "retort_paths.h"
#include "tensor/write.h"

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
    read_sources();
    read_terms();
    read_phases();
    read_eval();
  }

 private:
  Setup& setup() { return job_.setup; }

  void read_head() {
    job_.name = config_.get("job.name", file_.stem().string());
    job_.title = config_.get("job.title", job_.name);
    job_.folder = fs::path(config_.get("job.output_dir", "runs")) / job_.name;
    setup().seed = config_.get("job.seed", std::uint64_t{1});
    if (config_.has("job.seeds")) job_.seeds = config_.get<std::vector<std::uint64_t>>("job.seeds");
    if (config_.has("run.steps")) config_.get<std::string>("run.steps");  // a plan may fix every phase's steps itself
    config_.get_choice("run.device", {"auto", "cpu", "cuda", "emu"}, "auto");
    job_.run.log_every = config_.get_int("run.log_every", 50, {.min = 1});
    job_.run.save_every = config_.get_int("run.save_every", 0, {.min = 0});
    job_.run.keep_last = static_cast<int>(config_.get_int("run.keep_last", 3, {.min = 1, .max = 1000000}));
    job_.run.threads = static_cast<int>(config_.get_int("run.threads", 0, {.min = 0, .max = 1024}));
    dtype_ = config_.get_choice("run.dtype", {"f32", "f64"}, "f32") == "f64" ? DType::f64 : DType::f32;
    setup().device = device_;
  }

  void read_data() {
    for (Config& set : config_.child("data").items()) sets_[set.key()] = make_dataset(set);
    if (sets_.empty()) config_.child("data").fail("a job needs at least one data set");
  }

  const std::shared_ptr<const Dataset>& set_named(Config& node) {
    return lookup(sets_, Call{node.as<std::string>(), {}, node.where()}, "data set");
  }

  ModelSizes sizes() const {
    const Dataset& d = *sets_.begin()->second;
    return {d.image_shape()[0], d.image_shape()[1], d.image_shape()[2], d.classes()};
  }

  void read_models() {
    Config& method = config_.child("method");
    method.get("method", "custom");
    for (const char* text : {"row", "title", "formula", "source", "notes", "family"})
      if (method.has(text)) method.get<std::string>(text);
    if (method.has("checks")) skip(method.child("checks"));
    for (Config& role : method.child("roles").items()) read_role(role);
    for (Config& role : method.child("roles").items()) read_heads(role);
    for (Config& role : method.child("roles").items()) read_average(role);
    for (auto& [name, role] : setup().roles)
      if (!role.net) role.net = model_net(role);
  }

  /// `checks` of a preset are read by the test program, not by runs.
  static void skip(Config& node) {
    if (node.is_scalar() || node.is_null()) {
      node.as<std::string>();
      return;
    }
    for (Config& c : node.items()) skip(c);
  }

  void read_role(Config& node) {
    Role& role = setup().roles[node.key()];
    role.name = node.key();
    Config& model = config_.child("models").child(node.get<std::string>("net"));
    const std::string mode = model.get_choice("mode", {"online", "cached"}, "online");
    const std::string compute = model.get_choice("compute", {"f32", "bf16", "f16"}, "f32");
    role.compute = dtype_ == DType::f64 ? DType::f64 : dtype_from_name(compute);
    if (model.has("init_from")) {
      const fs::path file = beside(file_, model.get<std::string>("init_from"));
      model.set("init_from", fs::absolute(file).string());  // a resolved job is read from another folder
      const auto [arch, prefix] = saved_arch(file, model);
      role.model = build_model(parse_call(arch, file.string()), sizes());
      load_role(file, role, prefix);
    } else {
      role.model = build_model(parse_call(model.child("arch")), sizes());
      initialize(*role.model, Rng(setup().seed));
    }
    if (mode == "cached") cached_.push_back(role.name);
    finish(*role.model, role.compute);
  }

  /// The architecture in a checkpoint and the prefix of its tensors. A file of several roles needs `role:` in the
  /// model.
  static std::pair<std::string, std::string> saved_arch(const fs::path& file, Config& model) {
    const CheckpointReader reader(file);
    std::map<std::string, std::string> roles;
    for (const auto& [name, value] : reader.attributes())
      if (name.starts_with("arch.") && std::holds_alternative<std::string>(value))
        roles.emplace(name.substr(5), std::get<std::string>(value));
    if (roles.empty())
      throw IoError("{}: names no architecture; hint: init_from takes a model.h5 written by Retort", file.string());
    const std::string only = roles.size() == 1 ? roles.begin()->first : "";
    const std::string role = only.empty() ? model.get<std::string>("role") : model.get<std::string>("role", only);
    return {lookup(roles, Call{role, {}, file.string()}, "role"), role + "/"};
  }

  /// Masters in the job's dtype, 16-bit shadows where the role computes in 16 bits, on the job's device.
  void finish(Model& model, DType compute) {
    if (dtype_ == DType::f64) convert(model, DType::f64);
    if (size_of(compute) == 2)
      for (const auto& p : parameters_of(model))
        if (!p.parameter->master_only) p.parameter->shadow = cast(p.parameter->value, compute);
    if (device_.kind != DeviceKind::cpu) move_to(model, device_);
  }

  /// Shapes of a role's tap, without the batch axis: one forward on shapes alone.
  Shape tap_shape(const Role& role, const TapId& tap) {
    const auto copy = role.model->clone();
    move_to(*copy, kMeta);
    Ctx ctx;
    ctx.wanted = {tap};
    const ModelSizes s = sizes();
    copy->forward(Tensor::empty({1, s.channels, s.height, s.width}, dtype_, kMeta), ctx);
    if (ctx.tapped.empty() || !ctx.tapped[0].defined())
      throw ConfigError("role {}: its model {} has no tap {}.{}", role.name, role.model->arch(), tap.path, tap.port);
    Shape shape = ctx.tapped[0].shape();
    shape.erase(0);
    return shape;
  }

  static TapId tap_of(const Call& call) {
    const auto at = call.name.find(':');
    return at == std::string::npos ? TapId{call.name} : TapId{call.name.substr(0, at), call.name.substr(at + 1)};
  }

  /// heads: {NAME: conv_reg(TAP like=ROLE.TAP)}; a tap is a module path, with :port when that is not `out`.
  void read_heads(Config& node) {
    if (!node.has("heads")) return;
    Role& role = setup().roles.at(node.key());
    for (Config& h : node.child("heads").items()) {
      const Call call = parse_call(h);
      CallArgs args(call);
      const TapId from = tap_of(args.call("tap"));
      const Call like = args.call("like");
      args.done();
      const auto dot = like.name.find('.');
      const Role& other = lookup(setup().roles, Call{like.name.substr(0, dot), {}, h.where()}, "role");
      if (dot == std::string::npos) h.fail("like= names a role's tap: ROLE.TAP");
      const TapId to = tap_of(Call{like.name.substr(dot + 1), {}, h.where()});
      auto head = build_head(Call{call.name, {}, call.where}, tap_shape(role, from), tap_shape(other, to));
      name_modules(*head, "heads." + h.key());
      initialize(*head, Rng(setup().seed));
      finish(*head, role.compute);
      role.head_input[h.key()] = from;
      role.heads[h.key()] = std::move(head);
    }
  }

  /// ema: {...}: another role, "R.ema", whose model follows this one's. Its heads are not averaged.
  void read_average(Config& node) {
    if (!node.has("ema")) return;
    const Role& role = setup().roles.at(node.key());
    const std::string name = role.name + ".ema";
    if (setup().roles.contains(name)) node.child("ema").fail(fmt::format("there is a role {} already", name));
    setup().averages[name] = parse_average(node.child("ema"), role.name);
    Role& average = setup().roles[name];
    average.name = name;
    average.model = role.model->clone();
    average.compute = role.compute;
  }

  void read_sources() {
    const std::int64_t micro = config_.get_int("run.micro_batch", 0, {.min = 0});
    for (Config& s : config_.child("method").child("sources").items()) {
      s.get_choice("kind", {"data"});
      Config& c = config_.child("sources").child(s.key());
      LoaderOptions o;
      o.name = s.key();
      o.seed = setup().seed;
      o.dtype = dtype_;
      o.global_batch = c.get_int("batch", {.min = 1});
      o.shuffle = c.get("shuffle", true);
      o.drop_last = c.get("drop_last", false);
      o.labelled = c.get("labelled", true);
      if (c.has("augment")) o.augment = parse_augment(c.child("augment"));
      const auto& set = set_named(c.child("set"));
      if (micro > 0 && micro < o.global_batch && o.global_batch % micro != 0)
        c.child("batch").fail(fmt::format("the global batch must be a multiple of run.micro_batch = {}", micro));
      setup().sources[s.key()] = {set, std::make_shared<Loader>(set, o), o.global_batch,
                                  micro > 0 ? std::min(micro, o.global_batch) : o.global_batch};
    }
  }

  void read_terms() {
    for (Config& t : config_.child("method").child("terms").items()) {
      t.get_choice("kind", {"match"});
      Config& from = t.child("from");
      const std::string source = from.as<std::string>();
      lookup(setup().sources, Call{source, {}, from.where()}, "source");
      MatchSpec spec = parse_match(t.key(), t);
      for (const Read* r : {&spec.pred, spec.target ? &*spec.target : nullptr}) {
        if (!r) continue;
        const Role& role = lookup(setup().roles, Call{r->role, {}, t.where()}, "role");
        if (r->from == Read::From::head) lookup(role.heads, Call{r->head, {}, t.where()}, "head");
      }
      if (spec.target && std::find(cached_.begin(), cached_.end(), spec.target->role) != cached_.end())
        job_.tables.push_back({spec.target->role, source});
      setup().terms[t.key()] = make_match(std::move(spec));
      setup().term_source[t.key()] = source;
    }
  }

  void read_phases() {
    Config& method = config_.child("method");
    PlanContext context;
    for (const auto& [name, role] : setup().roles)
      if (!setup().averages.contains(name)) context.roles.insert(name);
    for (const auto& [name, term] : setup().terms) {
      context.terms.insert(name);
      if (!term->target()) context.label_terms.insert(name);
    }
    if (method.has("numbers"))
      for (Config& n : method.child("numbers").items()) context.numbers[n.key()] = Number::parse(n);
    context.term_source = setup().term_source;
    context.steps_per_epoch = [this](const std::string& s) { return setup().sources.at(s).loader->steps_per_epoch(); };
    context.job_optim = &config_.child("optim");
    context.job_steps = &config_.child("run");
    setup().phases = parse_phases(method.child("phases"), context);
    const auto trained = trained_roles(setup());
    for (const std::string& name : trained)
      if (std::find(cached_.begin(), cached_.end(), name) != cached_.end())
        method.fail(fmt::format("role {} is trained, so its answers cannot be cached", name));
    for (const auto& [name, spec] : setup().averages)
      if (std::find(trained.begin(), trained.end(), spec.of) == trained.end())
        method.fail(fmt::format("role {} has an ema, but no update trains it", spec.of));
  }

  void read_eval() {
    EvalSpec& e = job_.eval;
    Config& c = config_.child("eval");
    e.data = {set_named(c.child("set")), c.get_int("batch", 500, {.min = 1}), dtype_};
    e.every = c.get_int("every", 0, {.min = 0});
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
    }
    if (known.empty()) config_.child("eval.roles").fail("name at least one role that the method trains");
    const std::string usual = known.contains("acc/top1/student") ? "acc/top1/student" : known.begin()->first;
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
  std::map<std::string, std::shared_ptr<const Dataset>> sets_;
  std::vector<std::string> cached_;
};
}  // namespace

fs::path find_job(const std::string& name_or_path) {
  if (fs::is_regular_file(name_or_path)) return name_or_path;
  const fs::path known = jobs_folder() / (name_or_path + ".yaml");
  if (fs::is_regular_file(known)) return known;
  throw ConfigError("job: there is no file and no built-in job named '{}'; built-in jobs in {}: {}", name_or_path,
                    jobs_folder().string(), fmt::join(names_in(jobs_folder()), " "));
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

namespace {
/// Answers of `role` to every image of the set, by data id: [largest id + 1, classes].
Tensor compute_table(const Role& role, const EvalData& data, Device device) {
  std::int64_t rows = 0;
  for (std::int64_t i = 0; i < data.set->size(); ++i) rows = std::max(rows, data.set->id(i) + 1);
  SequentialBatches batches(data.set, data.batch, data.dtype);
  const bool meta = device.kind == DeviceKind::meta;
  Pass pass;
  pass.training = false;
  Tensor table;
  for (std::int64_t k = 0; k < batches.size(); ++k) {
    const DataBatch b = meta ? batches.meta_batch(std::min(data.batch, data.set->size())) : batches.at(k);
    const Tensor out = stop_gradient(role.net->eval({b.x, b.index, b.sample}, {}, Grad::None, pass).out);
    const Tensor answers = out.dtype() == DType::f64 ? out : cast(out, DType::f32);
    if (!table.defined()) table = Tensor::zeros({rows, answers.shape()[1]}, answers.dtype(), device);
    if (meta) return table;
    const auto ids = b.index.values<std::int64_t>();
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const auto row = [](const Tensor& t, std::int64_t r) {
        return t.view({{t.shape()[1]}, {t.strides()[1]}, t.layout().offset + r * t.strides()[0]});
      };
      assign_(row(table, ids[i]), row(answers, static_cast<std::int64_t>(i)), "table of answers");
    }
  }
  return table;
}

/// A table written by an earlier start of this run for the same role; undefined when there is none.
Tensor load_table(const fs::path& file, const std::string& fingerprint) {
  if (!fs::exists(file)) return {};
  const CheckpointReader reader(file);
  const auto saved = reader.attribute("fingerprint");
  const TensorEntry* entry = reader.find("answers");
  if (!entry || !saved || !(*saved == AttributeValue(fingerprint))) return {};
  const Tensor table = Tensor::empty(entry->shape, entry->dtype);
  const auto bytes = reader.bytes("answers");
  std::memcpy(table.raw(), bytes.data(), bytes.size());
  return table;
}

void save_table(const fs::path& file, const std::string& fingerprint, const Tensor& table) {
  fs::create_directories(file.parent_path());
  CheckpointWriter writer(file);
  writer.attribute("fingerprint", fingerprint);
  writer.add("answers", table.dtype(), table.shape(),
             {table.raw(), static_cast<std::size_t>(table.numel() * size_of(table.dtype()))});
  writer.commit();
}
}  // namespace

void fill_tables(Job& job, const fs::path& folder) {
  std::map<std::string, std::shared_ptr<const Dataset>> set_of;
  for (const TableSpec& t : job.tables) {
    const auto& set = job.setup.sources.at(t.source).set;
    const auto [it, added] = set_of.emplace(t.role, set);
    if (!added && it->second != set)
      throw ConfigError("role {}: mode: cached serves one data set, but its sources draw from two", t.role);
  }
  for (const auto& [name, set] : set_of) {
    Role& role = job.setup.roles.at(name);
    const bool meta = job.setup.device.kind == DeviceKind::meta;
    const fs::path file = folder / "tables" / (name + ".h5");
    const std::string print = meta ? "" : fmt::format("{:08x}", fingerprint(role));
    Tensor table = meta ? Tensor() : load_table(file, print);
    if (!table.defined()) {
      table = compute_table(role, {set, job.eval.data.batch, job.eval.data.dtype}, job.setup.device);
      if (!meta) save_table(file, print, table);
    }
    role.net = table_net(table);
  }
}

void drop_tables(Job& job) {
  for (const TableSpec& t : job.tables) {
    Role& role = job.setup.roles.at(t.role);
    role.net = model_net(role);
  }
}

}  // namespace retort

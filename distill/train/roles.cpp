#include "distill/train/roles.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "distill/data/pixel_set.h"
#include "distill/diffusion/oracle_net.h"
#include "distill/objectives/match.h"
#include "distill/train/heads.h"
#include "distill/train/state.h"
#include "io/checkpoint.h"
#include "nn/init.h"
#include "tensor/write.h"

namespace retort {

namespace {
/// Masters in the job's dtype, 16-bit shadows where the role computes in 16 bits, on the job's device.
void finish(Module& module, const Role& role, const RoleSettings& s) {
  if (s.dtype == DType::f64) convert(module, DType::f64);
  if (size_of(role.compute) == 2) set_shadows(module, role.compute);
  if (s.device.kind != DeviceKind::cpu) move_to(module, s.device);
}

/// The architecture in a checkpoint and the prefix of its tensors. A file of several roles needs `role:` in the model.
std::pair<std::string, std::string> saved_arch(const std::filesystem::path& file, Config& model) {
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

class RoleBuilder {
 public:
  RoleBuilder(Config& job, const RoleSettings& settings, Setup& setup)
      : job_(job), method_(job.child("method")), settings_(settings), setup_(setup) {}

  std::vector<std::string> build() {
    for (Config& role : method_.child("roles").items()) read_model(role);
    for (Config& role : method_.child("roles").items()) read_init(role);
    for (Config& role : method_.child("roles").items()) read_train(role);
    for (Config& role : method_.child("roles").items()) read_heads(role);
    for (Config& role : method_.child("roles").items()) read_followers(role);
    for (auto& [name, role] : setup_.roles)
      if (!role.net) role.net = model_net(role);
    return std::move(cached_);
  }

 private:
  void read_model(Config& node) {
    Role& role = setup_.roles[node.key()];
    role.name = node.key();
    const std::string net = node.get<std::string>("net");
    if (parse_call(node.child("net")).name == "pixels") return read_pixels(role, node);
    Config& model = job_.child("models").child(net);
    const std::string mode = model.get_choice("mode", {"online", "cached"}, "online");
    const std::string compute = model.get_choice("compute", {"f32", "bf16", "f16"}, "f32");
    role.compute = settings_.dtype == DType::f64 ? DType::f64 : dtype_from_name(compute);
    if (model.has("init_from")) {
      const auto file = settings_.locate(model.get<std::string>("init_from"));
      model.set("init_from", std::filesystem::absolute(file).string());  // a resolved job is read from another folder
      const auto [arch, prefix] = saved_arch(file, model);
      role.model = build_model(parse_call(arch, file.string()), settings_.sizes);
      load_role(file, role, prefix);
    } else {
      role.model = build_model(parse_call(model.child("arch")), settings_.sizes);
      initialize(*role.model, rng_of(role.name, net));
    }
    read_diffusion(role, model);
    if (node.has("statistics")) role.batch_statistics = node.get_choice("statistics", {"running", "batch"}) == "batch";
    read_boundary(role, node);
    if (mode == "cached") cached_.push_back(role.name);
    finish(*role.model, role, settings_);
  }

  /// net: pixels(..): a synthetic set, told the extents of the job's images.
  void read_pixels(Role& role, Config& node) {
    role.compute = settings_.dtype;
    role.model = build_model(parse_call(node.child("net")), settings_.sizes);
    initialize(*role.model, rng_of(role.name, role.name));
    finish(*role.model, role, settings_);
  }

  /// schedule: vp, out: eps -- of closed forms, both are known.
  void read_diffusion(Role& role, Config& model) {
    if (const auto* oracle = dynamic_cast<const OracleNet*>(role.model.get()))
      role.diffusion = Diffusion{oracle->schedule(), Output(Output::Kind::x0)};
    else if (model.has("schedule"))
      role.diffusion =
          Diffusion{make_schedule(parse_call(model.child("schedule"))), make_output(parse_call(model.child("out")))};
  }

  /// boundary: cm(.5) -- of a role whose jumps are read.
  static void read_boundary(Role& role, Config& node) {
    if (!node.has("boundary")) return;
    const Call call = parse_call(node.child("boundary"));
    if (!role.diffusion) node.child("boundary").fail("the role is no denoiser: its model needs a schedule");
    role.diffusion->boundary = make_boundary(call, role.diffusion->schedule);
    const auto* net = dynamic_cast<const Denoiser*>(role.model.get());
    if (wants_end_time(call) && !(net && net->takes_end_time()))
      call.fail(fmt::format("its network is to be told where a jump ends; {} has one time", role.model->arch()));
  }

  /// The first role of a model is drawn from the job's seed, whatever it is called, others each from their own.
  Rng rng_of(const std::string& role, const std::string& net) {
    if (drawn_.insert(net).second) return Rng(setup_.seed);
    return Rng(Rng(setup_.seed).stream("role/" + role).key);
  }

  Role& role_named(const std::string& name, Config& at) {
    return lookup(setup_.roles, Call{name, {}, at.where()}, "role"), setup_.roles.at(name);
  }

  void read_init(Config& node) {
    if (!node.has("init") || dynamic_cast<const PixelSet*>(setup_.roles.at(node.key()).model.get())) return;
    const Call call = parse_call(node.child("init"));
    if (call.name == "random") return;
    CallArgs args(call);
    Role& role = setup_.roles.at(node.key());
    if (call.name == "zero_last") return clear_last(role);
    const std::vector<std::string> known{"random", "copy", "extend", "near", "layers", "zero_last"};
    if (std::find(known.begin(), known.end(), call.name) == known.end()) fail_lookup(call, "initial value", known);
    const Role& from = role_named(args.word("role"), node);
    if (call.name == "extend") {
      args.done();
      return copy_shared(*role.model, *from.model, node.child("init"));
    }
    if (call.name == "layers") {
      const std::int64_t every = args.integer("every", 2, {.min = 1});
      args.done();
      return copy_layers(*role.model, *from.model, every, node.child("init"));
    }
    if (from.model->arch() != role.model->arch())
      node.child("init").fail(
          fmt::format("its model {} is not that of role {}, {}", role.model->arch(), from.name, from.model->arch()));
    if (call.name == "copy")
      role.model = from.model->clone();
    else
      move_near(role, *from.model, constant(args.call("locality")));
    args.done();
  }

  /// The last matrix or kernel becomes 0, with what follows it: an adapter that adds nothing at first.
  void clear_last(Role& role) {
    if (settings_.device.kind == DeviceKind::meta) return;
    const auto own = retort::parameters_of(*role.model);
    for (auto p = own.rbegin(); p != own.rend(); ++p) {
      const Tensor& value = p->parameter->value;
      assign_(value, Tensor::zeros(value.shape(), value.dtype(), value.device()), "init");
      if (value.rank() >= 2) break;
    }
    finish(*role.model, role, settings_);
  }

  /// A literal, or a number of the method that is constant.
  double constant(const Call& call) {
    const auto literal = call.number();
    return literal ? *literal : method_.child("numbers").get_real(call.name);
  }

  /// theta <- ((1 - a) theta_other + a theta) / sqrt((1 - a)^2 + a^2): between the other's weights and the role's own
  /// fresh ones, at their variance (Sarnthein et al. 2023).
  void move_near(Role& role, const Model& other, double a) {
    if (settings_.device.kind == DeviceKind::meta) return;
    const auto source = other.clone();
    const auto from = retort::parameters_of(*source), own = retort::parameters_of(*role.model);
    const double scale = 1 / std::sqrt((1 - a) * (1 - a) + a * a);
    for (std::size_t i = 0; i < own.size(); ++i) {
      const Tensor& value = own[i].parameter->value;
      assign_(value, (from[i].parameter->value * (1 - a) + value * a) * scale, "init");
    }
    finish(*role.model, role, settings_);
  }

  /// Values by name, where "blocks.i." reads "blocks.(every i).".
  static void copy_layers(Model& to, Model& from, std::int64_t every, Config& at) {
    constexpr std::string_view kBlocks = "blocks.";
    std::map<std::string, Tensor> known;
    for (const NamedParameter& p : parameters_of(from)) known[p.name] = p.parameter->value;
    for (const NamedParameter& p : parameters_of(to)) {
      std::string name = p.name;
      if (name.starts_with(kBlocks)) {
        std::size_t digits = 0;
        const std::int64_t block = std::stoll(name.substr(kBlocks.size()), &digits);
        name = fmt::format("{}{}{}", kBlocks, every * block, name.substr(kBlocks.size() + digits));
      }
      const auto found = known.find(name);
      if (found == known.end() || !(found->second.shape() == p.parameter->value.shape()))
        at.fail(fmt::format("the other network has no {} of shape {}", name, p.parameter->value.shape().str()));
      assign_(p.parameter->value, found->second, name);
      if (p.parameter->shadow.defined()) assign_(p.parameter->shadow, found->second, name);
    }
  }

  /// Everything that the other network has, by name; what it lacks (an end time's embedding) begins as it would.
  static void copy_shared(Model& to, Model& from, Config& at) {
    std::map<std::string, Parameter*> own;
    for (const NamedParameter& p : parameters_of(to)) own[p.name] = p.parameter;
    for (const NamedParameter& p : parameters_of(from)) {
      const auto found = own.find(p.name);
      if (found == own.end() || !(found->second->value.shape() == p.parameter->value.shape()))
        at.fail(fmt::format("the network has no {} of shape {}", p.name, p.parameter->value.shape().str()));
      assign_(found->second->value, p.parameter->value, p.name);
      if (found->second->shadow.defined()) assign_(found->second->shadow, p.parameter->value, p.name);
    }
  }

  /// train: [GLOB, ..]: parameters of the model that move.
  void read_train(Config& node) {
    if (!node.has("train")) return;
    Model& model = *setup_.roles.at(node.key()).model;
    set_trainable(model, "*", false);
    for (Config& glob : node.child("train").items())
      if (set_trainable(model, glob.as<std::string>(), true) == 0)
        glob.fail(fmt::format("matches no parameter of {}", model.arch()));
  }

  /// heads: {NAME: conv_reg(TAP like=ROLE.TAP)}; a tap is a module path, with :port when that is not `out`; `out` is
  /// the role's output; like=ROLE means the same taps there.
  void read_heads(Config& node) {
    if (!node.has("heads")) return;
    Role& role = setup_.roles.at(node.key());
    for (Config& h : node.child("heads").items()) {
      const Call call = parse_call(h);
      CallArgs args(call);
      Head head;
      HeadSizes sizes;
      sizes.classes = settings_.sizes.classes;
      sizes.value = [this, &h](const std::string& name) { return value_named(name, h); };
      for (const Call& tap : args.rest()) {
        head.inputs.push_back(tap_named(tap.name));
        sizes.from.push_back(shape_at(role, head.inputs.back()));
      }
      if (const auto with = args.optional_call("with"))
        for (const Call& place : places(*with)) {
          const auto [other, tap] = place_named(place, h);
          head.told.push_back({other->name, tap, shape_at(*other, tap)});
          sizes.from.push_back(head.told.back().shape);
        }
      if (const auto like = args.optional_call("like")) sizes.like = shapes_like(*like, head.inputs, h);
      head.module = build_head(args, call, sizes);
      args.done();
      name_modules(*head.module, "heads." + h.key());
      initialize(*head.module, Rng(setup_.seed));
      finish(*head.module, role, settings_);
      role.heads[h.key()] = std::move(head);
    }
    if (!node.has("answer")) return;
    const Call answer = parse_call(node.child("answer"));
    const Head& head = lookup(role.heads, answer, "head");
    const bool own =
        head.told.empty() && std::find(head.inputs.begin(), head.inputs.end(), TapId{""}) == head.inputs.end();
    if (!own) node.child("answer").fail("the answer is made of taps of this role alone");
    role.answer = answer.name;
  }

  static TapId tap_named(const std::string& text) {
    return text == "out" || text == "in" ? TapId{"", text} : parse_tap(text);
  }

  /// One place, or several: all(ROLE.TAP ROLE.TAP ..).
  static std::vector<Call> places(const Call& with) {
    if (with.name != "all" || with.args.empty()) return {with};
    CallArgs args(with);
    return args.rest();
  }

  /// ROLE.TAP.
  std::pair<const Role*, TapId> place_named(const Call& place, Config& at) {
    const auto dot = place.name.find('.');
    if (dot == std::string::npos) place.fail("expected ROLE.TAP");
    return {&role_named(place.name.substr(0, dot), at), tap_named(place.name.substr(dot + 1))};
  }

  Tensor value_named(const std::string& name, Config& at) {
    const auto dot = name.find('.');
    Role& role = role_named(name.substr(0, dot), at);
    std::map<std::string, Tensor> values;
    for (const NamedParameter& p : parameters_of(role)) values[p.name] = p.parameter->value;
    for (const NamedBuffer& b : buffers_of(role)) values[b.name] = b.buffer->value;
    return lookup(values, Call{dot == std::string::npos ? "" : name.substr(dot + 1), {}, at.where()}, "parameter");
  }

  Shape shape_at(const Role& role, const TapId& tap) {
    Read read;
    if (tap == TapId{"", "in"}) return settings_.sample;
    if (!tap.path.empty()) {
      read.from = Read::From::taps;
      read.taps = {tap};
    }
    return shape_of(role, read, settings_);
  }

  std::vector<Shape> shapes_like(const Call& like, const std::vector<TapId>& inputs, Config& at) {
    if (like.name.find('.') != std::string::npos) {
      const auto [other, tap] = place_named(like, at);
      return {shape_at(*other, tap)};
    }
    const Role& other = role_named(like.name, at);
    std::vector<Shape> shapes;
    for (const TapId& tap : inputs) shapes.push_back(shape_at(other, tap));
    return shapes;
  }

  /// ema: {...}: another role, "R.ema", whose model follows this one's. params: ema(of=..): this one follows. Heads are
  /// not followed.
  void read_followers(Config& node) {
    const Role& role = setup_.roles.at(node.key());
    if (node.has("params")) {
      const Call call = parse_call(node.child("params"));
      if (call.name != "frozen" && !is_drawn(call)) {
        const FollowSpec spec = parse_params(call);
        const Role& of = role_named(spec.of, node);
        if (of.model->arch() != role.model->arch())
          node.child("params").fail(fmt::format("its model is not that of role {}", of.name));
        setup_.roles.at(node.key()).model = of.model->clone();
        setup_.followers[role.name] = spec;
      }
    }
    if (!node.has("ema")) return;
    const std::string name = role.name + ".ema";
    if (setup_.roles.contains(name)) node.child("ema").fail(fmt::format("there is a role {} already", name));
    setup_.followers[name] = parse_average(node.child("ema"), role.name);
    Role& average = setup_.roles[name];
    average.name = name;
    average.model = role.model->clone();
    average.compute = role.compute;
    average.diffusion = role.diffusion;
  }

  Config& job_;
  Config& method_;
  const RoleSettings& settings_;
  Setup& setup_;
  std::vector<std::string> cached_;
  std::set<std::string> drawn_;
};
}  // namespace

namespace {
/// The shape of a batch of one.
Shape one_of(const Shape& sample) {
  Shape shape{1};
  for (int i = 0; i < sample.rank(); ++i) shape.push_back(sample[i]);
  return shape;
}
}  // namespace

std::unique_ptr<Role> saved_role(Config& node, const RoleSettings& settings) {
  const auto file = settings.locate(node.get<std::string>("net"));
  node.set("net", std::filesystem::absolute(file).string());
  const auto [arch, prefix] = saved_arch(file, node);
  auto role = std::make_unique<Role>();
  role->name = file.stem().string();
  role->compute = settings.dtype == DType::f64 ? DType::f64 : DType::f32;
  role->model = build_model(parse_call(arch, file.string()), settings.sizes);
  load_role(file, *role, prefix);
  finish(*role->model, *role, settings);
  role->net = model_net(*role);
  return role;
}

std::vector<std::string> build_roles(Config& job, const RoleSettings& settings, Setup& setup) {
  return RoleBuilder(job, settings, setup).build();
}

Shape shape_of(const Role& role, const Read& read, const RoleSettings& settings) {
  const auto model = role.model->clone();
  move_to(*model, kMeta);
  Ctx ctx;
  ctx.compute = settings.dtype == DType::f64 ? DType::f64 : DType::f32;
  const Head* head = read.from == Read::From::head ? &role.heads.at(read.head) : nullptr;
  ctx.wanted = head ? head->inputs : read.taps;
  std::erase_if(ctx.wanted, [](const TapId& tap) { return tap.path.empty(); });
  Conditions given;
  if (role.diffusion) given.t = Tensor::empty({1}, DType::f64, kMeta);
  ctx.given = &given;
  const Tensor in = Tensor::empty(one_of(settings.sample), settings.dtype, kMeta);
  const Tensor out = model->forward(in, ctx);
  for (std::size_t i = 0; i < ctx.wanted.size(); ++i)
    if (ctx.tapped.size() <= i || !ctx.tapped[i].defined())
      throw ConfigError("role {}: its model {} has no tap {}.{}", role.name, model->arch(), ctx.wanted[i].path,
                        ctx.wanted[i].port);
  Tensor value = read.from == Read::From::taps ? ctx.tapped.at(0) : out;
  if (head) {
    const auto module = head->module->clone();
    move_to(*module, kMeta);
    Tensors inputs;
    std::size_t next = 0;
    for (const TapId& tap : head->inputs)
      inputs.push_back(!tap.path.empty() ? ctx.tapped[next++] : tap.port == "in" ? in : out);
    for (const Head::Told& told : head->told)
      inputs.push_back(Tensor::empty(one_of(told.shape), settings.dtype, kMeta));
    Ctx plain;
    value = module->forward(inputs, plain).at(0);
  }
  Shape shape = value.shape();
  shape.erase(0);
  return shape;
}

}  // namespace retort

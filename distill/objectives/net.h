// distill/objectives/net.h -- what a role answers: a query goes in, predictions and taps come out.
#pragma once
#include <map>
#include <memory>
#include <string>

#include "distill/diffusion/boundary.h"
#include "nn/denoiser.h"

namespace retort {

using TensorMap = std::map<std::string, Tensor, std::less<>>;

/// How a net is called: weights and input live, input live through fixed weights, or neither. There is no fourth.
enum class Grad : std::uint8_t { Train, InputLive, None };

struct Query {
  Tensor x;        ///< input, [n, ...]
  Tensor t;        ///< [n] times of a noisy input, in the role's schedule; undefined: none
  Tensor label;    ///< i64 [n] conditions; undefined: the null condition
  Tensor index;    ///< i64 [n]: data ids, for nets that look their answer up
  Tensor samples;  ///< i64 [n]: global sample indices, the key of random draws
  Tensor s = {};   ///< [n] end times, told to nets that take two; undefined: t
  /// Without gradient, but with the dropout of a trained net: the other pass of a comparison draws the same masks.
  bool as_trained = false;
};
struct Want {
  bool out = true;
  std::vector<TapId> taps;  ///< out = false: the net may stop after the last tap
  bool states = false;      ///< of a decoder: hidden states and output matrix, apart
};
struct Reply {
  Tensor out;
  Tensors taps;         ///< parallel to Want::taps
  Tensors states = {};  ///< hidden states [n, t, d] and output matrix [V, d]: out = states[0] states[1]'
};

/// What one update tells every net it calls.
struct Pass {
  std::uint32_t step = 0;
  Rng rng{0};
  bool training = true;
  Leaves* leaves = nullptr;                  ///< of the running tape
  std::vector<StatUpdate>* stats = nullptr;  ///< running statistics of trained nets
};

/// Has parameters (or a closed form, or a table) and answers a query.
struct Net {
  virtual ~Net() = default;
  virtual Reply eval(const Query& query, const Want& want, Grad grad, Pass& pass) const = 0;
};

/// A module over taps of a role (`heads: {hint: conv_reg(...)}`): tensors in, tensors out; trained with that role.
struct HeadModule : Module {
  virtual Tensors forward(const Tensors& in, Ctx& ctx) const = 0;
  virtual std::unique_ptr<HeadModule> clone() const = 0;
};
struct Head {
  std::vector<TapId> inputs;  ///< an empty path is the role's output
  struct Told {
    std::string role;
    TapId tap;
    Shape shape;  ///< without the batch axis
  };
  std::vector<Told> told;  ///< taps of other roles that follow them as constants
  std::unique_ptr<HeadModule> module;
};

/// How a role's answers are read when it is a diffusion or flow model.
struct Diffusion {
  NoiseSchedule schedule = NoiseSchedule::ve();
  Output output{Output::Kind::x0};
  Boundary boundary = Boundary();  ///< of jumps
};

/// Who takes part in a job under one name: a model with its heads, or a table of answers.
struct Role {
  std::string name;
  std::unique_ptr<Model> model;       ///< null when the answers come from a table or a closed form
  std::map<std::string, Head> heads;  ///< trained with the role that owns them
  std::string answer;                 ///< the head whose last result is the role's output; empty: the model's own
  std::unique_ptr<Net> net;
  std::optional<Diffusion> diffusion;
  DType compute = DType::f32;
  bool batch_statistics = false;  ///< batch norm looks at the batch also where the role is not trained
};
using Roles = std::map<std::string, Role>;

/// The context in which a module of `role` answers: parameters are leaves and statistics are kept only for Grad::Train.
Ctx context_of(const Role& role, const Pass& pass, Grad grad, const Tensor& samples);
/// What a forward pass of `role` left at `wanted`, in their order. Throws ConfigError when the model has no such tap.
Tensors tapped(Ctx& ctx, const Role& role, const std::vector<TapId>& wanted);

/// A net that runs a model (the role's own) in the role's compute dtype.
std::unique_ptr<Net> model_net(const Role& role);
/// A net whose answers are rows of `table` [set size, ...] by data id.
std::unique_ptr<Net> table_net(Tensor table);

/// Visits everything of a role that is trained or saved: the model, then "heads.NAME".
void visit_role(Role& role, Visitor& v);
std::vector<NamedParameter> parameters_of(Role& role);
std::vector<NamedBuffer> buffers_of(Role& role);

}  // namespace retort

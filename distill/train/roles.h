// distill/train/roles.h -- the roles of a method: networks, heads, and weights that follow another role's.
#pragma once
#include <filesystem>

#include "distill/train/models.h"
#include "distill/train/setup.h"

namespace retort {

struct RoleSettings {
  std::function<std::filesystem::path(const std::string& name)> locate;  ///< a file named in the job
  ModelSizes sizes;
  Shape sample;              ///< of one input, without the batch axis
  DType dtype = DType::f32;  ///< of masters
  Device device;
};

/// Fills roles and followers of `setup` from `method.roles` and `models` of a job. A role is
///
///     R: {net: MODEL, init: random | copy(ROLE) | extend(ROLE) | near(ROLE a) | layers(ROLE every=n) | zero_last,
///         train: [GLOB, ..], statistics: running | batch, heads: {NAME: conv_reg(TAP like=ROLE.TAP)}, answer: HEAD,
///         ema: {decay: .999}, params: frozen | ema(of=ROLE decay=.999) | copy(of=ROLE every=n) | fresh | pool |
///         trajectory | between, boundary: cm(.5)}
///
/// A head takes taps of its role, then what `with=ROLE.TAP` (or `with=all(ROLE.TAP ..)`) names of others, as
/// constants; `like` gives it the shapes it must produce. With `answer` the last result of a head is the role's output,
/// in evaluation too. `train` names the parameters that move, all others stay. `statistics: batch` lets the batch norms
/// of a role that is not trained look at the batch. `layers` takes block i from block n i of a deeper
/// network, `extend` all that a network with fewer parts has.
/// `net: pixels(..)` is a synthetic set (distill/data/pixel_set.h), whose first values, and weights that are drawn,
/// come later (distill/train/pixel_sets.h). Two roles of one model begin with different weights unless one copies the
/// other; the role named as its model has those of the model's own seed. Returns the roles whose answers the job wants
/// in tables (`mode: cached`). Throws ConfigError at the key that is wrong.
std::vector<std::string> build_roles(Config& job, const RoleSettings& settings, Setup& setup);

/// A role of its own, not of the method: the model of a checkpoint, `node.net` (and `node.role` where the file holds
/// several), with its weights and the settings' dtype and device. The file's path is made absolute in `node`. Throws
/// ConfigError, IoError.
std::unique_ptr<Role> saved_role(Config& node, const RoleSettings& settings);

/// Shape of what a read of `role` gives, without the batch axis, found on shapes alone; the first tensor of a list.
Shape shape_of(const Role& role, const Read& read, const RoleSettings& settings);

}  // namespace retort

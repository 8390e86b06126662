// distill/train/state.h -- what a checkpoint holds: model.h5 (roles), state.h5 (optimisers, stores), manifest.json.
#pragma once
#include <filesystem>

#include "distill/train/trainer.h"

namespace retort {

/// Facts of a checkpoint that are not tensors.
struct CheckpointInfo {
  std::int64_t step = 0;
  std::int64_t best_step = -1;
  double best_value = 0;
};

/// Fills the role from the tensors of `file` whose names begin with `prefix` ("student/"), strictly: every tensor is
/// there, with its shape and dtype, and no other. Throws IoError listing what is missing, unexpected or mismatched.
void load_role(const std::filesystem::path& file, Role& role, const std::string& prefix);

/// Writes a complete checkpoint into the empty folder `folder`: trained roles and averages into model.h5 (names
/// "ROLE/tensor"), the optimisers into state.h5, numbers and the identity of frozen roles (a CRC over their tensors)
/// into manifest.json. Where ranks share a state, the others call Trainer::visit_state meanwhile.
void save_checkpoint(const std::filesystem::path& folder, Setup& setup, Trainer& trainer, const CheckpointInfo& info);
/// The inverse. Throws IoError when a file is damaged, ConfigError when a frozen role is not the one of the run.
CheckpointInfo load_checkpoint(const std::filesystem::path& folder, Setup& setup, Trainer& trainer);

/// Writes tensors by name into one file that load and inspect understand. Throws IoError.
void save_tensors(const std::filesystem::path& file, const std::vector<std::pair<std::string, Tensor>>& tensors);

/// Roles that some phase trains, in name order.
std::vector<std::string> trained_roles(const Setup& setup);
/// Roles that change during the run: the trained ones and their averages, in name order.
std::vector<std::string> changing_roles(const Setup& setup);
/// CRC-32C over names, shapes, dtypes and values of a role.
std::uint32_t fingerprint(Role& role);

}  // namespace retort

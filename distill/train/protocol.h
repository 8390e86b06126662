// distill/train/protocol.h -- how good a synthetic set is: networks trained on it from scratch, on test images.
#pragma once
#include "distill/data/dsa.h"
#include "distill/objectives/inner.h"
#include "distill/train/evaluate.h"
#include "distill/train/models.h"
#include "distill/train/phase.h"
#include "distill/train/setup.h"
#include "distill/train/spread.h"

namespace retort {

/// `eval.protocol` of a job: {role: SET, net: MODEL, real: DATA SET, nets: 5, steps: 1000, batch: 256, optim: {..},
/// loss: ce|sq, learned_lr: false, views: [dsa(own), none]}.
struct Protocol {
  std::string role;                     ///< the synthetic set
  Call arch;                            ///< of the networks that are trained
  std::shared_ptr<const Dataset> real;  ///< random images of it are the comparison; null: none
  std::int64_t nets = 5, steps = 1000, batch = 256;
  OptimSpec optim;
  InnerLoss loss = InnerLoss::ce;
  bool learned_rate = false;  ///< the set's learning rate instead of the optimiser's
  std::vector<std::pair<std::string, std::optional<Dsa>>> views;  ///< as written, "none" for images as they are
};

/// One row of the protocol's table.
struct ProtocolRow {
  std::string images, view;  ///< "distilled" or "random real"; the view of training
  std::vector<double> top1;  ///< of each network, in [0, 1]
  Spread spread;             ///< of them
};

/// Reads the section; models and data sets are looked up by name. Throws ConfigError.
Protocol parse_protocol(Config& node, Config& models,
                        const std::function<std::shared_ptr<const Dataset>(Config&)>& set_named);

/// Trains and tests. Network k of every row begins with the same weights; ranks share the networks, and all get the
/// same numbers. On the meta device one step of one network for each row, for planning.
std::vector<ProtocolRow> run_protocol(const Protocol& protocol, const Setup& setup, const EvalData& test,
                                      const ModelSizes& sizes, Communicator* ranks = nullptr);
/// The rows as text, with the view that each was trained under.
std::string protocol_table(const Protocol& protocol, const std::vector<ProtocolRow>& rows);

/// The set's images, a row for each class, enlarged `scale` times, as an encoded PNG.
std::vector<std::uint8_t> set_grid_png(const PixelSet& set, int scale);

}  // namespace retort

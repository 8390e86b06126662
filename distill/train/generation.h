// distill/train/generation.h -- what samplers produce, judged on real images: Frechet distances of features.
#pragma once
#include "distill/train/evaluate.h"
#include "distill/train/frechet.h"
#include "distill/train/roles.h"
#include "distill/train/sampler.h"
#include "distill/train/spread.h"

namespace retort {

/// `eval.generate` of a job: {reference: DATA SET, count: 10000, seeds: 3, batch: 250, features: {net: FILE, tap: PATH,
/// normalize: {mean, std}}, rows: {NAME: {sampler: NAME, seeds: 1}, NAME: {stages: [..]}}}. Without a reference samples
/// are drawn and not judged, and {normalize: {mean, std}} makes pictures of them. Without the section a method that has
/// samplers draws a few samples of each.
struct Generation {
  struct Row {
    std::string name;
    Sampler sampler;
    std::int64_t seeds = 1;
  };
  /// Where samples are looked at: a tap of a trained network, which takes images of this normalisation.
  struct Features {
    std::shared_ptr<const Role> net;
    TapId tap;
    Normalization normalization;
  };
  std::vector<Row> rows;
  std::int64_t count = 100, batch = 100;
  Shape sample;  ///< of one
  DType dtype = DType::f32;
  std::shared_ptr<const Dataset> reference;  ///< null: samples are drawn, and not judged
  std::optional<Normalization> own;          ///< of the samples, where they are images; the reference's
  Features features;
};

/// What one row produced.
struct GeneratedRow {
  std::string name;
  std::int64_t calls = 0;         ///< of networks, for each sample
  std::vector<double> distances;  ///< to the reference, of each seed
  Spread spread;                  ///< of them
  Tensor shown;                   ///< the first samples of the first seed, at most 100
};
struct GenerationResult {
  std::vector<GeneratedRow> rows;
  double floor = 0;  ///< the distance of the test images to the reference
};

/// Reads the section; sets, samplers, numbers and roles are those of the job. The default tap is the input of the last
/// linear layer, the default normalisation that of the reference. Throws ConfigError, IoError.
Generation parse_generation(Config& node, const Samplers& samplers, const NumberMap& numbers, const Roles& roles,
                            const RoleSettings& settings,
                            const std::function<std::shared_ptr<const Dataset>(Config&)>& set_named);

/// Draws, as images of 8 bits where there is a reference, and compares. Sample i of seed k is the same for any batch
/// size. `test` may have no set without a reference. Ranks share the batches; all get the same numbers, rank 0 the
/// samples to be shown. On the meta device one batch of each row and of each set.
GenerationResult run_generation(const Generation& generation, const Setup& setup, const EvalData& test,
                                Communicator* ranks = nullptr);

/// What a row's samples are called in files: letters, digits, "-" and "_". No two rows of eval.generate share it.
std::string row_file(std::string row);
/// The rows as text.
std::string generation_table(const Generation& generation, const GenerationResult& results);
/// The row's first samples in ten columns, or one for each class, as an encoded PNG; empty when they are no images.
std::vector<std::uint8_t> samples_png(const Generation& generation, std::size_t row, const GeneratedRow& result);

}  // namespace retort

// distill/diffusion/oracle_net.h -- closed forms as networks: exact teachers, and trackers that fit a Gaussian exactly.
#pragma once
#include "distill/diffusion/closed_form.h"
#include "nn/denoiser.h"

namespace retort {

/// A mixture of Gaussians with diagonal components, told a time of `schedule`; answers x0. Shifts of its means and
/// growths of its log deviations, [k, d] from zero, are parameters: a tracker of one component can represent any
/// Gaussian student exactly.
class OracleNet final : public Denoiser {
 public:
  /// A denoiser's mean of x0 given the state; where the probability flow takes the state (jump: a sample, in one step);
  /// the x0 whose jump to the end time that it is told goes there (map); the end of the straight path that joins noise
  /// with where the flow takes it (straight: what a reflow of one component learns); or, [n, 1], the log density of the
  /// first of two components over that of the second at the state (log_ratio: the exact discriminator of two
  /// Gaussians).
  enum class Answer : std::uint8_t { mean, jump, map, straight, log_ratio };
  OracleNet(std::string arch, NoiseSchedule schedule, const Tensor& means, const Tensor& deviations,
            Answer answer = Answer::mean);
  using Denoiser::forward;
  Tensor forward(const Tensor& x, const Conditions& given, Ctx& ctx) const override;
  std::unique_ptr<Model> clone() const override { return std::make_unique<OracleNet>(*this); }
  std::string arch() const override { return arch_; }
  bool takes_end_time() const override { return answer_ == Answer::map; }
  void visit(Visitor& v) override;

  const NoiseSchedule& schedule() const { return schedule_; }
  /// Of the components as trained so far, [k, d].
  Tensor means() const;
  Tensor deviations() const;
  std::int64_t size() const { return means_.value.size(1); }
  /// Samples [n, d] of the mixture, components equally likely, and the components i64 [n].
  std::pair<Tensor, Tensor> draw(const Rng& rng, const std::string& stream, std::uint32_t step,
                                 const Tensor& samples) const;

 private:
  std::string arch_;
  NoiseSchedule schedule_;
  Answer answer_;
  Buffer means_, log_deviations_;  // where it begins, f64
  Parameter shift_, growth_;
};

/// gaussian(m1 m2 .. std=1 schedule=vp answer=mean) and mixture(at(m1 m2 ..) at(..) std=1 schedule=vp answer=mean): one
/// number a dimension.
std::unique_ptr<Denoiser> build_gaussian(CallArgs& args, const Call& call);
std::unique_ptr<Denoiser> build_mixture(CallArgs& args, const Call& call);

/// x -> shift + scale x per element [d]: the linear student x = m + s z. affine(size=2 shift=0 scale=1).
struct AffineNet final : Model {
  Parameter shift, scale;
  AffineNet(std::int64_t size, double shift_value, double scale_value);
  Tensor forward(const Tensor& x, Ctx& ctx) const override;
  std::unique_ptr<Model> clone() const override { return std::make_unique<AffineNet>(*this); }
  std::string arch() const override;
  void visit(Visitor& v) override;
};

}  // namespace retort

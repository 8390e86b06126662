// nn/models/edm.h -- the preconditioning of Karras et al. 2022 around any denoiser.
#pragma once
#include "nn/denoiser.h"

namespace retort {

/// D(x; sigma) = c_skip x + c_out F(c_in x; c_noise), an estimate of the clean sample, where c_skip = sd^2 / (sigma^2 +
/// sd^2), c_out = sigma sd / sqrt(sigma^2 + sd^2), c_in = 1 / sqrt(sigma^2 + sd^2), c_noise = log(sigma) / 4 and sd is
/// the data's standard deviation (table 1 there). The condition t is sigma > 0; the net F is "net" and so are its taps.
/// All but F is computed in x's dtype.
struct EdmDenoiser final : Denoiser {
  double sigma_data;
  std::unique_ptr<Denoiser> net;
  explicit EdmDenoiser(std::unique_ptr<Denoiser> inner, double data_deviation = 0.5);
  EdmDenoiser(const EdmDenoiser& o)
      : Denoiser(o), sigma_data(o.sigma_data), net(static_cast<Denoiser*>(o.net->clone().release())) {}
  EdmDenoiser& operator=(const EdmDenoiser&) = delete;
  using Denoiser::forward;
  Tensor forward(const Tensor& x, const Conditions& given, Ctx& ctx) const override;
  std::unique_ptr<Model> clone() const override { return std::make_unique<EdmDenoiser>(*this); }
  std::string arch() const override;
  void visit(Visitor& v) override { v("net", *net); }
};

}  // namespace retort

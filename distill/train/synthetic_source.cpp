#include "distill/train/synthetic_source.h"

#include "autograd/ops/index.h"
#include "autograd/ops/shape.h"
#include "distill/data/pixel_set.h"

namespace retort {

namespace {
class SyntheticSource final : public Source {
 public:
  SyntheticSource(std::string name, std::string role, std::int64_t slots)
      : name_(std::move(name)), role_(std::move(role)), slots_(slots) {}
  const std::string& role() const override { return role_; }

  Batch draw(const DrawRequest& r, const Roles& roles, Pass& pass) const override {
    const Role& owner = roles.at(role_);
    const auto& set = dynamic_cast<const PixelSet&>(*owner.model);
    Ctx ctx = context_of(owner, pass, pass.leaves ? Grad::Train : Grad::None, {});
    const Tensor chosen = slots(r, pass, set.x.value.device());
    const SetRows rows = set.rows(chosen, ctx);
    Batch b;
    b.x = rows.x;
    b.y = rows.label;
    if (rows.target.defined()) b.more["target"] = rows.target;
    const std::int64_t n = rows.x.size(0);
    b.index = repeated(chosen, n / r.rows);
    std::vector<std::int64_t> ids;
    for (std::int64_t i = 0; i < n; ++i) ids.push_back((r.step * batch + r.first) * (n / r.rows) + i);
    b.sample = Tensor::of<std::int64_t>(ids, {n});
    return b;
  }

 private:
  Tensor slots(const DrawRequest& r, const Pass& pass, Device device) const {
    if (device.kind == DeviceKind::meta) return Tensor::empty({r.rows}, DType::i64, device);
    const RngKey key = pass.rng.stream(r.stream + "/slots", static_cast<std::uint32_t>(r.step));
    std::vector<std::int64_t> chosen;
    for (std::int64_t i = r.first; i < r.first + r.rows; ++i)
      chosen.push_back(batch == slots_ ? i
                                       : static_cast<std::int64_t>(permuted_index(
                                             key, static_cast<std::uint64_t>(slots_), static_cast<std::uint64_t>(i))));
    return Tensor::of<std::int64_t>(chosen, {r.rows});
  }

  static Tensor repeated(const Tensor& ids, std::int64_t times) {
    return times == 1 ? ids : concat(Tensors(static_cast<std::size_t>(times), ids), 0);
  }

  std::string name_, role_;
  std::int64_t slots_;
};

class EvenSource final : public Source {
 public:
  EvenSource(std::shared_ptr<const Dataset> set, const LoaderOptions& options, Device device)
      : set_(std::move(set)), device_(device), total_(options.global_batch) {
    const auto classes = static_cast<std::int64_t>(set_->classes());
    if (total_ % classes != 0)
      throw ValueError("source {}: a batch of {} does not hold {} classes evenly", options.name, total_, classes);
    std::vector<std::vector<std::int64_t>> of(static_cast<std::size_t>(classes));
    for (std::int64_t i = 0; i < set_->size(); ++i) of[static_cast<std::size_t>(set_->label(i))].push_back(i);
    for (std::size_t c = 0; c < of.size(); ++c) {
      LoaderOptions own = options;
      own.name = fmt::format("{}/{}", options.name, c);
      own.global_batch = total_ / classes;
      own.threads = 0;
      loaders_.emplace_back(std::make_shared<Subset>(set_, of[c]), own);
    }
  }

  Batch draw(const DrawRequest& r, const Roles&, Pass&) const override {
    if (device_.kind == DeviceKind::meta) {
      const DataBatch b = loaders_[0].meta_batch(r.rows);
      return {b.x, b.y, {}, {}, b.index, b.sample};
    }
    const std::int64_t each = total_ / static_cast<std::int64_t>(loaders_.size());
    Tensors x, y, index;
    std::vector<std::int64_t> samples;
    for (std::int64_t row = r.first; row < r.first + r.rows;) {
      const std::int64_t c = row / each, end = std::min(r.first + r.rows, (c + 1) * each);
      const DataBatch b = loaders_[static_cast<std::size_t>(c)].rows(r.phase_step, row - c * each, end - row);
      x.push_back(b.x);
      y.push_back(b.y);
      index.push_back(b.index);
      for (; row < end; ++row) samples.push_back(r.phase_step * total_ + row);
    }
    return {concat(x, 0), concat(y, 0), {}, {}, concat(index, 0), Tensor::of<std::int64_t>(samples, {r.rows})};
  }
  std::int64_t steps_per_epoch() const override { return (set_->size() + total_ - 1) / total_; }
  std::shared_ptr<const Dataset> set() const override { return set_; }

 private:
  std::shared_ptr<const Dataset> set_;
  std::vector<Loader> loaders_;
  Device device_;
  std::int64_t total_;
};
}  // namespace

std::unique_ptr<Source> synthetic_source(const std::string& name, const Role& role, std::int64_t batch) {
  const auto* set = dynamic_cast<const PixelSet*>(role.model.get());
  if (!set) throw ConfigError("source {}: role {} is no synthetic set; give it net: pixels(..)", name, role.name);
  auto source = std::make_unique<SyntheticSource>(name, role.name, set->slots());
  source->batch = batch > 0 ? std::min(batch, set->slots()) : set->slots();
  return source;
}

std::unique_ptr<Source> even_source(const std::shared_ptr<const Dataset>& set, const LoaderOptions& options,
                                    Device device) {
  return std::make_unique<EvenSource>(set, options, device);
}

}  // namespace retort

#include "distill/train/logit_heads.h"

#include <algorithm>

#include "nn/models/exit_branch.h"

namespace retort {

namespace {
void need_taps(const Call& call, const HeadSizes& sizes) {
  if (sizes.from.empty()) call.fail("name the taps it reads, or `out`");
}

/// Channels of a tap: the first axis of a feature map, the last of tokens and vectors.
std::int64_t channels_of(const Shape& shape) { return shape.rank() == 3 ? shape[0] : shape[shape.rank() - 1]; }

class Classifiers final : public HeadModule {
 public:
  Classifiers(const std::vector<Shape>& from, std::int64_t classes) {
    for (const Shape& shape : from) linear_.emplace_back(channels_of(shape), classes);
  }
  Tensors forward(const Tensors& in, Ctx& ctx) const override {
    Tensors logits;
    for (std::size_t i = 0; i < in.size(); ++i) logits.push_back(linear_[i](global_average(in[i]), ctx));
    return logits;
  }
  std::unique_ptr<HeadModule> clone() const override { return std::make_unique<Classifiers>(*this); }
  void visit(Visitor& v) override { v("linear", linear_); }

 private:
  std::vector<Linear> linear_;
};

class Exits final : public HeadModule {
 public:
  Exits(const std::vector<Shape>& from, std::int64_t extent, std::int64_t width, std::int64_t classes) {
    for (const Shape& shape : from) branches_.emplace_back(shape, extent, width, classes);
  }
  Tensors forward(const Tensors& in, Ctx& ctx) const override {
    Tensors results;
    for (std::size_t i = 0; i < in.size(); ++i) {
      const ExitBranch::Result r = branches_[i](in[i], ctx);
      results.push_back(r.logits);
      results.push_back(r.feature);
    }
    return results;
  }
  std::unique_ptr<HeadModule> clone() const override { return std::make_unique<Exits>(*this); }
  void visit(Visitor& v) override { v("branches", branches_); }

 private:
  std::vector<ExitBranch> branches_;
};
}  // namespace

std::unique_ptr<HeadModule> build_classifier(CallArgs& args, const Call& call, const HeadSizes& sizes) {
  need_taps(call, sizes);
  return std::make_unique<Classifiers>(sizes.from, sizes.classes * args.integer("times", 1, {.min = 1}));
}

std::unique_ptr<HeadModule> build_exits(CallArgs&, const Call& call, const HeadSizes& sizes) {
  need_taps(call, sizes);
  if (sizes.like.size() != 1) call.fail("expected like=ROLE.TAP, the features that the exits lead to");
  const Shape &like = sizes.like[0], &last = sizes.from.back();
  const std::int64_t extent = like.rank() == 3 ? like[1] : last.rank() == 3 ? last[1] : 1;
  return std::make_unique<Exits>(sizes.from, extent, std::max(channels_of(like), channels_of(last)), sizes.classes);
}

}  // namespace retort

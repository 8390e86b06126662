// distill/train/discriminator_heads.cpp -- entries of table `head` that tell real samples from generated ones.
#include "distill/objectives/heads/discriminators.h"
#include "distill/train/head_table.h"

namespace retort {

namespace {
using Made = std::unique_ptr<HeadModule>;

Made quadratic(CallArgs&, const Call& call, const HeadSizes& sizes) {
  expect(call, sizes, 1, 0);
  return std::make_unique<Quadratic>(sizes.from[0].product());
}

Made gan_conv(CallArgs&, const Call& call, const HeadSizes& sizes) {
  if (sizes.from.empty()) call.fail("name the taps it reads");
  return std::make_unique<MapCritics>(sizes.from);
}

Made channel_mean(CallArgs&, const Call& call, const HeadSizes& sizes) {
  if (sizes.from.empty()) call.fail("name the taps it reads");
  return std::make_unique<ChannelMean>();
}
}  // namespace

const HeadTable& discriminator_heads() {
  static const HeadTable entries{{"quadratic", quadratic}, {"gan_conv", gan_conv}, {"channel_mean", channel_mean}};
  return entries;
}

}  // namespace retort

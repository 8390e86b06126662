// autograd/ops/channels_last.cpp -- the same image with channels innermost in memory.
#include "autograd/ops/shape.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct ChannelsLast : Linear<ChannelsLast> {
  static constexpr std::string_view name = "channels_last";
  static void infer(InferCall& call) {
    call.output(call.in[0].shape(), call.in[0].dtype(), channels_last_strides(call.in[0].shape()));
  }
  static Tensor transpose(std::size_t, const Tensor& cot, const VjpCall&) { return cot; }
};
REGISTER_OP(ChannelsLast);
}  // namespace

Tensor channels_last(const Tensor& x) {
  return x.rank() < 3 || x.layout().channels_last() ? x : apply<ChannelsLast>(x);
}

}  // namespace retort

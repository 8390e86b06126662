// cuda_kernels/random.cu -- instances and launchers of random fields.
#include "cuda_kernels/random.cuh"

namespace retort::kernels::RETORT_BACKEND {

static gpu::LaunchShape draw_shape(std::int64_t samples, std::int64_t elements) {
  constexpr unsigned kThreads = 128;
  if (samples > 65535)
    throw gpu::StateError("random: at most 65535 samples in one launch; got " + std::to_string(samples));
  return {{blocks_for((elements + 3) / 4, kThreads), static_cast<unsigned>(samples)}, {kThreads}};
}

template <class D>
static void launch_draw(const Random& a, gpu::Stream stream) {
  RETORT_LAUNCH(stream, draw_shape(a.samples, a.elements), draw_rows<D>, static_cast<typename D::Value*>(a.y),
                a.sample_ids, a.key, a.first_sample, a.elements);
}

void random(const Random& a, gpu::Stream stream) {
  if (a.samples == 0 || a.elements == 0) return;
  if (a.draw == Draw::bits) return launch_draw<BitsDraw>(a, stream);
  if (a.draw == Draw::uniform) return launch_draw<UniformDraw>(a, stream);
  launch_draw<NormalDraw>(a, stream);
}

void dropout(const Dropout& a, gpu::Stream stream) {
  if (a.samples == 0 || a.elements == 0) return;
  // uniform < p holds for the words whose 24 high bits are below p 2^24, rounded up.
  const double bound = a.p * 16777216.0;
  auto threshold = static_cast<std::uint32_t>(bound);
  if (static_cast<double>(threshold) < bound) ++threshold;
  visit_training("dropout", a.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    RETORT_LAUNCH(stream, draw_shape(a.samples, a.elements), dropout_rows<T>, static_cast<const T*>(a.x),
                  static_cast<T*>(a.y), a.sample_ids, a.key, threshold, static_cast<float>(1 / (1 - a.p)), a.elements);
  });
}

}  // namespace retort::kernels::RETORT_BACKEND

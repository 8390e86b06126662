// distill/data/batch_rows.cpp -- order, decoding, augmentation, normalisation and mixing of rows.
#include "distill/data/batch_rows.h"

#include <algorithm>
#include <cstring>

#include "tensor/error.h"

namespace retort {
namespace {

constexpr std::int64_t kMaxSteps = std::int64_t{1} << 32;
constexpr std::int64_t kMaxBatch = std::int64_t{1} << 30;
constexpr int kMaxThreads = 1024;

}  // namespace

BatchRows::BatchRows(std::shared_ptr<const Dataset> dataset, LoaderOptions options)
    : dataset_(std::move(dataset)),
      options_(std::move(options)),
      augmenter_(options_.augment.images, Rng(options_.seed), options_.name + "/augment", dataset_->image_shape(),
                 dataset_->normalization().mean),
      order_(Rng(options_.seed).stream(options_.name + "/order")),
      mix_(Rng(options_.seed).stream(options_.name + "/augment/mix")) {
  const std::int64_t batch = options_.global_batch, n = dataset_->size();
  if (batch < 1 || batch > kMaxBatch)
    throw ValueError("loader {}: global_batch must be in [1, 2^30]; got {}", options_.name, batch);
  if (options_.augment.mixing.enabled() && batch < 2)
    throw ValueError("loader {}: mixup and cutmix need a global_batch of at least 2; got {}", options_.name, batch);
  if (options_.drop_last && n < batch)
    throw ValueError("loader {}: drop_last leaves nothing of {} images in batches of {}", options_.name, n, batch);
  if (options_.dtype != DType::f32 && options_.dtype != DType::f64)
    throw ValueError("loader {}: dtype is f32 or f64; got {}", options_.name, name_of(options_.dtype));
  if (std::min(options_.threads, options_.prefetch) < 0 || std::max(options_.threads, options_.prefetch) > kMaxThreads)
    throw ValueError("loader {}: threads and prefetch must be in [0, {}]; got {} and {}", options_.name, kMaxThreads,
                     options_.threads, options_.prefetch);
}

void BatchRows::check(const RowRange& range) const {
  if (range.step < 0 || range.step >= kMaxSteps)
    throw ValueError("loader {}: steps are in [0, 2^32); got {}", options_.name, range.step);
  if (range.first < 0 || range.count < 0 || range.first > options_.global_batch - range.count)
    throw ValueError("loader {}: rows [{}, {} + {}) are not in the global batch of {}", options_.name, range.first,
                     range.first, range.count, options_.global_batch);
}

std::int64_t BatchRows::steps_per_epoch() const {
  const std::int64_t n = dataset_->size(), batch = options_.global_batch;
  return options_.drop_last ? n / batch : (n + batch - 1) / batch;
}

BatchRows::Place BatchRows::place(std::int64_t step, std::int64_t row) const {
  const std::int64_t batch = options_.global_batch;
  if (options_.drop_last) {
    const std::int64_t steps = steps_per_epoch();
    return {step / steps, (step % steps) * batch + row};
  }
  const std::int64_t position = step * batch + row;
  return {position / dataset_->size(), position % dataset_->size()};
}

std::int64_t BatchRows::dataset_index(std::int64_t step, std::int64_t row) const {
  const Place at = place(step, row);
  if (!options_.shuffle) return at.position;
  RngKey key = order_;
  // Beyond 2^32 epochs the counter's next word goes on.
  key.step = static_cast<std::uint32_t>(at.epoch);
  key.attempt = static_cast<std::uint32_t>(at.epoch >> 32);
  return static_cast<std::int64_t>(
      permuted_index(key, static_cast<std::uint64_t>(dataset_->size()), static_cast<std::uint64_t>(at.position)));
}

FloatImage BatchRows::image_at(float* pixels) const {
  const Shape& shape = dataset_->image_shape();
  return {pixels, static_cast<int>(shape[1]), static_cast<int>(shape[2]), static_cast<int>(shape[0])};
}

void BatchRows::load(std::int64_t step, std::int64_t row, std::vector<std::uint8_t>& bytes, float* out) const {
  const std::int64_t index = dataset_index(step, row);
  const FloatImage image = image_at(out);
  bytes.resize(image.size());
  try {
    dataset_->image(index, bytes);
  } catch (const IoError& e) {
    throw IoError("loader {}: image {} (row {} of step {}): {}", options_.name, dataset_->id(index), row, step,
                  e.what());
  }
  for (std::size_t i = 0; i < bytes.size(); ++i) out[i] = static_cast<float>(bytes[i]) / 255.0f;
  augmenter_(image, static_cast<std::uint32_t>(step), static_cast<std::uint64_t>(row));
  const Normalization& usual = dataset_->normalization();
  const auto channels = static_cast<std::size_t>(image.channels);
  for (std::size_t c = 0; c < channels; ++c) {
    const float mean = usual.mean[c], stddev = usual.stddev[c];
    for (std::size_t i = c; i < bytes.size(); i += channels) out[i] = (out[i] - mean) / stddev;
  }
}

std::int64_t BatchRows::visible_label(std::int64_t dataset_index) const {
  return options_.labelled ? dataset_->label(dataset_index) : -1;
}

HostBatch BatchRows::compute(const RowRange& range, const std::atomic<bool>& cancelled) const {
  check(range);
  const auto n = static_cast<std::size_t>(range.count), pixels = image_at(nullptr).size();
  HostBatch batch;
  batch.x.resize(n * pixels);
  std::vector<std::uint8_t> bytes;
  for (std::int64_t row = range.first; row < range.first + range.count && !cancelled; ++row) {
    load(range.step, row, bytes, batch.x.data() + batch.index.size() * pixels);
    const std::int64_t index = dataset_index(range.step, row);
    batch.y.push_back(visible_label(index));
    batch.index.push_back(dataset_->id(index));
    batch.sample.push_back(range.step * options_.global_batch + row);
  }
  batch.lambda.assign(n, 1.0f);
  if (options_.augment.mixing.enabled() && !cancelled) mix_rows(range, batch, cancelled);
  return batch;
}

void BatchRows::mix_rows(const RowRange& range, HostBatch& batch, const std::atomic<bool>& cancelled) const {
  batch.y2 = batch.y;
  RngKey key = mix_;
  key.step = static_cast<std::uint32_t>(range.step);
  const MixDraw draw = draw_mix(options_.augment.mixing, key, options_.global_batch, image_at(nullptr));
  if (draw.kind == MixDraw::Kind::none) return;
  std::fill(batch.lambda.begin(), batch.lambda.end(), draw.lambda);
  // A partner outside these rows is computed again: that keeps micro-batches and ranks independent of each other.
  const std::vector<float> unmixed = batch.x;
  const auto pixels = static_cast<std::ptrdiff_t>(image_at(nullptr).size());
  std::vector<float> elsewhere(static_cast<std::size_t>(pixels));
  std::vector<std::uint8_t> bytes;
  for (std::int64_t i = 0; i < range.count && !cancelled; ++i) {
    const std::int64_t partner = draw.partner(range.first + i, options_.global_batch), inside = partner - range.first;
    const bool here = inside >= 0 && inside < range.count;
    if (!here) load(range.step, partner, bytes, elsewhere.data());
    const float* other = here ? unmixed.data() + inside * pixels : elsewhere.data();
    mix(image_at(batch.x.data() + i * pixels), other, draw);
    batch.y2[static_cast<std::size_t>(i)] = visible_label(dataset_index(range.step, partner));
  }
}

namespace {

/// A tensor holding `values`, converted; without values one on the meta device.
template <class T>
Tensor to_tensor(const std::vector<T>* values, const Shape& shape, DType dtype) {
  const Strides strides = channels_last_strides(shape);
  const Tensor out = Tensor::empty(shape, dtype, values ? kCpu : kMeta, &strides);
  if (values == nullptr) return out;
  if (dtype == dtype_of<T>) {
    if (!values->empty()) std::memcpy(out.raw(), values->data(), values->size() * sizeof(T));
  } else {
    std::copy(values->begin(), values->end(), out.mutable_data<double>());
  }
  return out;
}

}  // namespace

DataBatch BatchRows::tensors(std::int64_t count, const HostBatch* host) const {
  const Shape& image = dataset_->image_shape();
  const auto field = [host](auto member) { return host ? &(host->*member) : nullptr; };
  DataBatch batch;
  batch.x = to_tensor(field(&HostBatch::x), {count, image[0], image[1], image[2]}, options_.dtype);
  batch.y = to_tensor(field(&HostBatch::y), {count}, DType::i64);
  if (options_.augment.mixing.enabled()) batch.y2 = to_tensor(field(&HostBatch::y2), {count}, DType::i64);
  batch.lambda = to_tensor(field(&HostBatch::lambda), {count}, options_.dtype);
  batch.index = to_tensor(field(&HostBatch::index), {count}, DType::i64);
  batch.sample = to_tensor(field(&HostBatch::sample), {count}, DType::i64);
  return batch;
}

}  // namespace retort

#include "distill/train/store.h"

#include <cmath>

#include "autograd/ops/index.h"
#include "tensor/rng.h"
#include "tensor/write.h"

namespace retort {

Store::Store(std::string name, Tensor table, double momentum, bool normalize)
    : name_(std::move(name)), table_(std::move(table)), momentum_(momentum), normalize_(normalize) {}

Tensor Store::get(const Tensor& index) const { return index_select(table_, 0, index); }

void Store::put(const Tensor& index, const Tensor& values) {
  if (index.meta()) return;
  const auto ids = index.values<std::int64_t>();
  const std::vector<double> rows = values.values();
  const std::size_t width = ids.empty() ? 0 : rows.size() / ids.size();
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const Tensor row =
        table_.view({{static_cast<std::int64_t>(width)}, {1}, ids[i] * static_cast<std::int64_t>(width)});
    std::vector<double> next(rows.begin() + static_cast<std::ptrdiff_t>(i * width),
                             rows.begin() + static_cast<std::ptrdiff_t>((i + 1) * width));
    const std::vector<double> old = row.values();
    double norm = 0;
    for (std::size_t k = 0; k < width; ++k) {
      if (momentum_ > 0) next[k] = momentum_ * old[k] + (1 - momentum_) * next[k];
      norm += next[k] * next[k];
    }
    if (normalize_ && norm > 0)
      for (double& v : next) v /= std::sqrt(norm);
    assign_(row, Tensor::from(next, {static_cast<std::int64_t>(width)}, table_.dtype()), name_);
  }
}

std::unique_ptr<Store> make_store(Config& node, std::int64_t ids, const Shape& row, std::uint64_t seed, DType dtype,
                                  Device device) {
  Shape shape{ids};
  for (int i = 0; i < row.rank(); ++i) shape.push_back(row[i]);
  const std::string name = "store " + node.key();
  const bool sphere = node.get_choice("init", {"zeros", "sphere"}, "zeros") == "sphere";
  const double momentum = node.get_real("momentum", 0.0, {.min = 0, .max = 1});
  const bool normalize = node.get("normalize", false);
  Tensor table = Tensor::zeros(shape, dtype, device);
  if (sphere && device.kind != DeviceKind::meta) {
    const auto width = static_cast<std::size_t>(row.product());
    const RngKey key = Rng(seed).stream("store/" + node.key());
    for (std::int64_t id = 0; id < ids; ++id) {
      std::vector<double> values(width);
      fill_normal(std::span<double>(values), key, static_cast<std::uint64_t>(id));
      double norm = 0;
      for (const double v : values) norm += v * v;
      for (double& v : values) v /= std::sqrt(norm);
      assign_(table.view({{row.product()}, {1}, id * row.product()}), Tensor::from(values, {row.product()}, dtype),
              name);
    }
  }
  return std::make_unique<Store>(name, table, momentum, normalize);
}

}  // namespace retort

#include "distill/train/store.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/index.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/data/sequential.h"
#include "tensor/rng.h"
#include "tensor/transfer.h"
#include "tensor/write.h"

namespace retort {

IdsByClass ids_by_class(const Dataset& set) {
  IdsByClass by;
  const auto classes = static_cast<std::size_t>(set.classes());
  std::vector<std::vector<std::int64_t>> of(classes);
  for (std::int64_t i = 0; i < set.size(); ++i) of[static_cast<std::size_t>(set.label(i))].push_back(set.id(i));
  for (const auto& ids : of) {
    by.begin.push_back(by.ids.size());
    by.ids.insert(by.ids.end(), ids.begin(), ids.end());
  }
  by.begin.push_back(by.ids.size());
  return by;
}

Store::Store(std::string name, Tensor table, StoreOptions options)
    : name_(std::move(name)), table_(std::move(table)), options_(std::move(options)) {}

Tensor Store::get(const Batch& batch) const {
  return index_select(table_, 0, to(options_.by_class ? batch.y : batch.index, table_.device()));
}

Tensor Store::negatives(const Batch& batch, std::int64_t count, const Pass& pass) const {
  const Shape shape{batch.size(), count};
  if (batch.y.meta()) return index_select(table_, 0, Tensor::empty(shape, DType::i64, kMeta));
  const auto& [ids, begin] = options_.classes;
  const RngKey key = pass.rng.stream(name_ + "/negatives", pass.step);
  const auto labels = to(batch.y, kCpu).values<std::int64_t>(), samples = batch.sample.values<std::int64_t>();
  std::vector<std::int64_t> drawn;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const auto y = static_cast<std::size_t>(std::max<std::int64_t>(labels[i], 0));
    const std::size_t first = begin[y], own = labels[i] < 0 ? 0 : begin[y + 1] - first;
    if (ids.size() == own) throw ConfigError("{}: all samples are of one class, so there are no negatives", name_);
    for (std::int64_t k = 0; k < count; ++k) {
      const std::size_t other =
          uniform_int(key, static_cast<std::uint64_t>(samples[i]), static_cast<std::uint64_t>(k), ids.size() - own);
      drawn.push_back(ids[other < first ? other : other + own]);
    }
  }
  return index_select(table_, 0, to(Tensor::of<std::int64_t>(drawn, shape), table_.device()));
}

void Store::put(const Tensor& index, const Tensor& values) {
  if (index.meta()) return;
  const auto ids = index.values<std::int64_t>();
  const std::vector<double> rows = to(values, kCpu).values();
  const std::size_t width = ids.empty() ? 0 : rows.size() / ids.size();
  const double kept = options_.momentum;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const Tensor row =
        table_.view({{static_cast<std::int64_t>(width)}, {1}, ids[i] * static_cast<std::int64_t>(width)});
    std::vector<double> next(rows.begin() + static_cast<std::ptrdiff_t>(i * width),
                             rows.begin() + static_cast<std::ptrdiff_t>((i + 1) * width));
    const std::vector<double> old = kept > 0 ? to(row, kCpu).values() : std::vector<double>(width);
    double norm = 0;
    for (std::size_t k = 0; k < width; ++k) {
      if (kept > 0) next[k] = kept * old[k] + (1 - kept) * next[k];
      norm += next[k] * next[k];
    }
    if (options_.normalize && norm > 0)
      for (double& v : next) v /= std::sqrt(norm);
    assign_(row, to(Tensor::from(next, {static_cast<std::int64_t>(width)}, table_.dtype()), table_.device()), name_);
  }
}

namespace {
Shape with_rows(std::int64_t rows, const Shape& row) {
  Shape shape{rows};
  for (int i = 0; i < row.rank(); ++i) shape.push_back(row[i]);
  return shape;
}

/// Rows of unit length, evenly over the sphere.
void fill_sphere(const Tensor& table, const RngKey& key, const std::string& name) {
  const std::int64_t rows = table.shape()[0], width = table.numel() / std::max<std::int64_t>(rows, 1);
  std::vector<double> values(static_cast<std::size_t>(width));
  for (std::int64_t id = 0; id < rows; ++id) {
    fill_normal(std::span<double>(values), key, static_cast<std::uint64_t>(id));
    double norm = 0;
    for (const double v : values) norm += v * v;
    for (double& v : values) v /= std::sqrt(norm);
    assign_(table.view({{width}, {1}, id * width}), to(Tensor::from(values, {width}, table.dtype()), table.device()),
            name);
  }
}
}  // namespace

std::unique_ptr<Store> make_store(Config& node, const Dataset& set, const Shape& row, std::uint64_t seed, DType dtype,
                                  Device device) {
  const std::string name = "store " + node.key();
  if (node.get_choice("kind", {"index", "class_mean"}) == "class_mean")
    return std::make_unique<Store>(name, Tensor::zeros(with_rows(set.classes(), row), dtype, device),
                                   StoreOptions{.by_class = true});
  std::int64_t ids = 0;
  for (std::int64_t i = 0; i < set.size(); ++i) ids = std::max(ids, set.id(i) + 1);
  StoreOptions options;
  options.momentum = node.get_real("momentum", 0.0, {.min = 0, .max = 1});
  options.normalize = node.get("normalize", false);
  options.classes = ids_by_class(set);
  const Tensor table = Tensor::zeros(with_rows(ids, row), dtype, device);
  const bool sphere = node.get_choice("init", {"zeros", "sphere"}, "zeros") == "sphere";
  if (sphere && device.kind != DeviceKind::meta) fill_sphere(table, Rng(seed).stream("store/" + node.key()), name);
  return std::make_unique<Store>(name, table, std::move(options));
}

void fill_class_mean(Store& store, const Role& role, const Read& of, std::shared_ptr<const Dataset> set,
                     std::int64_t batch, DType dtype) {
  Tensor& table = store.table();
  if (table.meta()) return;
  const std::int64_t classes = table.shape()[0];
  Pass pass;
  pass.training = false;
  Tensor total, count;
  SequentialBatches batches(std::move(set), batch, dtype);
  for (std::int64_t i = 0; i < batches.size(); ++i) {
    const DataBatch b = batches.at(i);
    const Want want{.out = of.from == Read::From::out, .taps = of.taps};
    const Reply reply = role.net->eval({to(b.x, table.device()), {}, {}, b.index, b.sample}, want, Grad::None, pass);
    const Tensor answer = to(cast(stop_gradient(want.out ? reply.out : reply.taps[0]), table.dtype()), kCpu);
    const Tensor sums = index_add(answer, 0, b.y, classes);
    const Tensor counts = bincount(b.y, classes, Tensor::full(b.y.shape(), 1, table.dtype()));
    total = total.defined() ? total + sums : sums;
    count = count.defined() ? count + counts : counts;
  }
  Shape column = Shape::filled(table.rank(), 1);
  column[0] = classes;
  assign_(table, to(total / reshape(maximum(count, 1.0), column), table.device()), "class means");
}

}  // namespace retort

// distill/train/store.h -- tensors kept across steps by data id or by class: banks of past answers and of embeddings,
// means of classes.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "distill/data/dataset.h"
#include "distill/objectives/term.h"
#include "distill/train/config.h"
#include "tensor/tensor.h"

namespace retort {

/// The data ids of a set, class after class.
struct IdsByClass {
  std::vector<std::int64_t> ids;
  std::vector<std::size_t> begin;  ///< of each class in `ids`, and the end
};
IdsByClass ids_by_class(const Dataset& set);

struct StoreOptions {
  bool by_class = false;    ///< rows are classes, read by label
  double momentum = 0;      ///< what a put keeps of the old row
  bool normalize = false;   ///< a put scales the new row to unit length
  IdsByClass classes = {};  ///< where negatives come from
};

/// A row for every data id or every class, part of a run's state.
class Store {
 public:
  /// `table` [rows, ...] holds the first values.
  Store(std::string name, Tensor table, StoreOptions options);
  /// Rows of the batch's samples, or of their classes: [n, ...], constant. A row by class needs a label: ValueError.
  Tensor get(const Batch& batch) const;
  /// For each sample `count` rows of data ids of other classes (any class for a sample without label), drawn evenly and
  /// with replacement: [n, count, ...]. A draw is a function of (seed, store, step, global sample, its place).
  /// Throws ConfigError when there is no other class.
  Tensor negatives(const Batch& batch, std::int64_t count, const Pass& pass) const;
  /// Writes `values` [n, ...] to rows `index`; of several rows with one id the last one counts.
  void put(const Tensor& index, const Tensor& values);
  Tensor& table() { return table_; }

 private:
  std::string name_;
  Tensor table_;
  StoreOptions options_;
};
using Stores = std::map<std::string, std::unique_ptr<Store>>;

/// `stores.NAME: {kind: index, like: ROLE[.HEAD], source: S, init: zeros | sphere, momentum: 0, normalize: false}`,
/// once the shape of a row is known. `sphere` draws rows of unit length from the job's seed.
std::unique_ptr<Store> make_store(Config& node, const Dataset& set, const Shape& row, std::uint64_t seed, DType dtype,
                                  Device device);

/// `stores.NAME: {kind: class_mean, of: READ, source: S}`: for each class the mean of what a role answers to its images
/// in the source's set, worked out once before the first step, without augmentation.
struct ClassMean {
  Read of;
  std::string store, source;
};
/// Fills the store. `role` answers as in evaluation; `batch` images at a time.
void fill_class_mean(Store& store, const Role& role, const Read& of, std::shared_ptr<const Dataset> set,
                     std::int64_t batch, DType dtype);

}  // namespace retort

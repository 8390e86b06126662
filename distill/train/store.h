// distill/train/store.h -- tensors kept by data id across steps: banks of past answers, of embeddings.
#pragma once
#include <map>
#include <memory>
#include <string>

#include "distill/train/config.h"
#include "tensor/tensor.h"

namespace retort {

/// A row for every data id, part of a run's state.
class Store {
 public:
  /// `table` [ids, ...] holds the first values. With `momentum` m > 0 a put keeps m of the old row; with `normalize`
  /// the new row is then scaled to unit length.
  Store(std::string name, Tensor table, double momentum, bool normalize);
  /// Rows of the ids i64 [n], constant.
  Tensor get(const Tensor& index) const;
  /// Writes `values` [n, ...] to rows `index`; of several rows with one id the last one counts.
  void put(const Tensor& index, const Tensor& values);
  Tensor& table() { return table_; }

 private:
  std::string name_;
  Tensor table_;
  double momentum_;
  bool normalize_;
};
using Stores = std::map<std::string, std::unique_ptr<Store>>;

/// `stores.NAME: {kind: index, like: ROLE[.HEAD], source: S, init: zeros | sphere, momentum: 0, normalize: false}`,
/// once the shape of a row and the number of ids are known. `sphere` draws rows of unit length from the job's seed.
std::unique_ptr<Store> make_store(Config& node, std::int64_t ids, const Shape& row, std::uint64_t seed, DType dtype,
                                  Device device);

}  // namespace retort

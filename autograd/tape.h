// autograd/tape.h -- the reverse level: a flat record of ops, and the walk that pulls cotangents back to the leaves.
#pragma once
#include <memory>

#include "autograd/level.h"

namespace retort {

class TapeLevel;
class Tape;

/// Where a leaf's gradient goes. `begin` names the leaves that will receive one, in the order in which they become
/// final, before the walk starts; `add` is called per contribution, `done` once when a leaf is final.
struct GradSink {
  virtual ~GradSink() = default;
  virtual void begin(std::span<const int> /*leaves*/) {}
  virtual void add(int leaf, const Tensor& contribution) = 0;
  virtual void done(int /*leaf*/) {}
};

/// The plain sink: one summed gradient per leaf, itself differentiable by the levels below the tape.
struct GradMap : GradSink {
  void add(int leaf, const Tensor& contribution) override;
  /// Undefined when the leaf was not reached.
  Tensor operator[](int leaf) const;

 private:
  std::vector<Tensor> by_leaf_;
};

/// What a walk leaves behind: `keep` allows further walks over the same record, `release` frees values as it goes.
enum class Record : std::uint8_t { release, keep };

/// A reverse level for the lifetime of the object, on the thread that made it.
class Tape {
 public:
  Tape();
  ~Tape();
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  /// A leaf: the same value, tracked by this tape. Leaves are numbered from 0 in the order of watching.
  Tensor watch(const Tensor& value);
  int leaves() const;
  /// The leaf number of a tensor returned by watch, or -1.
  int leaf_of(const Tensor& t) const;
  /// Recorded ops, and the bytes of values saved for the walk (storages shared by several ops count once).
  std::int64_t size() const;
  std::int64_t saved_bytes() const;
  const TapeLevel& level() const { return *level_; }

  /// Pulls `cotangents` (same shapes as `outputs`; undefined = zero) back to the leaves. Outputs that are not on this
  /// tape contribute nothing. Throws AutogradError when the record was released, or when a saved value was overwritten.
  void backward(std::span<const Tensor> outputs, std::span<const Tensor> cotangents, GradSink& sink,
                Record record = Record::release);
  /// Gradients of a scalar with respect to tensors returned by watch; zeros where it does not depend on them.
  Tensors gradients(const Tensor& scalar, std::span<const Tensor> leaves, Record record = Record::release);

 private:
  Ref<TapeLevel> level_;
};

/// Cotangents of `in` (undefined where `wants` is false or the result does not depend on it) for the function `f`,
/// recomputed under a tape of its own: the reverse rule of everything that is defined by public ops.
template <class F>
Tensors pull_back(F&& f, std::span<const Tensor> in, std::span<const Tensor> cotangents, std::span<const bool> wants) {
  Tape tape;
  Tensors lifted(in.begin(), in.end());
  for (std::size_t i = 0; i < in.size(); ++i)
    if (wants[i]) lifted[i] = tape.watch(in[i]);
  const Tensors out = f(std::span<const Tensor>(lifted));
  GradMap grads;
  tape.backward(out, cotangents, grads);
  Tensors result(in.size());
  for (std::size_t i = 0; i < in.size(); ++i)
    if (wants[i]) result[i] = grads[tape.leaf_of(lifted[i])];
  return result;
}

}  // namespace retort

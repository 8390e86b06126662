// nn/module.h -- modules are values: plain structs whose `visit` names their parameters, buffers and children.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "nn/init.h"
#include "tensor/tensor.h"

namespace retort {

/// A trained tensor. It owns its storage: copying a Parameter (so, a module) copies the values, so that a teacher, a
/// student and an average are copies of one value. A tied weight is one Parameter used in two places of a forward.
struct Parameter {
  Tensor value;   ///< the master: f32 (f64 in checks)
  Tensor shadow;  ///< the same values in the role's compute dtype; written with the master; undefined when equal
  bool trainable = true;
  bool decays = true;  ///< weight decay applies (matrices and kernels; not biases, norms, embeddings of positions)
  bool master_only = false;  ///< norms read the f32 master even when the data is 16-bit
  Init init;                 ///< how `initialize` fills it

  Parameter() = default;
  /// f32 zeros until `initialize`. Kernels of rank 4, logically OIHW, lie channels-last in memory.
  Parameter(const Shape& shape, Init how, bool decay = true);
  explicit Parameter(Tensor initial, bool decay = true) : value(std::move(initial)), decays(decay) {}
  Parameter(const Parameter& o);
  Parameter& operator=(const Parameter& o);
  Parameter(Parameter&&) = default;
  Parameter& operator=(Parameter&&) = default;
};

/// State that is not trained: running statistics, counters. Copies deeply, as a Parameter does.
struct Buffer {
  Tensor value;
  Buffer() = default;
  explicit Buffer(Tensor initial) : value(std::move(initial)) {}
  Buffer(const Buffer& o);
  Buffer& operator=(const Buffer& o);
  Buffer(Buffer&&) = default;
  Buffer& operator=(Buffer&&) = default;
};

class Module;

/// Walks a module tree in declaration order; paths are joined by dots ("blocks.0.conv.weight").
class Visitor {
 public:
  virtual ~Visitor() = default;
  virtual void parameter(const std::string& /*path*/, Parameter&) {}
  virtual void buffer(const std::string& /*path*/, Buffer&) {}
  virtual void enter(const std::string& /*path*/, Module&) {}

  void operator()(std::string_view name, Parameter& p) { parameter(join(name), p); }
  void operator()(std::string_view name, Buffer& b) { buffer(join(name), b); }
  void operator()(std::string_view name, Module& m);
  template <class M>
  void operator()(std::string_view name, std::vector<M>& list) {
    for (std::size_t i = 0; i < list.size(); ++i) (*this)(std::string(name) + "." + std::to_string(i), list[i]);
  }

 private:
  std::string join(std::string_view name) const;
  std::string prefix_;
};

/// Base of layers and models. `path` is the module's own name in its model: taps and random streams are named by it.
class Module {
 public:
  virtual ~Module() = default;
  virtual void visit(Visitor& v) = 0;
  const std::string& path() const { return path_; }

 private:
  friend void name_modules(Module& root, const std::string& path);
  friend class Visitor;
  std::string path_;
};

/// Gives every module of the tree its path. Call once after building a model; copies keep their paths.
void name_modules(Module& root, const std::string& path = "");

struct NamedParameter {
  std::string name;
  Parameter* parameter;
};
struct NamedBuffer {
  std::string name;
  Buffer* buffer;
};
/// In declaration order. The module must outlive the pointers. Const overloads promise not to be used for writing.
std::vector<NamedParameter> parameters_of(Module& m);
std::vector<NamedBuffer> buffers_of(Module& m);
/// Elements of all parameters.
std::int64_t parameter_count(const Module& m);
/// Copies values (parameters and buffers) between two modules of the same structure. Throws ShapeError naming the first
/// tensor that differs in name, shape or dtype.
void copy_values(Module& to, const Module& from);
/// Moves every tensor to `device`; on meta the values are dropped and only shapes remain.
void move_to(Module& m, Device device);
/// Converts the masters to `dtype` (f64 for checks).
void convert(Module& m, DType dtype);
/// Gives every parameter that is not master_only a shadow in the 16-bit `dtype`, equal to the rounded master; any other
/// dtype takes the shadows away.
void set_shadows(Module& m, DType dtype);
/// Sets `trainable` of the parameters whose names match a glob ("*.weight", "head.*"); returns how many matched.
int set_trainable(Module& m, std::string_view glob, bool trainable);

}  // namespace retort

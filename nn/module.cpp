#include "nn/module.h"

#include <fnmatch.h>

#include "tensor/transfer.h"
#include "tensor/write.h"

namespace retort {

namespace {
Tensor deep_copy(const Tensor& t) {
  if (!t.defined() || t.meta()) return t.defined() ? Tensor::empty(t.shape(), t.dtype(), t.device(), &t.strides()) : t;
  Tensor copy = Tensor::empty(t.shape(), t.dtype(), t.device(), t.layout().dense() ? &t.strides() : nullptr);
  assign_(copy, t, "copy of a module");
  return copy;
}

struct Collector : Visitor {
  std::vector<NamedParameter> parameters;
  std::vector<NamedBuffer> buffers;
  void parameter(const std::string& path, Parameter& p) override { parameters.push_back({path, &p}); }
  void buffer(const std::string& path, Buffer& b) override { buffers.push_back({path, &b}); }
};

Tensor converted(const Tensor& t, DType dtype) {
  if (!t.defined() || t.dtype() == dtype || !is_float(t.dtype())) return t;
  Tensor out = Tensor::empty(t.shape(), dtype, t.device(), t.layout().dense() ? &t.strides() : nullptr);
  assign_(out, t, "convert");
  return out;
}
}  // namespace

Parameter::Parameter(const Shape& shape, Init how, bool decay) : decays(decay), init(how) {
  const Strides strides = shape.rank() == 4 ? channels_last_strides(shape) : contiguous_strides(shape);
  value = Tensor::empty(shape, DType::f32, kCpu, &strides);
  fill_(value, 0);
}

Parameter::Parameter(const Parameter& o)
    : value(deep_copy(o.value)),
      shadow(deep_copy(o.shadow)),
      trainable(o.trainable),
      decays(o.decays),
      master_only(o.master_only),
      init(o.init) {}

Parameter& Parameter::operator=(const Parameter& o) {
  if (this != &o) *this = Parameter(o);
  return *this;
}

Buffer::Buffer(const Buffer& o) : value(deep_copy(o.value)) {}

Buffer& Buffer::operator=(const Buffer& o) {
  if (this != &o) *this = Buffer(o);
  return *this;
}

std::string Visitor::join(std::string_view name) const {
  return prefix_.empty() ? std::string(name) : prefix_ + "." + std::string(name);
}

void Visitor::operator()(std::string_view name, Module& m) {
  const std::string path = join(name), outer = std::move(prefix_);
  enter(path, m);
  prefix_ = path;
  m.visit(*this);
  prefix_ = outer;
}

void name_modules(Module& root, const std::string& path) {
  struct Namer : Visitor {
    std::string base;
    void enter(const std::string& p, Module& m) override { m.path_ = base.empty() ? p : base + "." + p; }
  } namer;
  namer.base = path;
  root.path_ = path;
  root.visit(namer);
}

std::vector<NamedParameter> parameters_of(Module& m) {
  Collector c;
  m.visit(c);
  return std::move(c.parameters);
}

std::vector<NamedBuffer> buffers_of(Module& m) {
  Collector c;
  m.visit(c);
  return std::move(c.buffers);
}

std::int64_t parameter_count(const Module& m) {
  std::int64_t n = 0;
  // visit is non-const because most visitors write; this one only counts.
  for (const auto& p : parameters_of(const_cast<Module&>(m))) n += p.parameter->value.numel();
  return n;
}

void copy_values(Module& to, const Module& from) {
  Collector a, b;
  to.visit(a);
  const_cast<Module&>(from).visit(b);
  const auto check = [](const std::string& na, const Tensor& ta, const std::string& nb, const Tensor& tb) {
    if (na != nb || !(ta.shape() == tb.shape()))
      throw ShapeError("copy_values: structures differ; got {} {} and {} {}", na, ta.str(), nb, tb.str());
  };
  if (a.parameters.size() != b.parameters.size() || a.buffers.size() != b.buffers.size())
    throw ShapeError("copy_values: {} and {} tensors", a.parameters.size() + a.buffers.size(),
                     b.parameters.size() + b.buffers.size());
  for (std::size_t i = 0; i < a.parameters.size(); ++i) {
    Parameter &p = *a.parameters[i].parameter, &q = *b.parameters[i].parameter;
    check(a.parameters[i].name, p.value, b.parameters[i].name, q.value);
    assign_(p.value, q.value, "copy_values");
    if (p.shadow.defined()) assign_(p.shadow, p.value, "copy_values");
  }
  for (std::size_t i = 0; i < a.buffers.size(); ++i) {
    check(a.buffers[i].name, a.buffers[i].buffer->value, b.buffers[i].name, b.buffers[i].buffer->value);
    assign_(a.buffers[i].buffer->value, b.buffers[i].buffer->value, "copy_values");
  }
}

void move_to(Module& m, Device device) {
  Collector c;
  m.visit(c);
  for (const auto& p : c.parameters) {
    p.parameter->value = to(p.parameter->value, device);
    p.parameter->shadow = to(p.parameter->shadow, device);
  }
  for (const auto& b : c.buffers) b.buffer->value = to(b.buffer->value, device);
}

void convert(Module& m, DType dtype) {
  Collector c;
  m.visit(c);
  for (const auto& p : c.parameters) {
    p.parameter->value = converted(p.parameter->value, dtype);
    p.parameter->shadow = {};
  }
  for (const auto& b : c.buffers) b.buffer->value = converted(b.buffer->value, dtype);
}

void set_shadows(Module& m, DType dtype) {
  for (const auto& [name, p] : parameters_of(m))
    p->shadow = size_of(dtype) == 2 && !p->master_only ? converted(p->value, dtype) : Tensor();
}

int set_trainable(Module& m, std::string_view glob, bool trainable) {
  int matched = 0;
  const std::string pattern(glob);
  for (const auto& p : parameters_of(m))
    if (fnmatch(pattern.c_str(), p.name.c_str(), 0) == 0) {
      p.parameter->trainable = trainable;
      ++matched;
    }
  return matched;
}

}  // namespace retort

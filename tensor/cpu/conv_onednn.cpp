// tensor/cpu/conv_onednn.cpp -- convolution pieces as oneDNN primitives made for one thread.
#include "tensor/cpu/conv_kernels.h"
#include "tensor/cpu/scratch.h"
#include "tensor/cpu/tasks.h"
#include "tensor/error.h"

#ifdef RETORT_HAVE_ONEDNN
#include <algorithm>
#include <memory>

#include "tensor/cpu/onednn.h"

namespace retort::cpu::onednn {
namespace {

using dnnl::memory;
using Md = memory::desc;

struct Key {
  ConvPiece piece;
  ConvKind kind;
  DType dtype;
  bool bias;
  auto operator<=>(const Key&) const = default;
};

/// A primitive and the layouts it wants. `weights` is what the library likes best for this piece.
struct PieceConv {
  dnnl::primitive primitive;
  Md x, y, weights, bias, scratch;
};

/// Entries for the axes of the piece: two spatial ones, or three when the piece has depth.
bool has_depth(const ConvPiece& p) {
  return p.d.size != 1 || p.d.out != 1 || p.d.kernel != 1 || p.d.pad_begin != 0 || p.d.pad_end != 0;
}
template <class F>
memory::dims per_axis(const ConvPiece& p, memory::dims dims, const F& f) {
  if (has_depth(p)) dims.push_back(f(p.d));
  dims.push_back(f(p.h));
  dims.push_back(f(p.w));
  return dims;
}

memory::dims weight_dims(const ConvPiece& p) {
  const auto kernel = [](const PieceAxis& a) { return a.kernel; };
  if (p.groups == 1) return per_axis(p, {p.o, p.c}, kernel);
  return per_axis(p, {p.groups, p.o / p.groups, p.c / p.groups}, kernel);
}

/// O[D]HWI as the user holds it.
Md plain_weights(const ConvPiece& p, DType dtype) {
  using tag = memory::format_tag;
  const tag plain = p.groups == 1 ? tag::ohwi : tag::gohwi, deep = p.groups == 1 ? tag::odhwi : tag::godhwi;
  return {weight_dims(p), type_of(dtype), has_depth(p) ? deep : plain};
}

PieceConv create(const Key& key) {
  const ConvPiece& p = key.piece;
  const auto type = type_of(key.dtype);
  const auto pixels = has_depth(p) ? memory::format_tag::ndhwc : memory::format_tag::nhwc;
  PieceConv made;
  made.x = Md(per_axis(p, {p.n, p.c}, [](const PieceAxis& a) { return a.size; }), type, pixels);
  made.y = Md(per_axis(p, {p.n, p.o}, [](const PieceAxis& a) { return a.out; }), type, pixels);
  const Md any(weight_dims(p), type, memory::format_tag::any);
  if (key.bias) made.bias = Md({p.o}, type, memory::format_tag::a);
  const memory::dims strides = per_axis(p, {}, [](const PieceAxis& a) { return a.stride; });
  const memory::dims dilates = per_axis(p, {}, [](const PieceAxis& a) { return a.dilation - 1; });
  const memory::dims begin = per_axis(p, {}, [](const PieceAxis& a) { return a.pad_begin; });
  const memory::dims end = per_axis(p, {}, [](const PieceAxis& a) { return a.pad_end; });
  const auto direct = dnnl::algorithm::convolution_direct;
  const auto attr = user_scratchpad();
  // Blocking is chosen here by the number of threads seen; a primitive made for several waits for them for ever.
  const SingleThreaded scope;
  const auto desc = [&](auto... operands) {
    return dnnl::convolution_forward::desc(dnnl::prop_kind::forward_training, direct, operands..., strides, dilates,
                                           begin, end);
  };
  const dnnl::convolution_forward::primitive_desc forward(
      key.bias ? desc(made.x, any, made.bias, made.y) : desc(made.x, any, made.y), attr, cpu_engine());
  // `made` takes over what the library likes best.
  const auto take = [&](const auto& chosen, const Md& weights, auto primitive) {
    made.weights = weights;
    made.scratch = chosen.scratchpad_desc();
    made.primitive = primitive;
  };
  if (key.kind == ConvKind::forward) {
    take(forward, forward.weights_desc(), dnnl::convolution_forward(forward));
  } else if (key.kind == ConvKind::backward_data) {
    const dnnl::convolution_backward_data::primitive_desc backward(
        {direct, made.x, any, made.y, strides, dilates, begin, end}, attr, cpu_engine(), forward);
    take(backward, backward.weights_desc(), dnnl::convolution_backward_data(backward));
  } else {
    const Md sums(weight_dims(p), memory::data_type::f32, memory::format_tag::any);
    const dnnl::convolution_backward_weights::primitive_desc backward(
        {direct, made.x, sums, made.y, strides, dilates, begin, end}, attr, cpu_engine(), forward);
    take(backward, backward.diff_weights_desc(), dnnl::convolution_backward_weights(backward));
  }
  return made;
}

std::shared_ptr<const PieceConv> find_or_create(const Key& key) {
  thread_local PrimitiveCache<Key, PieceConv> cache;
  return cache.get(key, create);
}

/// Weights in every layout the pieces want (as a rule one), reordered once per call by all threads: copies are exact.
struct PackedWeights {
  Md layout;
  std::unique_ptr<ScratchBytes> data;
};

struct Bound {
  std::vector<std::shared_ptr<const PieceConv>> convs;
  std::vector<std::size_t> packed_index;
  std::vector<PackedWeights> packed;
  const void* bias = nullptr;
};

void run(const PieceConv& conv, std::unordered_map<int, memory>& arguments) {
  const ScratchBytes scratch(static_cast<std::int64_t>(conv.scratch.get_size()));
  arguments.insert({DNNL_ARG_SCRATCHPAD, view(conv.scratch, scratch.data())});
  conv.primitive.execute(cpu_stream(), arguments);
}

}  // namespace

bool native(DType dtype) { return dtype == DType::f32 || (dtype == DType::bf16 && has_bf16_products()); }

PieceKernel bind(const std::vector<PlacedPiece>& pieces, ConvKind kind, DType dtype, const void* w, const void* bias) {
  return guarded("conv", [&] {
    auto bound = std::make_shared<Bound>();
    bound->bias = bias;
    for (const PlacedPiece& placed : pieces) {
      const auto& conv = bound->convs.emplace_back(find_or_create({placed.piece, kind, dtype, bias != nullptr}));
      std::size_t i = 0;
      while (i < bound->packed.size() && bound->packed[i].layout != conv->weights) ++i;
      if (i == bound->packed.size()) {
        auto data = std::make_unique<ScratchBytes>(static_cast<std::int64_t>(conv->weights.get_size()));
        reorder(plain_weights(placed.piece, dtype), w, conv->weights, data->data());
        bound->packed.push_back({conv->weights, std::move(data)});
      }
      bound->packed_index.push_back(i);
    }
    const bool forward = kind == ConvKind::forward;
    return PieceKernel([bound, forward](std::size_t index, const void* in, const void*, void* out) {
      guarded("conv", [&] {
        const PieceConv& conv = *bound->convs[index];
        std::unordered_map<int, memory> arguments{
            {forward ? DNNL_ARG_SRC : DNNL_ARG_DIFF_DST, view(forward ? conv.x : conv.y, in)},
            {DNNL_ARG_WEIGHTS, view(conv.weights, bound->packed[bound->packed_index[index]].data->data())},
            {forward ? DNNL_ARG_DST : DNNL_ARG_DIFF_SRC, view(forward ? conv.y : conv.x, out)}};
        if (bound->bias != nullptr) arguments.insert({DNNL_ARG_BIAS, view(conv.bias, bound->bias)});
        run(conv, arguments);
      });
    });
  });
}

BoundWeightGradient bind_weight_gradient(const std::vector<PlacedPiece>& pieces, DType dtype) {
  return guarded("conv", [&] {
    auto bound = std::make_shared<Bound>();
    for (const PlacedPiece& placed : pieces)
      bound->convs.push_back(find_or_create({placed.piece, ConvKind::backward_weights, dtype, false}));
    // Partial sums must agree in layout. Pieces that differ in one extent only agree by themselves; else all go through
    // the first one's layout.
    const Md layout = bound->convs.front()->weights;
    const auto execute = [bound, layout](std::size_t index, const void* x, const void* dy, void* partial) {
      guarded("conv", [&] {
        const PieceConv& conv = *bound->convs[index];
        const bool direct = conv.weights == layout;
        const ScratchBytes own(direct ? 0 : static_cast<std::int64_t>(conv.weights.get_size()));
        std::unordered_map<int, memory> arguments{
            {DNNL_ARG_SRC, view(conv.x, x)},
            {DNNL_ARG_DIFF_DST, view(conv.y, dy)},
            {DNNL_ARG_DIFF_WEIGHTS, view(conv.weights, direct ? partial : own.data())}};
        run(conv, arguments);
        if (!direct) reorder(conv.weights, own.data(), layout, partial);
      });
    };
    const ConvPiece piece = pieces.front().piece;
    return BoundWeightGradient{execute, static_cast<std::int64_t>(layout.get_size() / sizeof(float)),
                               [layout, piece](const void* sum, void* dw) {
                                 guarded("conv", [&] { reorder(layout, sum, plain_weights(piece, DType::f32), dw); });
                               }};
  });
}

Needs needs(const std::vector<PlacedPiece>& pieces, ConvKind kind, DType dtype) {
  return guarded("conv", [&] {
    Needs total{0, 0};
    std::vector<Md> layouts;
    for (const PlacedPiece& placed : pieces) {
      const auto conv = find_or_create({placed.piece, kind, dtype, false});
      total.workspace = std::max(total.workspace, static_cast<std::int64_t>(conv->scratch.get_size()));
      if (std::find(layouts.begin(), layouts.end(), conv->weights) != layouts.end()) continue;
      layouts.push_back(conv->weights);
      total.weights += static_cast<std::int64_t>(conv->weights.get_size());
    }
    return total;
  });
}

}  // namespace retort::cpu::onednn

#else

namespace retort::cpu::onednn {

bool native(DType) { return false; }
PieceKernel bind(const std::vector<PlacedPiece>&, ConvKind, DType, const void*, const void*) {
  throw ConfigError("conv: this build has no oneDNN; got Engine::onednn");
}
BoundWeightGradient bind_weight_gradient(const std::vector<PlacedPiece>&, DType) {
  throw ConfigError("conv: this build has no oneDNN; got Engine::onednn");
}

Needs needs(const std::vector<PlacedPiece>&, ConvKind, DType) {
  throw ConfigError("conv: this build has no oneDNN; got Engine::onednn");
}

}  // namespace retort::cpu::onednn
#endif

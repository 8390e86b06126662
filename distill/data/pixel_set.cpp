#include "distill/data/pixel_set.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/image.h"
#include "autograd/ops/index.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/shape.h"
#include "tensor/transfer.h"
#include "tensor/write.h"

namespace retort {

namespace {
using Labels = PixelSetConfig::Labels;
constexpr std::pair<std::string_view, Labels> kLabels[] = {
    {"hard", Labels::hard}, {"soft", Labels::soft}, {"vectors", Labels::vectors}};

Shape stacked(std::int64_t n, const Shape& image) {
  Shape shape{n};
  for (int i = 0; i < image.rank(); ++i) shape.push_back(image[i]);
  return shape;
}

/// [m, C, H, W] -> [m f^2, C, H, W]: the tiles of every image, tile after tile, each enlarged to the whole extent.
Tensor decoded(const Tensor& x, std::int64_t f) {
  const std::int64_t h = x.size(2), w = x.size(3);
  Tensors tiles;
  for (std::int64_t i = 0; i < f; ++i)
    for (std::int64_t j = 0; j < f; ++j) {
      const Tensor rows = slice(x, 2, i * h / f, (i + 1) * h / f);
      tiles.push_back(resize2d(slice(rows, 3, j * w / f, (j + 1) * w / f), h, w));
    }
  return concat(tiles, 0);
}

Tensor repeated(const Tensor& t, std::int64_t times) {
  return times == 1 || !t.defined() ? t : concat(Tensors(static_cast<std::size_t>(times), t), 0);
}

bool flag(CallArgs& args, const std::string& name) {
  const Call given{args.word(name, "false"), {}, name};
  return lookup(std::map<std::string, bool>{{"false", false}, {"true", true}}, given, "truth value");
}
}  // namespace

PixelSet::PixelSet(const PixelSetConfig& how)
    : config(how), x(stacked(how.classes * how.per_class, how.image), Init::normal(1), false) {
  if (how.image.rank() != 3) throw ConfigError("pixels: an image has the shape [C, H, W]; got {}", how.image.str());
  if (how.image[1] % how.decode != 0 || how.image[2] % how.decode != 0)
    throw ConfigError("pixels: decode={} does not divide images of {}", how.decode, how.image.str());
  if (how.labels != Labels::hard) y = Parameter({slots(), how.label_size}, Init::constant(0), false);
  if (how.lr) lr = Parameter({1}, Init::constant(*how.lr), false);
  if (how.shared) {
    shift = Parameter(stacked(1, how.image), Init::constant(0), false);
    x.trainable = false;
  }
  if (how.masked) mask = Buffer(Tensor::full({slots(), 1, how.image[1], how.image[2]}, 1));
  low = Buffer(Tensor::full({how.image[0]}, -1e30));
  high = Buffer(Tensor::full({how.image[0]}, 1e30));
}

Tensor PixelSet::labels() const {
  if (x.value.meta()) return Tensor::empty({slots()}, DType::i64, x.value.device());
  std::vector<std::int64_t> classes;
  for (std::int64_t i = 0; i < slots(); ++i) classes.push_back(i / config.per_class);
  return Tensor::of<std::int64_t>(classes, {slots()});
}

SetRows PixelSet::rows(const Tensor& chosen, Ctx& ctx) const {
  const auto pick = [&](const Tensor& t) { return chosen.defined() ? index_select(t, 0, chosen) : t; };
  SetRows r{pick(ctx(x)), pick(labels()), {}};
  if (config.masked) {
    const Tensor share = pick(mask.value);
    r.x = r.x * share + stop_gradient(r.x) * (1.0 - share);
  }
  if (config.labels != Labels::hard) {
    r.target = pick(ctx(y));
    if (config.labels == Labels::soft) r.target = softmax(r.target, 1);
  }
  if (config.shared) r.x = r.x + ctx(shift);
  const std::int64_t tiles = config.decode * config.decode, copies = config.flip ? 2 * tiles : tiles;
  if (tiles > 1) r.x = decoded(r.x, config.decode);
  if (config.flip) r.x = concat(Tensors{r.x, flip(r.x, {3})}, 0);
  r.label = repeated(r.label, copies);
  r.target = repeated(r.target, copies);
  return r;
}

void PixelSet::clip() {
  Parameter& moved = config.shared ? shift : x;
  if (moved.value.meta()) return;
  const Shape channel{1, config.image[0], 1, 1};
  const Tensor bottom = reshape(low.value, channel), top = reshape(high.value, channel);
  const DType dtype = moved.value.dtype();
  assign_(moved.value, minimum(maximum(moved.value, cast(bottom, dtype)), cast(top, dtype)), "clip");
}

void PixelSet::set_plain_labels() {
  if (config.labels == Labels::hard || x.value.meta()) return;
  const bool soft = config.labels == Labels::soft;
  const double share = soft ? 0 : 1.0 / static_cast<double>(config.label_size), one = soft ? 10 : 1;
  std::vector<double> values;
  for (const std::int64_t label : labels().values<std::int64_t>())
    for (std::int64_t k = 0; k < config.label_size; ++k) values.push_back((k == label ? one : 0) - share);
  assign_(y.value, Tensor::from(values, y.value.shape(), y.value.dtype()), "labels");
}

Tensor PixelSet::forward(const Tensor& input, Ctx& ctx) const {
  const std::int64_t n = input.shape()[0];
  if (input.meta()) return index_select(ctx(x), 0, Tensor::empty({n}, DType::i64, input.device()));
  std::vector<std::int64_t> chosen;
  if (ctx.samples.defined())
    chosen = ctx.samples.values<std::int64_t>();
  else
    for (std::int64_t i = 0; i < n; ++i) chosen.push_back(i);
  for (std::int64_t& i : chosen) i %= slots();
  return index_select(ctx(x), 0, to(Tensor::of<std::int64_t>(chosen, {n}), x.value.device()));
}

std::string PixelSet::arch() const {
  std::string labels = "hard";
  for (const auto& [name, kind] : kLabels)
    if (kind == config.labels) labels = name;
  const Shape& s = config.image;
  const std::string rate = config.lr ? fmt::format(" lr={}", *config.lr) : "";
  return fmt::format(
      "pixels(ipc={} labels={} label_size={}{} decode={} flip={} masked={} shared={} classes={} channels={} height={} "
      "width={})",
      config.per_class, labels, config.label_size, rate, config.decode, config.flip, config.masked, config.shared,
      config.classes, s[0], s[1], s[2]);
}

void PixelSet::visit(Visitor& v) {
  v("x", x);
  if (y.value.defined()) v("y", y);
  if (lr.value.defined()) v("lr", lr);
  if (shift.value.defined()) v("shift", shift);
  if (config.masked) v("mask", mask);
  v("low", low);
  v("high", high);
}

std::unique_ptr<Model> build_pixels(CallArgs& args, const PixelSetConfig& sized) {
  constexpr IntBounds kSize{.min = 1};
  PixelSetConfig c = sized;
  c.per_class = args.integer("ipc", 1, kSize);
  const std::map<std::string, Labels> kinds(std::begin(kLabels), std::end(kLabels));
  c.labels = lookup(kinds, Call{args.word("labels", "hard"), {}, "labels"}, "kind of labels");
  const auto label_size = args.integer("label_size", 0, {.min = 0});
  if (const auto rate = args.optional_call("lr")) {
    if (!rate->number()) rate->fail("expected the first learning rate");
    c.lr = *rate->number();
  }
  c.decode = args.integer("decode", 1, kSize);
  c.flip = flag(args, "flip");
  c.masked = flag(args, "masked");
  c.shared = flag(args, "shared");
  c.classes = args.integer("classes", c.classes, kSize);
  for (int i = 0; i < 3; ++i)
    c.image[i] = args.integer(i == 0 ? "channels" : i == 1 ? "height" : "width", c.image[i], kSize);
  c.label_size = label_size > 0 ? label_size : c.classes;
  return std::make_unique<PixelSet>(c);
}

}  // namespace retort

// distill/data/pixel_set.h -- a small labelled set whose images are parameters: what data-set distillation trains.
#pragma once
#include <map>
#include <optional>

#include "distill/train/call.h"
#include "nn/model.h"

namespace retort {

struct PixelSetConfig {
  std::int64_t classes = 10, per_class = 1;
  Shape image;  ///< [C, H, W]
  /// hard: the class of the slot; soft: softmax of learned logits; vectors: learned as they are.
  enum class Labels : std::uint8_t { hard, soft, vectors } labels = Labels::hard;
  std::int64_t label_size = 10;  ///< of soft labels and vectors
  std::optional<double> lr;      ///< a learning rate for training on the set, learned with it; the first value
  std::int64_t decode = 1;       ///< f: an image is stored as f x f small ones (Kim et al. 2022, 2205.14959)
  bool flip = false;             ///< every image is seen with its mirror image (FYI, Son et al. 2024, 2407.08113)
  bool masked = false;           ///< gradients reach a pixel times the buffer `mask` (NRR-DD, 2503.18267)
  bool shared = false;           ///< the images stay; one perturbation of all of them is learned (INFER, 2408.06927)
};

/// Some of the set's images as a network sees them.
struct SetRows {
  Tensor x;       ///< [m, C, H, W]
  Tensor label;   ///< i64 [m], the class of the slot
  Tensor target;  ///< [m, label_size]: soft labels or vectors; undefined for hard labels
};

/// `per_class` slots for each class, class after class. Parameters x [n, C, H, W]; y [n, label_size], lr [1] and shift
/// [1, C, H, W] where the configuration asks for them. As a Model it shows slot i modulo n for sample i.
struct PixelSet final : Model {
  PixelSetConfig config;
  Parameter x, y, lr, shift;
  Buffer mask;       ///< [n, 1, H, W], of a masked set
  Buffer low, high;  ///< [C]: what a black and a white pixel are; see clip

  /// Throws ConfigError when `decode` does not divide the image.
  explicit PixelSet(const PixelSetConfig& how);
  std::int64_t slots() const { return config.classes * config.per_class; }
  /// The class of every slot, i64 [n].
  Tensor labels() const;
  /// The given slots, i64 [k] (undefined: all), decoded and mirrored: k, k f^2 or 2 k f^2 images.
  SetRows rows(const Tensor& chosen, Ctx& ctx) const;
  /// Puts every pixel back between black and white.
  void clip();
  /// One-hot vectors for learned labels: logits of 10 and 0, or 1 - 1/K and -1/K.
  void set_plain_labels();

  Tensor forward(const Tensor& x, Ctx& ctx) const override;
  std::unique_ptr<Model> clone() const override { return std::make_unique<PixelSet>(*this); }
  std::string arch() const override;
  void visit(Visitor& v) override;
};

/// pixels(ipc=1 labels=hard|soft|vectors label_size=CLASSES lr=.01 decode=1 flip=false masked=false shared=false
/// classes= channels= height= width=); extents are those of the job's data unless the call says otherwise.
std::unique_ptr<Model> build_pixels(CallArgs& args, const PixelSetConfig& sized);

}  // namespace retort

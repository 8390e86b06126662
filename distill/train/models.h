// distill/train/models.h -- architectures by name: what `models.NAME.arch` and checkpoints' `arch` may say.
#pragma once
#include "distill/train/call.h"
#include "nn/denoiser.h"
#include "nn/model.h"

namespace retort {

/// Sizes that a data set fixes, for arguments an architecture leaves out.
struct ModelSizes {
  std::int64_t channels = 1, height = 1, width = 1, classes = 1;
};

/// The architecture `call` names, with undefined weights' place filled by zeros: convnet(widths=32x64x128 depth=2
/// norm=group act=relu dropout=0), plain_convnet(width=128 depth=3 norm=instance), mlp(widths=256x256 act=relu
/// dropout=0), resnet(depth=50 stride=second|first), vit(image=224x160 patch=16 width=192 depth=12 heads=3 registers=0
/// pool=token|avg|token_avg|none norm=tokens|pooled act=gelu|swiglu resample=none|bicubic|antialias ..), mae(patch=16
/// width=768 depth=12 heads=12 decoder_width=512 decoder_depth=8 decoder_heads=16 target=0 mask=.75 views=1), deit(..)
/// and dinov2(..) as vit, sizes of them as vit_tiny to vit_large and deit_*, gpt2(vocab=50257 context=1024 width=768
/// depth=12 heads=12), affine(size=2 shift=0 scale=1), image(d1 d2 .. particles=1 std=1), pixels(ipc=1 ..), llama(..
/// kv_heads=4 hidden=2048 head=tied window=0 bias=none|qkv|attn qk_norm=none|head head_width=64 rotary_base=10000
/// rotary=linear(..)|llama3(..)|yarn(..)), bert(vocab=30522 context=512 width=768 depth=12 heads=12
/// pool=none|mean|first|pooler norm=none|unit), roberta(..), clip_text(width=512 end=largest|ID project=512
/// norm=none|unit scale=none|learned), clip_vision(patch=32 ..), table(vocab=16 order=1 spread=1). Throws ConfigError
/// naming the nearest.
std::unique_ptr<Model> build_model(const Call& call, const ModelSizes& sizes);

/// The same for denoisers: dit(image=32 patch=2 in=4 out=8 classes=1000 width=384 depth=12 heads=6 times=1), dit_small,
/// dit_base, dit_large and dit_xl, unet(image=32 in=3 width=128 mult=1x2x2x2 blocks=4 attention=16), and
/// edm(net=unet(..) sigma_data=0.5), which wraps one.
/// gaussian(m1 m2 .. std=1 schedule=vp) and mixture(at(m1 ..) at(..) std=1 schedule=vp) are closed forms.
bool is_denoiser(const Call& call);
std::unique_ptr<Denoiser> build_denoiser(const Call& call, const ModelSizes& sizes);

}  // namespace retort

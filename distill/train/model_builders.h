// distill/train/model_builders.h -- how call expressions become configurations, for the architectures that fill a file.
#pragma once
#include "distill/train/models.h"
#include "nn/models/vit.h"

namespace retort {

std::unique_ptr<Model> build_convnet(CallArgs& args, const ModelSizes& sizes);
std::unique_ptr<Model> build_plain_convnet(CallArgs& args, const ModelSizes& sizes);
std::unique_ptr<Model> build_resnet_cifar(CallArgs& args, const ModelSizes& sizes);
std::unique_ptr<Model> build_resnet(CallArgs& args, const ModelSizes& sizes);
std::unique_ptr<Model> build_wrn(CallArgs& args, const ModelSizes& sizes);
std::unique_ptr<Model> build_vgg(CallArgs& args, const ModelSizes& sizes);
std::unique_ptr<Model> build_mobilenet_v2(CallArgs& args, const ModelSizes& sizes);
std::unique_ptr<Model> build_mobilenet_v2_cifar(CallArgs& args, const ModelSizes& sizes);
std::unique_ptr<Model> build_shufflenet_v1(CallArgs& args, const ModelSizes& sizes);
std::unique_ptr<Model> build_shufflenet_v2(CallArgs& args, const ModelSizes& sizes);

/// vit(...) and deit(...): what the call leaves out is as in `named`.
std::unique_ptr<Model> build_vit(CallArgs& args, const ModelSizes& sizes, VitConfig named);
std::unique_ptr<Model> build_mae(CallArgs& args, const ModelSizes& sizes);
std::unique_ptr<Model> build_gpt2(CallArgs& args, const ModelSizes& sizes);
std::unique_ptr<Model> build_bert(CallArgs& args, const ModelSizes& sizes);
std::unique_ptr<Model> build_clip_text(CallArgs& args, const ModelSizes& sizes);
std::unique_ptr<Model> build_clip_vision(CallArgs& args, const ModelSizes& sizes);
std::unique_ptr<Model> build_roberta(CallArgs& args, const ModelSizes& sizes);
std::unique_ptr<Model> build_llama(CallArgs& args, const ModelSizes& sizes);

}  // namespace retort

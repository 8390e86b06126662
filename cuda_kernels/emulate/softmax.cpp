// cuda_kernels/emulate/softmax.cpp -- the kernels of softmax.cu for the emulator.
#include "cuda_kernels/softmax.cu"

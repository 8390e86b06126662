// cuda_kernels/emulate/embedding.cpp -- the kernels of embedding.cu for the emulator.
#include "cuda_kernels/embedding.cu"

// cuda_kernels/emulate/elementwise_unary.cpp -- the kernels of elementwise_unary.cu for the emulator.
#include "cuda_kernels/elementwise_unary.cu"

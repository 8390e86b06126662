// cuda_kernels/emulate/elementwise_binary.cpp -- the kernels of elementwise_binary.cu for the emulator.
#include "cuda_kernels/elementwise_binary.cu"

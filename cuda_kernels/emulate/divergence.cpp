// cuda_kernels/emulate/divergence.cpp -- the kernels of divergence.cu for the emulator.
#include "cuda_kernels/divergence.cu"

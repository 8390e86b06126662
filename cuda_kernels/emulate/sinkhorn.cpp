// cuda_kernels/emulate/sinkhorn.cpp -- the kernels of sinkhorn.cu for the emulator.
#include "cuda_kernels/sinkhorn.cu"

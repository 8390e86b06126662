// cuda_kernels/emulate/gemm.cpp -- the kernels of gemm.cu for the emulator.
#include "cuda_kernels/gemm.cu"

// cuda_kernels/emulate/reduce.cpp -- the kernels of reduce.cu for the emulator.
#include "cuda_kernels/reduce.cu"

// cuda_kernels/emulate/attention.cpp -- the kernels of attention.cu for the emulator.
#include "cuda_kernels/attention.cu"

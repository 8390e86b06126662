// cuda_kernels/emulate/norm.cpp -- the kernels of norm.cu for the emulator.
#include "cuda_kernels/norm.cu"

// cuda_kernels/emulate/distance.cpp -- the kernels of distance.cu for the emulator.
#include "cuda_kernels/distance.cu"

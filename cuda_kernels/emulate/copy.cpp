// cuda_kernels/emulate/copy.cpp -- the kernels of copy.cu for the emulator.
#include "cuda_kernels/copy.cu"

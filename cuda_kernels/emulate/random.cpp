// cuda_kernels/emulate/random.cpp -- the kernels of random.cu for the emulator.
#include "cuda_kernels/random.cu"

// cuda_kernels/emulate/optimizer.cpp -- the kernels of optimizer.cu for the emulator.
#include "cuda_kernels/optimizer.cu"

// cuda_kernels/emulate/write.cpp -- the kernels of write.cu for the emulator.
#include "cuda_kernels/write.cu"

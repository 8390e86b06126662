// cuda_kernels/emulate/sort.cpp -- the kernels of sort.cu for the emulator.
#include "cuda_kernels/sort.cu"

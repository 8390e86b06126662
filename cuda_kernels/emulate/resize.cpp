// cuda_kernels/emulate/resize.cpp -- the kernels of resize.cu for the emulator.
#include "cuda_kernels/resize.cu"

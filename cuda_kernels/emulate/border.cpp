// cuda_kernels/emulate/border.cpp -- the kernels of border.cu for the emulator.
#include "cuda_kernels/border.cu"

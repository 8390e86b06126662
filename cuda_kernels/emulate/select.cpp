// cuda_kernels/emulate/select.cpp -- the kernels of select.cu for the emulator.
#include "cuda_kernels/select.cu"

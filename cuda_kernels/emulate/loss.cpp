// cuda_kernels/emulate/loss.cpp -- the kernels of loss.cu for the emulator.
#include "cuda_kernels/loss.cu"

// cuda_kernels/emulate/rotary.cpp -- the kernels of rotary.cu for the emulator.
#include "cuda_kernels/rotary.cu"

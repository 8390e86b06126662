// cuda_kernels/emulate/scan.cpp -- the kernels of scan.cu for the emulator.
#include "cuda_kernels/scan.cu"

// cuda_kernels/emulate/group_norm.cpp -- the kernels of group_norm.cu for the emulator.
#include "cuda_kernels/group_norm.cu"

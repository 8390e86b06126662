// cuda_kernels/emulate/along_axis.cpp -- the kernels of along_axis.cu for the emulator.
#include "cuda_kernels/along_axis.cu"

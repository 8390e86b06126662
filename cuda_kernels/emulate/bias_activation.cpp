// cuda_kernels/emulate/bias_activation.cpp -- the kernels of bias_activation.cu for the emulator.
#include "cuda_kernels/bias_activation.cu"

// cuda_kernels/arguments.h -- what a launch tells about a kernel's arguments: their bytes, by which it is compared.
#pragma once
#include <cstddef>
#include <type_traits>

namespace retort::kernels {

/// Whether two values of P are equal when their bytes are: P has no padding, as whoever records launches (recorder.h)
/// compares bytes. Structs with floating members, of which the compiler cannot tell, say so themselves.
template <class P>
inline constexpr bool kBytesTell =
    std::is_scalar_v<P> || std::is_empty_v<P> || std::has_unique_object_representations_v<P>;

/// Bytes of an argument that mean something; 0 for a struct without members.
template <class P>
inline constexpr std::size_t kArgumentBytes = std::is_empty_v<P> ? 0 : sizeof(P);

}  // namespace retort::kernels

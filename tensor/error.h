// tensor/error.h -- the typed errors of the whole library. A message reads `where: what was wrong; got ...; hint`.
#pragma once
#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <string_view>

namespace retort {

/// Base of every error thrown by Retort. `kind()` names the class for reports; `exit_code()` is what the CLI returns.
class Error : public std::runtime_error {
 public:
  Error(std::string_view kind, int exit_code, const std::string& message)
      : std::runtime_error(message), kind_(kind), exit_code_(exit_code) {}
  std::string_view kind() const noexcept { return kind_; }
  int exit_code() const noexcept { return exit_code_; }

 private:
  std::string_view kind_;
  int exit_code_;
};

#define RETORT_ERROR_CLASS(Name, code)                                                              \
  class Name : public Error {                                                                       \
   public:                                                                                          \
    explicit Name(const std::string& message) : Error(#Name, code, message) {}                      \
    template <class... Args>                                                                        \
    requires(sizeof...(Args) > 0) explicit Name(fmt::format_string<Args...> format, Args&&... args) \
        : Error(#Name, code, fmt::format(format, std::forward<Args>(args)...)) {}                   \
  }

RETORT_ERROR_CLASS(ShapeError, 10);     ///< shapes do not fit the operation
RETORT_ERROR_CLASS(DTypeError, 11);     ///< dtypes mixed or not supported
RETORT_ERROR_CLASS(DeviceError, 12);    ///< tensors on different devices, or no kernel for this one
RETORT_ERROR_CLASS(AutogradError, 13);  ///< no rule, a saved value that was overwritten, a level that has ended
RETORT_ERROR_CLASS(ValueError, 14);     ///< an argument out of its range
RETORT_ERROR_CLASS(NumericError, 15);   ///< NaN or infinity where a finite value is required
RETORT_ERROR_CLASS(MemoryError, 16);    ///< the allocator could not serve a request
RETORT_ERROR_CLASS(IoError, 3);         ///< files: missing, truncated, damaged, full disk
RETORT_ERROR_CLASS(ConfigError, 2);     ///< job files, overrides and command lines
RETORT_ERROR_CLASS(CudaError, 17);      ///< CUDA, cuBLAS, cuDNN
RETORT_ERROR_CLASS(CommError, 18);      ///< collectives
RETORT_ERROR_CLASS(InternalError, 70);  ///< a broken invariant of Retort itself

#undef RETORT_ERROR_CLASS

}  // namespace retort

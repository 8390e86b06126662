// io/torch_pickle.h -- the tensors in a pickle of torch.save, wherever they are.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/pickle.h"
#include "io/tensor_file.h"

namespace retort {

/// A storage that a pickle refers to.
struct TorchStorage {
  std::string type;           ///< "HalfStorage"
  std::int64_t element = 0;   ///< bytes of an element; 0 for a type nobody here knows
  std::int64_t elements = 0;  ///< of the whole storage
};

/// A strided view of a storage. Every element lies inside.
struct TorchTensor {
  std::string name;  ///< the path, parts joined by dots; "tensor" for one saved alone
  std::string storage;
  DType dtype = DType::f32;
  std::int64_t offset = 0;  ///< of the first element, in elements
  Shape shape;
  Strides strides;  ///< in elements, not negative
};

struct TorchListing {
  std::map<std::string, TorchStorage, std::less<>> storages;  ///< by key
  std::vector<TorchTensor> tensors;                           ///< in the order of the pickle
  TextMap unreadable;                                         ///< path to reason
  TextMap scalars;                                            ///< texts and numbers in the outer dicts: "epoch" -> "3"
};

/// Lists what `torch.save` pickled. A container reached twice is entered once; a tensor reached twice is listed under
/// both names. Tensors with wrong arguments, elements outside their storage, two of one name, nesting beyond 200 levels
/// and names out of proportion to the pickle are IoErrors that begin with `where` and give the path.
TorchListing list_torch_tensors(const Pickle& pickle, const std::string& where);

}  // namespace retort

// distill/train/catalogue.cpp -- the list of published methods.
#include <sstream>

#include "distill/train/job.h"

namespace retort {

const std::string& catalogue_text();  // written by distill/methods/embed.sh

const std::map<std::string, CataloguedMethod>& method_catalogue() {
  static const std::map<std::string, CataloguedMethod> all = [] {
    std::map<std::string, CataloguedMethod> methods;
    std::istringstream lines(catalogue_text());
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with('#')) continue;
      std::istringstream fields(line);
      CataloguedMethod m;
      for (std::string* field : {&m.slug, &m.row, &m.family, &m.title}) std::getline(fields, *field, '\t');
      methods.emplace(m.slug, m);
    }
    return methods;
  }();
  return all;
}

}  // namespace retort

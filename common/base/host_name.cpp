#include "common/base/host_name.hpp"

#include "common/base/error.hpp"

#include <unistd.h>

namespace walgd {

std::string host_name() {
    char name[256] = {};
    if (::gethostname(name, sizeof name - 1) != 0) throw_errno("cannot get the host's name");
    return name;
}

} // namespace walgd

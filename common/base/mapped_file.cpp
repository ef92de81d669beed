#include "common/base/mapped_file.hpp"

#include "common/base/error.hpp"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

namespace walgd {

MappedFile::MappedFile(UniqueFd file, const std::string& path) {
    struct stat about{};
    if (::fstat(file.get(), &about) != 0) throw_errno(fmt::format("cannot look at {}", path));
    bytes_ = static_cast<std::size_t>(about.st_size);
    if (bytes_ == 0) return;
    start_ = ::mmap(nullptr, bytes_, PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (start_ == MAP_FAILED) throw_errno(fmt::format("cannot read {}", path));
    ::madvise(start_, bytes_, MADV_SEQUENTIAL);
}

MappedFile::~MappedFile() {
    if (bytes_ > 0) ::munmap(start_, bytes_);
}

} // namespace walgd

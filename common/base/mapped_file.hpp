#pragma once
#include "common/base/bytes.hpp"
#include "common/base/handles.hpp"

#include <string>

namespace walgd {

/// A file's content in memory that the kernel can take back at any time: WAL segments may have 1 GiB. The file must not be cut
/// meanwhile.
class MappedFile {
public:
    MappedFile(UniqueFd file, const std::string& path);
    ~MappedFile();
    MappedFile(const MappedFile&) = delete;
    ByteView view() const { return {static_cast<const std::byte*>(start_), bytes_}; }

private:
    void* start_ = nullptr;
    std::size_t bytes_ = 0;
};

} // namespace walgd

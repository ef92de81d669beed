#include "common/storage/file/attributes.hpp"

#include <array>
#include <fmt/format.h>
#include <string_view>
#include <sys/xattr.h>

namespace walgd::storage {

namespace {

constexpr std::string_view attribute_head = "user.walgd.";
constexpr std::size_t names_bytes_max = 4096, value_bytes_max = 1024;

} // namespace

void keep_metadata(int fd, const std::map<std::string, std::string>& metadata) {
    for (const auto& [name, value] : metadata)
        ::fsetxattr(fd, fmt::format("{}{}", attribute_head, name).c_str(), value.data(), value.size(), 0);
}

std::map<std::string, std::string> metadata_of(const std::string& path) {
    std::map<std::string, std::string> metadata;
    std::array<char, names_bytes_max> names;
    const auto bytes = ::listxattr(path.c_str(), names.data(), names.size());
    if (bytes <= 0) return metadata;
    std::string_view left(names.data(), static_cast<std::size_t>(bytes));
    for (auto end = left.find('\0'); end != left.npos; left.remove_prefix(end + 1), end = left.find('\0')) {
        const std::string name(left.substr(0, end));
        if (!name.starts_with(attribute_head)) continue;
        std::array<char, value_bytes_max> value;
        const auto length = ::getxattr(path.c_str(), name.c_str(), value.data(), value.size());
        if (length >= 0)
            metadata[name.substr(attribute_head.size())] = std::string(value.data(), static_cast<std::size_t>(length));
    }
    return metadata;
}

std::map<std::string, std::string> metadata_of(int fd) { return metadata_of(fmt::format("/proc/self/fd/{}", fd)); }

} // namespace walgd::storage

#include "common/base/files.hpp"

#include "common/base/error.hpp"

#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <unistd.h>

namespace walgd {

UniqueFd::~UniqueFd() {
    if (fd_ >= 0) ::close(fd_);
}

void UniqueFd::close(const std::string& path) {
    if (::close(release()) != 0 && errno != EINTR) throw_errno(fmt::format("cannot close {}", path));
}

UniqueFd open_file(const std::string& path, int flags, mode_t mode) {
    const int fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
    if (fd < 0) throw_errno(fmt::format("cannot open {}", path));
    return UniqueFd(fd);
}

namespace {

/// Nothing, with errno, where the folder takes none.
UniqueFd without_name(const std::string& folder) {
    UniqueFd unnamed(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (unnamed || (errno != EOPNOTSUPP && errno != EISDIR)) return unnamed;
    // File systems that know no files without a name.
    auto path = folder + "/walgd.XXXXXX";
    UniqueFd named(::mkostemp(path.data(), O_CLOEXEC));
    if (named && ::unlink(path.c_str()) != 0) throw_errno(fmt::format("cannot remove {}", path));
    return named;
}

} // namespace

UniqueFd unnamed_file_in(const std::string& folder) {
    auto file = without_name(folder);
    if (!file) throw_errno(fmt::format("cannot make a file in {}", folder));
    return file;
}

UniqueFd unnamed_file() {
    const auto given = std::getenv("TMPDIR");
    const std::string folder = given != nullptr && *given != '\0' ? given : "/tmp";
    auto file = without_name(folder);
    if (!file)
        throw Error(ErrorKind::failed, fmt::format("cannot make a temporary file in {}: {}", folder, std::strerror(errno)),
                    "TMPDIR names another folder; one that this user may write to, with some room");
    return file;
}

std::size_t read_some(int fd, MutableBytes into, const std::string& path) {
    std::size_t done = 0;
    while (done < into.size()) {
        const auto count = ::read(fd, into.data() + done, into.size() - done);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) throw_errno(fmt::format("cannot read {}", path));
        if (count == 0) break;
        done += static_cast<std::size_t>(count);
    }
    return done;
}

std::size_t read_at(int fd, MutableBytes into, std::uint64_t offset, const std::string& path) {
    std::size_t done = 0;
    while (done < into.size()) {
        const auto count = ::pread(fd, into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) throw_errno(fmt::format("cannot read {}", path));
        if (count == 0) break;
        done += static_cast<std::size_t>(count);
    }
    return done;
}

void write_all(int fd, ByteView bytes, const std::string& path) {
    while (!bytes.empty()) {
        const auto count = ::write(fd, bytes.data(), bytes.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) throw_errno(fmt::format("cannot write {}", path));
        bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
}

void write_all_at(int fd, ByteView bytes, std::uint64_t offset, const std::string& path) {
    while (!bytes.empty()) {
        const auto count = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) throw_errno(fmt::format("cannot write {}", path));
        bytes = bytes.subspan(static_cast<std::size_t>(count));
        offset += static_cast<std::uint64_t>(count);
    }
}

void sync_file(int fd, const std::string& path) {
    if (::fsync(fd) != 0) throw_errno(fmt::format("cannot fsync {}", path));
}

void sync_folder(const std::string& folder) {
    const auto fd = open_file(folder, O_RDONLY | O_DIRECTORY);
    sync_file(fd.get(), folder);
}

std::string read_text_file(const std::string& path, std::size_t bytes_max) {
    const auto fd = open_file(path, O_RDONLY);
    std::string text;
    std::byte chunk[16 << 10];
    while (const auto count = read_some(fd.get(), chunk, path)) {
        text += text_of({chunk, count});
        if (text.size() > bytes_max)
            throw Error(ErrorKind::misconfigured, fmt::format("{} is larger than {} bytes", path, bytes_max),
                        "is it the right file?");
    }
    return text;
}

std::string read_secret_file(const std::string& path) {
    constexpr std::size_t bytes_max = 1 << 20;
    const auto fd = open_file(path, O_RDONLY);
    // Its final place at once: a text that grows leaves copies behind.
    std::string text(bytes_max + 1, '\0');
    std::size_t used = 0;
    while (used <= bytes_max) {
        const auto room = std::as_writable_bytes(std::span(text)).subspan(used);
        const auto count = read_some(fd.get(), room, path);
        if (count == 0) break;
        used += count;
    }
    if (used > bytes_max)
        throw Error(ErrorKind::misconfigured, fmt::format("{} is larger than {} bytes", path, bytes_max),
                    "is it the right file?");
    text.resize(used);
    return text;
}

namespace {

/// With the process id at its end.
std::string temporary_prefix(const std::string& path) { return path + ".walgd."; }

} // namespace

void write_file_atomically(const std::string& path, ByteView bytes, mode_t mode) {
    const auto temporary = temporary_prefix(path) + std::to_string(::getpid());
    ::unlink(temporary.c_str());
    try {
        auto fd = open_file(temporary, O_WRONLY | O_CREAT | O_EXCL, mode);
        write_all(fd.get(), bytes, temporary);
        sync_file(fd.get(), temporary);
        fd.close(temporary);
        if (::rename(temporary.c_str(), path.c_str()) != 0) throw_errno(fmt::format("cannot rename {} to {}", temporary, path));
    } catch (...) {
        ::unlink(temporary.c_str());
        throw;
    }
    const auto folder = std::filesystem::path(path).parent_path();
    sync_folder(folder.empty() ? "." : folder.string());
}

void remove_unfinished_writes(const std::string& path) {
    namespace fs = std::filesystem;
    const fs::path prefix(temporary_prefix(path));
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(prefix.parent_path(), error)) {
        if (!entry.path().filename().string().starts_with(prefix.filename().string())) continue;
        if (::unlink(entry.path().c_str()) != 0 && errno != ENOENT)
            throw_errno(fmt::format("cannot remove {}", entry.path().string()));
    }
    if (error) throw Error(ErrorKind::failed, fmt::format("cannot list {}: {}", prefix.parent_path().string(), error.message()));
}

std::string existing_part(const std::string& path) {
    namespace fs = std::filesystem;
    fs::path part = path;
    while (!part.empty() && part != part.root_path() && !fs::exists(part)) part = part.parent_path();
    return part.empty() ? "." : part.string();
}

} // namespace walgd

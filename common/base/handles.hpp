#pragma once
#include <string>
#include <utility>

namespace walgd {

/// Makes a C library's free function the deleter of a unique_ptr that is as small as the pointer.
template <auto free_function> struct FreeWith {
    template <class T> void operator()(T* pointer) const noexcept { free_function(pointer); }
};

/// A file descriptor with one owner. The destructor closes and ignores errors: it is the way out, not the way to finish a file.
class UniqueFd {
public:
    UniqueFd() = default;
    explicit UniqueFd(int fd) : fd_(fd) {}
    UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    UniqueFd& operator=(UniqueFd&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~UniqueFd();

    int get() const { return fd_; }
    explicit operator bool() const { return fd_ >= 0; }
    int release() { return std::exchange(fd_, -1); }
    /// Closes now; throws Error(failed) naming `path` when the kernel reports a late write error.
    void close(const std::string& path);

private:
    int fd_ = -1;
};

} // namespace walgd

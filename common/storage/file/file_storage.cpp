#include "common/storage/file/file_storage.hpp"

#include "common/base/files.hpp"
#include "common/storage/file/attributes.hpp"
#include "common/storage/file/folder.hpp"

#include <algorithm>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

namespace walgd::storage {

namespace {

class FileReader : public ObjectReader {
public:
    FileReader(UniqueFd fd, std::string path, ObjectInfo info, std::uint64_t offset, std::uint64_t length,
               asio::any_io_executor pool)
        : fd_(std::move(fd)), path_(std::move(path)), info_(std::move(info)), offset_(offset), left_(length), pool_(pool) {}

    const ObjectInfo& info() const override { return info_; }

    awaitable<std::size_t> read(MutableBytes into) override {
        const auto wanted = into.first(static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), left_)));
        if (wanted.empty()) co_return 0;
        auto work = [this, wanted] { return read_at(fd_.get(), wanted, offset_, path_); };
        const auto count = co_await run_on(pool_, std::move(work));
        if (count != wanted.size())
            throw Error(ErrorKind::corrupt, fmt::format("{} became shorter while it was read", path_),
                        "is something else writing into the archive?");
        offset_ += count;
        left_ -= count;
        co_return count;
    }

private:
    UniqueFd fd_;
    std::string path_;
    ObjectInfo info_;
    std::uint64_t offset_, left_;
    asio::any_io_executor pool_;
};

class FileUpload : public Upload {
public:
    FileUpload(const Folder& folder, ObjectKey key, bool if_absent, Folder::Temporary temporary, asio::any_io_executor pool)
        : folder_(folder), key_(std::move(key)), if_absent_(if_absent), temporary_(std::move(temporary)), pool_(pool) {}
    ~FileUpload() override {
        if (temporary_.fd) ::unlink(temporary_.path.c_str());
    }

    awaitable<void> put_piece(int, std::uint64_t offset, ByteView bytes) override {
        auto work = [this, offset, bytes] { write_all_at(temporary_.fd.get(), bytes, offset, temporary_.path); };
        co_await run_on(pool_, std::move(work));
        pieces_[offset] = bytes.size();
    }

    awaitable<PutOutcome> complete() override {
        std::uint64_t end = 0;
        for (const auto& [offset, bytes] : pieces_) {
            if (offset != end)
                throw Error(ErrorKind::corrupt, fmt::format("the pieces of {} leave a gap at byte {}", key_.path(), end));
            end = offset + bytes;
        }
        auto work = [this] { return folder_.publish(std::move(temporary_), key_, if_absent_); };
        const auto outcome = co_await run_on(pool_, std::move(work));
        co_return outcome;
    }

    awaitable<void> abort() override {
        auto work = [this] {
            ::unlink(temporary_.path.c_str());
            temporary_ = {};
        };
        co_await run_on(pool_, std::move(work));
    }

private:
    const Folder& folder_;
    ObjectKey key_;
    bool if_absent_;
    Folder::Temporary temporary_;
    std::map<std::uint64_t, std::uint64_t> pieces_; ///< offset to length
    asio::any_io_executor pool_;
};

/// So that others, who wait for a thread, come in between.
constexpr std::uint64_t copied_at_once = 16 << 20;
constexpr std::size_t copy_buffer_bytes = 1 << 20;

/// A file being copied, for one thread at a time. A copy of its own: of a second link, damage would be in both.
class FileCopying {
public:
    FileCopying(UniqueFd from, std::string path, std::uint64_t bytes, Folder::Temporary temporary)
        : from_(std::move(from)), path_(std::move(path)), bytes_(bytes), temporary_(std::move(temporary)) {}
    FileCopying(FileCopying&&) = default;
    ~FileCopying() {
        if (temporary_.fd) ::unlink(temporary_.path.c_str());
    }

    bool is_done() const { return done_ == bytes_; }
    /// By the kernel, where it can; on some file systems that takes no room.
    void go_on() {
        const auto end = std::min(bytes_, done_ + copied_at_once);
        while (done_ < end) {
            auto from = static_cast<off_t>(done_), to = from;
            const auto count = ::copy_file_range(from_.get(), &from, temporary_.fd.get(), &to, end - done_, 0);
            if (count < 0 && errno == EINTR) continue;
            if (count <= 0) break;
            done_ += static_cast<std::uint64_t>(count);
        }
        if (done_ < end) copy_ourselves(end);
    }
    Folder::Temporary take() {
        keep_metadata(temporary_.fd.get(), metadata_of(from_.get()));
        return std::move(temporary_);
    }

private:
    void copy_ourselves(std::uint64_t end) {
        Blob buffer(copy_buffer_bytes);
        while (done_ < end) {
            const MutableBytes part(buffer.data(),
                                    static_cast<std::size_t>(std::min<std::uint64_t>(copy_buffer_bytes, end - done_)));
            if (read_at(from_.get(), part, done_, path_) != part.size())
                throw Error(ErrorKind::corrupt, fmt::format("{} became shorter while it was copied", path_),
                            "is something else writing into the archive?");
            write_all_at(temporary_.fd.get(), part, done_, temporary_.path);
            done_ += part.size();
        }
    }

    UniqueFd from_;
    std::string path_;
    std::uint64_t bytes_, done_ = 0;
    Folder::Temporary temporary_;
};

class FileStorage : public Storage {
public:
    FileStorage(std::string root, asio::any_io_executor pool) : folder_(std::move(root)), pool_(pool) {}

    std::string describe() const override { return folder_.root(); }

    awaitable<PutOutcome> put(ObjectKey key, ByteView body, PutOptions options) override {
        auto work = [this, key, body, options] {
            auto temporary = folder_.create_temporary();
            try {
                write_all(temporary.fd.get(), body, temporary.path);
                keep_metadata(temporary.fd.get(), options.metadata);
            } catch (...) {
                ::unlink(temporary.path.c_str());
                throw;
            }
            return folder_.publish(std::move(temporary), key, options.if_absent);
        };
        const auto outcome = co_await run_on(pool_, std::move(work));
        co_return outcome;
    }

    awaitable<std::unique_ptr<Upload>> start_upload(ObjectKey key, PutOptions options) override {
        auto work = [this, key, options] {
            folder_.path_of(key);
            auto temporary = folder_.create_temporary();
            keep_metadata(temporary.fd.get(), options.metadata);
            return temporary;
        };
        auto temporary = co_await run_on(pool_, std::move(work));
        std::unique_ptr<Upload> upload =
            std::make_unique<FileUpload>(folder_, key, options.if_absent, std::move(temporary), pool_);
        co_return upload;
    }

    awaitable<CopyOutcome> copy(ObjectKey from, ObjectKey to) override {
        auto begin = [this, from] { return begin_copy(from); };
        auto copying = co_await run_on(pool_, std::move(begin));
        if (!copying) co_return CopyOutcome::absent;
        while (!copying->is_done()) {
            auto work = [&copying] { copying->go_on(); };
            co_await run_on(pool_, std::move(work));
        }
        auto end = [this, &copying, to] { return folder_.publish(copying->take(), to, false); };
        co_await run_on(pool_, std::move(end));
        co_return CopyOutcome::copied;
    }

    awaitable<std::optional<ObjectInfo>> head(ObjectKey key) override {
        auto work = [this, key] {
            auto info = folder_.stat(key);
            // A push may answer "stored" for it.
            if (info) folder_.settle(key);
            return info;
        };
        const auto info = co_await run_on(pool_, std::move(work));
        co_return info;
    }

    awaitable<std::unique_ptr<ObjectReader>> get(ObjectKey key, ByteRange range) override {
        auto work = [this, key, range] { return open(key, range); };
        auto reader = co_await run_on(pool_, std::move(work));
        co_return reader;
    }

    awaitable<ListPage> list(std::string folder, ListOptions options) override {
        auto work = [this, folder, options] { return folder_.list(folder, options); };
        auto page = co_await run_on(pool_, std::move(work));
        co_return page;
    }

    awaitable<std::vector<RemoveFailure>> remove(std::vector<ObjectKey> keys) override {
        auto work = [this, keys = std::move(keys)] { return folder_.remove(keys); };
        auto failures = co_await run_on(pool_, std::move(work));
        co_return failures;
    }

    awaitable<std::size_t> remove_stale_uploads(std::string, std::chrono::seconds age) override {
        auto work = [this, age] { return folder_.remove_old_temporaries(age); };
        const auto removed = co_await run_on(pool_, std::move(work));
        co_return removed;
    }

private:
    /// Nothing: there is no such object.
    std::optional<FileCopying> begin_copy(const ObjectKey& from) {
        auto path = folder_.path_of(from);
        UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
        if (!file && (errno == ENOENT || errno == ENOTDIR)) {
            folder_.check_root();
            return std::nullopt;
        }
        if (!file) throw_errno(fmt::format("cannot open {}", path));
        const auto info = folder_.stat(from, file.get());
        if (!info) return std::nullopt;
        return FileCopying(std::move(file), std::move(path), info->bytes, folder_.create_temporary());
    }

    std::unique_ptr<ObjectReader> open(const ObjectKey& key, const ByteRange& range) {
        const auto path = folder_.path_of(key);
        UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
        if (!file && (errno == ENOENT || errno == ENOTDIR)) {
            folder_.check_root();
            return nullptr;
        }
        if (!file) throw_errno(fmt::format("cannot open {}", path));
        // Of the file that is open: another may have its name by now.
        const auto info = folder_.stat(key, file.get());
        if (!info) return nullptr;
        if (range.offset > info->bytes || (range.offset == info->bytes && range.offset > 0))
            throw Error(ErrorKind::corrupt,
                        fmt::format("{} has {} bytes, byte {} was asked for", path, info->bytes, range.offset));
        ::posix_fadvise(file.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
        const auto length = std::min(range.length.value_or(info->bytes), info->bytes - range.offset);
        return std::make_unique<FileReader>(std::move(file), path, *info, range.offset, length, pool_);
    }

    Folder folder_;
    asio::any_io_executor pool_;
};

} // namespace

std::unique_ptr<Storage> make_file_storage(std::string root, asio::any_io_executor pool) {
    while (root.size() > 1 && root.back() == '/') root.pop_back();
    return std::make_unique<FileStorage>(std::move(root), pool);
}

} // namespace walgd::storage

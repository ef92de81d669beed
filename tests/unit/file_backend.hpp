#pragma once
#include "common/storage/file/file_storage.hpp"
#include "common/storage/health/watched_storage.hpp"
#include "common/storage/retry/retrying_storage.hpp"
#include "tests/unit/async_support.hpp"

namespace walgd::test {

/// A file storage in a folder of its own.
class FileBackend {
public:
    FileBackend() : storage_(storage::make_file_storage(folder.path(), pool_.get_executor())) {}
    ~FileBackend() { pool_.join(); }
    storage::Storage& storage() { return *storage_; }
    asio::any_io_executor pool() { return pool_.get_executor(); }
    TemporaryFolder folder;
    Loop loop;

private:
    asio::thread_pool pool_{2};
    std::unique_ptr<storage::Storage> storage_;
};

/// The same, watched.
class WatchedFileBackend {
public:
    storage::Storage& storage() { return *storage_; }

private:
    FileBackend inner_;
    storage::StorageHealth health_;
    storage::RequestMeter meter_;
    std::unique_ptr<storage::Storage> storage_ = storage::make_watched_storage(inner_.storage(), health_, meter_);

public:
    Loop& loop = inner_.loop;
};

/// The same behind the decorator that tries again.
class RetryingFileBackend {
public:
    RetryingFileBackend()
        : log_(silent_log()), loop(inner_.loop),
          storage_(storage::make_retrying_storage(inner_.storage(), {}, storage::real_retry_environment(), *log_)) {}
    storage::Storage& storage() { return *storage_; }

private:
    FileBackend inner_;
    std::shared_ptr<Log> log_;

public:
    Loop& loop;

private:
    std::unique_ptr<storage::Storage> storage_;
};

} // namespace walgd::test

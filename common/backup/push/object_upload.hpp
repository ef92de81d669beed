#pragma once
#include "common/archive/archive.hpp"
#include "common/backup/progress.hpp"
#include "common/codec/sink.hpp"

#include <list>
#include <mutex>
#include <stop_token>
#include <utility>
#include <vector>

namespace walgd::backup {

/// The objects of a backup that the storage has confirmed, and their bytes there. Any thread.
class StoredObjects {
public:
    void add(storage::ObjectKey key, std::uint64_t bytes);
    /// Error(refused) naming the first that is not in the storage any more: a sentinel would promise what is gone. `folder`: the
    /// backup's.
    void require_all(archive::Archive& archive, const std::string& folder, const std::stop_token& stop) const;

private:
    mutable std::mutex mutex_;
    std::vector<std::pair<storage::ObjectKey, std::uint64_t>> objects_;
};

/// What the uploads of one backup share. Outlives them.
struct UploadRoom {
    archive::Archive& archive;
    std::uint64_t piece_bytes;
    MemoryBudget& places; ///< one for each piece that may be on its way at once
    Progress& progress;
    StoredObjects& stored;
    std::stop_token stop; ///< asked for: waits end, and requests under way are cancelled
};

/// Ends a chain: its bytes become the content of one object. One put for an object of a single piece, else a multipart upload
/// whose pieces go out while the next ones are made. Nothing is visible before finish(); destroyed without it, what was stored
/// is aborted. On a thread of its own, not the I/O thread.
class ObjectUpload : public codec::Sink {
public:
    ObjectUpload(UploadRoom& room, storage::ObjectKey key);
    ~ObjectUpload() override;
    void write(ByteView bytes) override;
    /// Returns when the storage confirmed the whole object. Error(refused) when there is one of that name already.
    void finish() override;
    std::uint64_t bytes() const { return bytes_; }

private:
    struct Piece {
        MemoryBudget::Lease memory, place;
        Blob blob;
    };
    static awaitable<void> send(storage::Upload& upload, int number, std::uint64_t offset, Piece piece, Progress& progress);
    void begin_piece();
    void send_piece();
    void put_whole();
    void reap(bool all);
    [[noreturn]] void refuse_existing() const;

    UploadRoom& room_;
    storage::ObjectKey key_;
    OnIoThread<storage::Upload> upload_;
    std::optional<Piece> piece_;
    std::list<Started<void>> under_way_;
    int pieces_sent_ = 0;
    std::uint64_t bytes_ = 0, bytes_sent_ = 0;
    bool finished_ = false;
};

} // namespace walgd::backup

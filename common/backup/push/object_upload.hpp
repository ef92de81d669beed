#pragma once
#include "common/archive/archive.hpp"
#include "common/backup/progress.hpp"
#include "common/codec/sink.hpp"

#include <list>
#include <stop_token>

namespace walgd::backup {

/// What the uploads of one backup share. Outlives them.
struct UploadRoom {
    archive::Archive& archive;
    std::uint64_t piece_bytes;
    MemoryBudget& places; ///< one for each piece that may be on its way at once
    Progress& progress;
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

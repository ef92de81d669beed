#include "common/backup/push/object_upload.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <map>

namespace walgd::backup {

namespace {

/// How long the way out may take: the next run finds what is left.
constexpr std::chrono::seconds abort_limit{20};

} // namespace

void StoredObjects::add(storage::ObjectKey key, std::uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    objects_.emplace_back(std::move(key), bytes);
}

void StoredObjects::require_all(archive::Archive& archive, const std::string& folder, const std::stop_token& stop) const {
    const std::lock_guard lock(mutex_);
    const auto page = run_blocking(archive.io, storage::list_all(archive.storage, folder, true), stop);
    std::map<storage::ObjectKey, std::uint64_t> listed;
    for (const auto& object : page.objects) listed.emplace(object.key, object.bytes);
    for (const auto& [key, bytes] : objects_) {
        if (const auto one = listed.find(key); one != listed.end() && one->second == bytes) continue;
        // A listing may lag behind; the object itself does not.
        const auto found = run_blocking(archive.io, archive.storage.head(key), stop);
        if (found && found->bytes == bytes) continue;
        throw Error(ErrorKind::refused,
                    fmt::format("{} was stored, and {} meanwhile: the copy is no backup", key.path(),
                                found ? "has become another object" : "was deleted"),
                    "was the archive tidied up, or is another host of the same name taking a backup? Run this one again");
    }
}

ObjectUpload::ObjectUpload(UploadRoom& room, storage::ObjectKey key)
    : room_(room), key_(std::move(key)), upload_(room.archive.io, nullptr) {}

ObjectUpload::~ObjectUpload() {
    under_way_.clear(); // waits
    if (!upload_ || finished_) return;
    try {
        run_blocking(room_.archive.io, within(abort_limit, upload_->abort(), "no answer"));
    } catch (const std::exception&) {
        room_.archive.log.warn("the pieces of {} could not be removed: {}", key_.path(), describe(std::current_exception()));
    }
}

void ObjectUpload::begin_piece() {
    piece_.emplace();
    piece_->memory = room_.archive.budget.acquire(room_.piece_bytes, room_.stop);
    piece_->blob = Blob(room_.piece_bytes);
}

void ObjectUpload::write(ByteView bytes) {
    while (!bytes.empty()) {
        // A full piece is sent when more follows: so the only piece of a small object is still here at the end.
        if (piece_ && piece_->blob.room().empty()) send_piece();
        if (!piece_) begin_piece();
        const auto part = bytes.first(std::min(bytes.size(), piece_->blob.room().size()));
        piece_->blob.append(part);
        bytes_ += part.size();
        bytes = bytes.subspan(part.size());
    }
}

awaitable<void> ObjectUpload::send(storage::Upload& upload, int number, std::uint64_t offset, Piece piece, Progress& progress) {
    co_await upload.put_piece(number, offset, piece.blob.view());
    progress.stored_bytes += piece.blob.size();
}

void ObjectUpload::send_piece() {
    reap(false);
    if (!upload_) {
        const storage::PutOptions options{.if_absent = true, .metadata = {}};
        upload_ = OnIoThread(room_.archive.io,
                             run_blocking(room_.archive.io, room_.archive.storage.start_upload(key_, options), room_.stop));
    }
    piece_->place = room_.places.acquire(1, room_.stop);
    const auto size = piece_->blob.size();
    auto task = send(*upload_, ++pieces_sent_, bytes_sent_, std::move(*piece_), room_.progress);
    piece_.reset();
    under_way_.emplace_back(room_.archive.io, std::move(task), room_.stop);
    bytes_sent_ += size;
}

/// Takes the results of what has ended, or waits for all; throws the first failure.
void ObjectUpload::reap(bool all) {
    for (auto task = under_way_.begin(); task != under_way_.end();) {
        const auto current = task++;
        if (!all && !current->ready()) continue;
        current->get();
        under_way_.erase(current);
    }
}

void ObjectUpload::put_whole() {
    if (!piece_) begin_piece();
    piece_->place = room_.places.acquire(1, room_.stop);
    const storage::PutOptions options{.if_absent = true, .metadata = {}};
    const auto outcome =
        run_blocking(room_.archive.io, room_.archive.storage.put(key_, piece_->blob.view(), options), room_.stop);
    if (outcome == storage::PutOutcome::exists) refuse_existing();
    room_.progress.stored_bytes += piece_->blob.size();
    piece_.reset();
}

void ObjectUpload::finish() {
    if (pieces_sent_ == 0) {
        put_whole();
    } else {
        send_piece();
        reap(true);
        if (run_blocking(room_.archive.io, upload_->complete(), room_.stop) == storage::PutOutcome::exists) refuse_existing();
    }
    room_.stored.add(key_, bytes_);
    finished_ = true;
}

void ObjectUpload::refuse_existing() const {
    throw Error(ErrorKind::refused,
                fmt::format("{} is in {} already, and nothing is overwritten", key_.path(), room_.archive.storage.describe()),
                "another backup of the same name is being taken, or was left by one: run backup-push again later");
}

} // namespace walgd::backup

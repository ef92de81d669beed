#include "common/archive/object_writer.hpp"

#include <algorithm>

namespace walgd::archive {

namespace {

/// How long the way out may take.
constexpr std::chrono::seconds writer_abort_limit{20};

} // namespace

std::uint64_t piece_bytes_of(std::uint64_t object_bytes, std::uint64_t wished) {
    constexpr std::uint64_t most = storage::pieces_max;
    return std::max(wished, (object_bytes + most - 1) / most);
}

ObjectWriter::ObjectWriter(WriteTarget target, storage::ObjectKey key, storage::PutOptions options,
                           std::optional<std::uint64_t> bytes_expected)
    : target_(std::move(target)), key_(std::move(key)), options_(std::move(options)), upload_(target_.io, nullptr) {
    const auto piece = piece_bytes_of(bytes_expected.value_or(0), target_.piece_bytes);
    const auto room = std::clamp<std::uint64_t>(bytes_expected.value_or(piece), 1, piece);
    lease_ = target_.budget.acquire(room, target_.stop);
    piece_ = Blob(static_cast<std::size_t>(room));
}

ObjectWriter::~ObjectWriter() {
    if (!upload_ || finished_) return;
    try {
        run_blocking(target_.io, within(writer_abort_limit, upload_->abort(), "no answer"));
    } catch (const std::exception&) {
        // What is left is invisible, and goes with the next backup's removal of stale uploads.
    }
}

void ObjectWriter::write(ByteView bytes) {
    while (!bytes.empty()) {
        // A full piece is sent when more follows: so the only piece of a small object is still here at the end.
        if (piece_.room().empty()) send_piece();
        const auto part = bytes.first(std::min(bytes.size(), piece_.room().size()));
        piece_.append(part);
        bytes = bytes.subspan(part.size());
    }
}

void ObjectWriter::send_piece() {
    if (!upload_)
        upload_ = OnIoThread(target_.io, run_blocking(target_.io, target_.storage.start_upload(key_, options_), target_.stop));
    run_blocking(target_.io, upload_->put_piece(++pieces_, sent_, piece_.view()), target_.stop);
    sent_ += piece_.size();
    piece_.clear();
}

void ObjectWriter::finish() {
    if (upload_) {
        send_piece();
        outcome_ = run_blocking(target_.io, upload_->complete(), target_.stop);
    } else
        outcome_ = run_blocking(target_.io, target_.storage.put(key_, piece_.view(), options_), target_.stop);
    finished_ = true;
}

} // namespace walgd::archive

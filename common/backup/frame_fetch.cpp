#include "common/backup/frame_fetch.hpp"

#include "common/base/async.hpp"

#include <algorithm>

namespace walgd::backup {

namespace {

/// Below that another request takes longer than what it saves.
constexpr std::uint64_t worth_a_request = 2 << 20;

/// Damage, in the words of a stage that reads the whole object.
[[noreturn]] void refuse_changed() {
    throw Error(ErrorKind::corrupt, "its frames are not what the table at its end says",
                "the object is damaged: keep it and compare it with other copies");
}

/// Reads an object forwards, from where it is wanted.
class ForwardReader {
public:
    ForwardReader(archive::Archive& archive, const TarObject& tar, const std::stop_token& stop,
                  const std::function<void(std::size_t)>& on_stored)
        : archive_(archive), tar_(tar), stop_(stop), on_stored_(on_stored) {}

    /// Fills `into` with what lies at `offset`, which is never before what was read last.
    void read(std::uint64_t offset, MutableBytes into) {
        if (!reader_ || offset - at_ >= worth_a_request) open(offset);
        while (at_ < offset) take(into.first(std::min<std::uint64_t>(into.size(), offset - at_)));
        take(into);
    }

private:
    void open(std::uint64_t offset) {
        reader_.reset();
        reader_.emplace(archive_.io, run_blocking(archive_.io, archive_.storage.get(tar_.key, {offset, std::nullopt}), stop_));
        if (!*reader_) refuse_vanished();
        at_ = offset;
    }
    void take(MutableBytes into) {
        const auto count = run_blocking(archive_.io, (*reader_)->read(into), stop_);
        if (count < into.size()) refuse_changed();
        at_ += count;
        on_stored_(count);
    }

    archive::Archive& archive_;
    const TarObject& tar_;
    const std::stop_token& stop_;
    const std::function<void(std::size_t)>& on_stored_;
    std::optional<OnIoThread<storage::ObjectReader>> reader_;
    std::uint64_t at_ = 0;
};

} // namespace

std::optional<std::vector<codec::Frame>> fetch_frame_table(archive::Archive& archive, const TarObject& tar,
                                                           const std::stop_token& stop) {
    if (tar.bytes < 2 * worth_a_request || archive.packing.cipher != nullptr || tar.compression->suffix() != "zst")
        return std::nullopt;
    // Enough for the table of a part of 2 GB.
    constexpr std::uint64_t end_bytes = 64 << 10;
    const auto read_end = [&](std::uint64_t bytes) {
        Blob end(bytes);
        const storage::ByteRange range{tar.bytes - bytes, bytes};
        const OnIoThread reader(archive.io, run_blocking(archive.io, archive.storage.get(tar.key, range), stop));
        if (!reader) refuse_vanished();
        end.commit(run_blocking(archive.io, reader->read(end.room()), stop));
        return end;
    };
    auto end = read_end(end_bytes);
    const auto bytes = codec::frame_table_bytes(end.view());
    if (!bytes || *bytes > tar.bytes / 2) return std::nullopt;
    if (*bytes > end.size()) end = read_end(*bytes);
    if (end.size() < *bytes) return std::nullopt;
    return codec::parse_frame_table(end.view().last(*bytes), tar.bytes);
}

void fetch_by_frames(archive::Archive& archive, const TarObject& tar, const std::vector<codec::Frame>& frames,
                     codec::TarReader::Handler& handler, const std::stop_token& stop,
                     const std::function<void(std::size_t)>& on_stored) {
    const auto lease = archive.budget.acquire(codec::frame_bound + codec::frame_bytes, stop);
    Blob packed(codec::frame_bound), plain(codec::frame_bytes);
    ForwardReader reader(archive, tar, stop, on_stored);
    codec::TarReader members(handler, tar.key.path());
    std::uint64_t offset = 0;
    for (const auto& frame : frames) {
        on_stored(0); // many frames may go by without a byte
        if (members.can_skip(0, frame.plain) || members.has(frame.plain, frame.hash)) {
            members.skip(frame.plain);
        } else {
            const MutableBytes object(packed.data(), frame.packed), into(plain.data(), frame.plain);
            reader.read(offset, object);
            if (tar.compression->decompress(object, into) != frame.plain || codec::content_hash(into) != frame.hash)
                refuse_changed();
            members.write(into);
        }
        offset += frame.packed;
    }
    members.finish();
}

} // namespace walgd::backup

#include "common/pgbackrest/run_reader.hpp"

#include "common/base/error.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace walgd::pgbackrest {

/// A file's plain bytes on their way to disk.
class RunReader::FileSink : public codec::Sink {
public:
    FileSink(backup::RestoredFile file, std::uint64_t bytes_max) : file_(std::move(file)), bytes_max_(bytes_max) {}
    void write(ByteView bytes) override {
        bytes_ += bytes.size();
        // What is too long would fill the disk before it is found out.
        if (bytes_ > bytes_max_) throw Error(ErrorKind::corrupt, fmt::format("has more than {} bytes", bytes_max_));
        hash_.update(bytes);
        file_.write(bytes);
    }
    void finish() override { file_.finish(); }
    std::uint64_t bytes() const { return bytes_; }
    Sha1Digest digest() { return hash_.digest(); }

private:
    backup::RestoredFile file_;
    std::uint64_t bytes_max_, bytes_ = 0;
    Sha1 hash_;
};

RunReader::RunReader(const Manifest& manifest, const RestoreRuns& plan, const StoredRun& run, std::string object,
                     backup::RestoreTarget& target, backup::Progress& progress)
    : manifest_(manifest), plan_(plan), run_(run), object_(std::move(object)), target_(target), progress_(progress),
      at_(run.offset) {
    begin_file();
}

RunReader::~RunReader() = default;

const ManifestFile& RunReader::file() const { return manifest_.files[plan_.order[run_.first + done_]]; }

void RunReader::refuse(std::string_view why) const {
    throw Error(ErrorKind::corrupt, fmt::format("{}: {} {}", object_, file().name, why),
                "the object was changed after pgBackRest stored it: restore another backup");
}

void RunReader::begin_file() {
    const auto& next = file();
    gap_ = run_.whole ? 0 : next.bundle_offset - at_;
    left_ = next.stored_bytes;
    sink_ = std::make_unique<FileSink>(target_.create_file(member_of(next.name), next.mode), next.bytes);
    decompress_ = manifest_.compression->decompressor(*sink_);
}

void RunReader::write(ByteView bytes) {
    while (!bytes.empty()) {
        if (!decompress_) throw Error(ErrorKind::corrupt, fmt::format("{} is longer than the manifest says", object_));
        const auto skipped = std::min<std::uint64_t>(gap_, bytes.size());
        const auto rest = bytes.subspan(skipped);
        const auto piece = rest.first(std::min<std::uint64_t>(left_, rest.size()));
        try {
            if (!piece.empty()) decompress_->write(piece);
        } catch (const Error& error) {
            if (error.kind() != ErrorKind::corrupt) throw;
            refuse(error.what());
        }
        gap_ -= skipped;
        left_ -= piece.size();
        at_ += skipped + piece.size();
        bytes = rest.subspan(piece.size());
        if (gap_ == 0 && left_ == 0) end_file();
    }
}

void RunReader::end_file() {
    try {
        decompress_->finish();
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt) throw;
        refuse(error.what());
    }
    if (sink_->bytes() != file().bytes)
        refuse(fmt::format("has {} bytes, and the manifest says {}", sink_->bytes(), file().bytes));
    if (const auto sha1 = sink_->digest(); sha1 != file().sha1)
        refuse(fmt::format("has the SHA-1 {}, and the manifest says {}", to_hex(sha1), to_hex(file().sha1)));
    progress_.bytes_done += file().bytes;
    ++progress_.files_done;
    decompress_.reset();
    sink_.reset();
    if (++done_ < run_.count) begin_file();
}

void RunReader::finish() {
    if (done_ < run_.count) refuse("is not all there");
}

} // namespace walgd::pgbackrest

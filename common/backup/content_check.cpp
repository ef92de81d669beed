#include "common/backup/content_check.hpp"

#include "common/archive/chain.hpp"
#include "common/archive/documents.hpp"
#include "common/archive/layout.hpp"
#include "common/archive/wal/wal_unpack.hpp"
#include "common/backup/increment.hpp"
#include "common/backup/member_name.hpp"
#include "common/base/naming.hpp"
#include "common/codec/tar_reader.hpp"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace walgd::backup {

namespace {

constexpr std::size_t chunk_bytes = check_bytes / 2;
constexpr std::size_t named_blocks_max = 5;
constexpr std::size_t control_bytes_max = 64 << 10;

/// Everything of one object into `sink`; the next chunk is on its way while this one is decoded.
void read_object(archive::Archive& archive, const storage::ObjectKey& key, codec::Sink& sink, std::stop_token stop) {
    const OnIoThread reader(archive.io, run_blocking(archive.io, archive.storage.get(key, {}), stop));
    if (!reader) throw Error(ErrorKind::corrupt, "it was listed, and is not there any more");
    Blob chunks[2] = {Blob(chunk_bytes), Blob(chunk_bytes)};
    auto ask = [&](Blob& chunk) {
        return asio::co_spawn(archive.io, reader->read({chunk.data(), chunk.capacity()}), asio::use_future);
    };
    auto answer = ask(chunks[0]);
    for (unsigned turn = 0;; ++turn) {
        const auto count = answer.get();
        if (count == 0) break;
        if (stop.stop_requested()) throw Error(ErrorKind::cancelled, "cancelled");
        answer = ask(chunks[(turn + 1) % 2]);
        try {
            sink.write({chunks[turn % 2].data(), count});
        } catch (...) {
            answer.wait(); // it writes into a chunk of ours
            throw;
        }
    }
    sink.finish();
}

/// The compression of an object by its name; nothing when nobody's suffix ends it.
const codec::Compression* compression_of(std::string_view suffix) {
    if (!suffix.empty() && suffix[0] == '.') suffix.remove_prefix(1);
    return codec::compression_by_suffix(suffix);
}

class SegmentSink : public codec::Sink {
public:
    explicit SegmentSink(pg::WalCheck& wal) : wal_(wal) {}
    void write(ByteView bytes) override { wal_.write(bytes); }
    void finish() override { wal_.finish(); }

private:
    pg::WalCheck& wal_;
};

/// Of a file that is no whole segment: its beginning and its size.
class FileSink : public codec::Sink {
public:
    void write(ByteView bytes) override {
        bytes_ += bytes.size();
        if (first_.size() < pg::wal_header_bytes)
            first_.append(bytes.first(std::min(bytes.size(), pg::wal_header_bytes - first_.size())));
    }
    void finish() override {}
    std::uint64_t bytes() const { return bytes_; }
    ByteView first() const { return first_.view(); }

private:
    Blob first_;
    std::uint64_t bytes_ = 0;
};

/// Looks at the pages of the relations in a tar, those of increments too.
class PageCheck : public codec::TarReader::Handler, IncrementParser::Handler {
public:
    PageCheck(const BackupSpan& span, const BackupPages& pages) : pages_(span, pages), page_bytes_(pages.block_bytes) {}

    void begin(const codec::TarMember& member) override {
        note_name(member);
        name_ = member.name;
        bad_.clear();
        begin_.clear();
        increment_.reset();
        of_relation_ = pages_.begin(member.name);
        whole_ = member.size % page_bytes_ == 0;
    }
    void data(ByteView bytes) override {
        if (!of_relation_) return;
        if (begin_.size() < increment_magic.size()) {
            const auto count = std::min(bytes.size(), increment_magic.size() - begin_.size());
            begin_ += text_of(bytes.first(count));
            bytes = bytes.subspan(count);
            if (begin_.size() < increment_magic.size()) return;
            if (begin_ == increment_magic) increment_.emplace(static_cast<IncrementParser::Handler&>(*this), page_bytes_, name_);
            check(bytes_of(begin_));
        }
        check(bytes);
    }
    void other(const codec::TarMember& member) override { note_name(member); }
    void end() override {
        if (increment_) increment_->finish();
        if (bad_.empty()) return;
        throw Error(ErrorKind::corrupt, fmt::format("{} has damaged blocks: {}", name_, fmt::join(bad_, ", ")),
                    "was the cluster damaged when the backup was taken? files_metadata.json tells");
    }

    std::vector<std::uint64_t> names;

private:
    void note_name(const codec::TarMember& member) { names.push_back(hash_of_name(relative_member(member.name))); }
    void check(ByteView bytes) {
        if (increment_)
            increment_->write(bytes);
        else if (whole_)
            pages_.write(bytes, [this](std::uint32_t block) { note(block); });
    }
    void head(const IncrementHead&) override {}
    void page(std::uint64_t offset, ByteView bytes) override {
        if (offset % page_bytes_ == 0) page_.clear();
        page_.append(bytes);
        const auto block = static_cast<std::uint32_t>(offset / page_bytes_);
        if (page_.size() == page_bytes_ && pages_.damaged(page_.view(), block)) note(block);
    }
    void note(std::uint32_t block) {
        if (bad_.size() < named_blocks_max) bad_.push_back(pages_.first_block() + block);
    }

    PageScan pages_;
    std::uint32_t page_bytes_;
    std::string name_, begin_;
    std::optional<IncrementParser> increment_;
    Blob page_; ///< of an increment, as far as it came
    std::vector<std::uint32_t> bad_;
    bool of_relation_ = false, whole_ = false;
};

/// Reads global/pg_control, whose checksum must be right; of versions before PostgreSQL 13 nobody here knows where it is.
class ControlCheck : public codec::TarReader::Handler {
public:
    explicit ControlCheck(std::string object) : object_(std::move(object)) {}

    void begin(const codec::TarMember& member) override {
        const auto relative = relative_member(member.name);
        names.push_back(hash_of_name(relative));
        wanted_ = relative == control_member;
    }
    void data(ByteView bytes) override {
        if (wanted_ && content_.size() + bytes.size() <= control_bytes_max) content_.append(bytes);
    }
    void end() override {
        constexpr std::size_t version_at = 8;
        constexpr std::uint32_t version_13 = 1300;
        if (!wanted_) return;
        std::uint32_t version = version_13;
        if (content_.size() >= version_at + sizeof version)
            std::memcpy(&version, content_.view().data() + version_at, sizeof version);
        if (version >= version_13) found = pg::parse_control_file(content_.view(), object_);
    }
    std::optional<pg::ControlFile> found;
    std::vector<std::uint64_t> names;

private:
    std::string object_;
    Blob content_;
    bool wanted_ = false;
};

} // namespace

namespace {

/// The WAL file that an object's name says it is.
struct WalName {
    std::string file;
    std::optional<pg::WalFileKind> kind; ///< nothing: nobody's
    const codec::Compression* compression;
};

WalName wal_name_of(const storage::ObjectKey& key) {
    const auto object = std::string_view(key.path()).substr(archive::wal_folder.size());
    const auto dot = object.rfind('.');
    const bool suffixed = dot != std::string_view::npos && compression_of(object.substr(dot)) != nullptr;
    auto file = std::string(suffixed ? object.substr(0, dot) : object);
    const auto kind = pg::wal_file_kind(file);
    return {std::move(file), kind, suffixed ? compression_of(object.substr(dot)) : codec::compression_by_suffix("")};
}

/// Keeps what fits.
class BoundedSink : public codec::Sink {
public:
    explicit BoundedSink(std::uint64_t bytes_max) : content_(static_cast<std::size_t>(bytes_max)) {}
    void write(ByteView bytes) override {
        if (bytes.size() > content_.room().size()) throw Error(ErrorKind::corrupt, "it is larger than a segment");
        content_.append(bytes);
    }
    void finish() override {}
    Blob take() { return std::move(content_); }

private:
    Blob content_;
};

} // namespace

bool check_wal_object(archive::Archive& archive, const storage::ObjectKey& key, pg::WalCheck& wal, std::stop_token stop) {
    const auto name = wal_name_of(key);
    if (!name.kind) return false;
    if (name.kind == pg::WalFileKind::segment) {
        naming(key.path(), [&] {
            wal.begin(name.file, key.path());
            SegmentSink end(wal);
            archive::UnpackChain chain(archive.packing.cipher, *name.compression, end);
            read_object(archive, key, chain.head(), stop);
        });
        return true;
    }
    naming(key.path(), [&] {
        FileSink end;
        archive::UnpackChain chain(archive.packing.cipher, *name.compression, end);
        read_object(archive, key, chain.head(), stop);
        archive::check_wal_content({name.file, key, name.compression}, end.first(), end.bytes());
    });
    return true;
}

std::optional<Blob> unpack_segment(archive::Archive& archive, const storage::ObjectKey& key, std::uint64_t bytes_max,
                                   std::stop_token stop) {
    const auto name = wal_name_of(key);
    if (name.kind != pg::WalFileKind::segment) return std::nullopt;
    BoundedSink end(bytes_max);
    try {
        archive::UnpackChain chain(archive.packing.cipher, *name.compression, end);
        read_object(archive, key, chain.head(), stop);
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt) throw;
        return std::nullopt;
    }
    return end.take();
}

void check_segment(const storage::ObjectKey& key, ByteView content, pg::WalCheck& wal) {
    naming(key.path(), [&] {
        wal.begin(wal_name_of(key).file, key.path());
        wal.write(content);
        wal.finish();
    });
}

namespace {

void read_tar(archive::Archive& archive, const storage::ObjectKey& key, codec::TarReader::Handler& handler,
              std::stop_token stop) {
    const auto suffix = key.path().substr(key.path().rfind('.') + 1);
    const auto* compression = compression_of(suffix == "tar" ? "" : suffix);
    if (compression == nullptr) throw Error(ErrorKind::corrupt, "it is in a format that nobody knows");
    codec::TarReader members(handler, key.path());
    archive::UnpackChain chain(archive.packing.cipher, *compression, members);
    read_object(archive, key, chain.head(), std::move(stop));
}

} // namespace

std::optional<pg::ControlFile> read_backup_control(archive::Archive& archive, const storage::ObjectKey& key,
                                                   std::stop_token stop) {
    ControlCheck control(key.path());
    try {
        read_tar(archive, key, control, std::move(stop));
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt) throw;
    }
    return control.found;
}

std::vector<std::uint64_t> check_backup_tar(archive::Archive& archive, const storage::ObjectKey& key, const BackupSpan& span,
                                            const BackupPages& pages, std::stop_token stop) {
    return naming(key.path(), [&] {
        PageCheck page_check(span, pages);
        ControlCheck control(key.path());
        const bool of_control = key.path().find("/pg_control.tar") != std::string::npos;
        if (of_control)
            read_tar(archive, key, control, std::move(stop));
        else
            read_tar(archive, key, page_check, std::move(stop));
        return of_control ? std::move(control.names) : std::move(page_check.names);
    });
}

namespace {

void read_files_metadata(archive::Archive& archive, const storage::ObjectKey& key,
                         archive::FilesMetadataReader::Callbacks callbacks, std::stop_token stop) {
    struct Parser : codec::Sink {
        Parser(archive::FilesMetadataReader::Callbacks callbacks, const std::string& object)
            : reader(std::move(callbacks), object) {}
        void write(ByteView bytes) override { reader.write(text_of(bytes)); }
        void finish() override { reader.finish(); }
        archive::FilesMetadataReader reader;
    };
    naming(key.path(), [&] {
        Parser parser(std::move(callbacks), key.path());
        read_object(archive, key, parser, stop);
    });
}

} // namespace

ToldFiles check_files_metadata(archive::Archive& archive, const storage::ObjectKey& key, std::stop_token stop) {
    ToldFiles told;
    archive::FilesMetadataReader::Callbacks callbacks;
    callbacks.tar_member = [&told](std::string_view tar, std::string_view) { told.tars.emplace(tar); };
    callbacks.file = [&told](std::string_view member, const archive::FileDescription& file) {
        const auto relative = relative_member(member);
        if (!file.is_skipped && !is_of_one_backup(relative)) told.files.push_back(hash_of_name(relative));
    };
    read_files_metadata(archive, key, std::move(callbacks), std::move(stop));
    return told;
}

std::vector<std::string> names_of_files(archive::Archive& archive, const storage::ObjectKey& key,
                                        const std::vector<std::uint64_t>& files, std::size_t count, std::stop_token stop) {
    std::vector<std::string> names;
    archive::FilesMetadataReader::Callbacks callbacks;
    callbacks.tar_member = [](std::string_view, std::string_view) {};
    callbacks.file = [&](std::string_view member, const archive::FileDescription&) {
        const auto relative = relative_member(member);
        if (names.size() < count && std::ranges::binary_search(files, hash_of_name(relative))) names.push_back(relative);
    };
    read_files_metadata(archive, key, std::move(callbacks), std::move(stop));
    return names;
}

void check_document(archive::Archive& archive, const storage::ObjectKey& key, std::stop_token stop) {
    naming(key.path(), [&] {
        codec::BlobSink text;
        read_object(archive, key, text, stop);
        const auto blob = text.take();
        if (key.path().ends_with("/metadata.json"))
            archive::parse_metadata(text_of(blob.view()), key.path());
        else
            archive::parse_sentinel(text_of(blob.view()), key.path());
    });
}

} // namespace walgd::backup

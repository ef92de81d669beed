#include "common/backup/push/backup_manifest.hpp"

#include "common/backup/member_name.hpp"
#include "common/base/character_iterator.hpp"
#include "common/base/error.hpp"
#include "common/base/sha256.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace walgd::backup {

namespace {

constexpr std::size_t line_bytes_max = 1 << 20;
constexpr std::size_t piece_bytes = 128 << 10;
constexpr int version_max = 2;
constexpr auto again = "run backup-push again; if it happens again, look at the network and the server's memory and disks";

[[noreturn]] void refuse(const std::string& what) {
    throw Error(ErrorKind::corrupt, fmt::format("the server's backup manifest {}", what), again);
}

std::string bytes_of_hex(std::string_view hex) {
    auto bytes = from_hex(hex);
    if (!bytes) refuse(fmt::format("has '{}' where hex digits are due", hex.substr(0, 100)));
    return std::move(*bytes);
}

/// PostgreSQL prints the four bytes of a CRC-32C as they are in its memory, the lowest first.
std::uint32_t crc_of(std::string_view hex) {
    const auto bytes = bytes_of_hex(hex);
    if (bytes.size() != 4) refuse(fmt::format("has '{}' where a CRC-32C is due", hex.substr(0, 100)));
    std::uint32_t crc = 0;
    for (const char byte : {bytes[3], bytes[2], bytes[1], bytes[0]}) crc = crc << 8 | static_cast<unsigned char>(byte);
    return crc;
}

/// The text as the parser sees it, one character after the other. All but the last line goes into the manifest's own checksum.
class Text {
public:
    explicit Text(const NextPiece& next) : next_(next) {}

    bool more() {
        while (position_ == piece_.size()) {
            piece_ = next_();
            position_ = 0;
            if (piece_.empty()) return false;
            hash(piece_);
        }
        return true;
    }
    char current() const { return piece_[position_]; }
    void advance() { ++position_; }

    /// Of all lines but the last; once, at the end.
    std::string digest() { return to_hex(hash_.digest()); }

private:
    /// A line is known not to be the last one when something follows.
    void hash(std::string_view piece) {
        last_line_ += piece;
        const auto end = std::string_view(last_line_).substr(0, last_line_.size() - 1).rfind('\n');
        if (end != std::string::npos) {
            hash_.update(bytes_of(std::string_view(last_line_).substr(0, end + 1)));
            last_line_.erase(0, end + 1);
        }
        if (last_line_.size() > line_bytes_max) refuse(fmt::format("has a line of more than {} bytes", line_bytes_max));
    }

    const NextPiece& next_;
    Sha256 hash_;
    std::string piece_, last_line_;
    std::size_t position_ = 0;
};

/// Follows the parser's events; keeps one file's entry, never the document.
class Events : public nlohmann::json_sax<nlohmann::json> {
public:
    explicit Events(const OnManifestFile& on_file) : on_file_(on_file) {}

    const std::string& checksum() const { return checksum_; }
    const BackupManifest& manifest() const { return manifest_; }
    bool versioned() const { return versioned_; }

    bool null() override { return true; }
    bool boolean(bool) override { return true; }
    bool number_integer(number_integer_t) override { return true; }
    bool number_unsigned(number_unsigned_t value) override {
        if (depth_ == 1 && key_ == "PostgreSQL-Backup-Manifest-Version") {
            if (value < 1 || value > version_max) refuse(fmt::format("is of version {}, which is unknown", value));
            versioned_ = true;
        }
        if (depth_ == 1 && key_ == "System-Identifier") manifest_.system = pg::SystemIdentifier(value);
        if (in_file() && key_ == "Size") bytes_ = value;
        return true;
    }
    bool number_float(number_float_t, const string_t&) override { return true; }
    bool string(string_t& value) override {
        if (depth_ == 1 && key_ == "Manifest-Checksum") checksum_ = value;
        if (!in_file()) return true;
        if (key_ == "Path") path_ = value;
        if (key_ == "Encoded-Path") path_ = bytes_of_hex(value);
        if (key_ == "Checksum-Algorithm") algorithm_ = value;
        if (key_ == "Checksum") file_checksum_ = value;
        return true;
    }
    bool binary(binary_t&) override { return true; }
    bool start_object(std::size_t) override {
        ++depth_;
        path_.clear();
        algorithm_.clear();
        file_checksum_.clear();
        bytes_.reset();
        return true;
    }
    bool key(string_t& value) override {
        key_ = value;
        if (depth_ == 1) top_ = value;
        return true;
    }
    bool end_object() override {
        if (in_file()) end_file();
        --depth_;
        return true;
    }
    bool start_array(std::size_t) override {
        if (depth_ == 0) refuse("is not a JSON object");
        return true;
    }
    bool end_array() override { return true; }
    bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
        refuse(fmt::format("is not JSON at byte {}", position));
    }

private:
    bool in_file() const { return depth_ == 2 && top_ == "Files"; }
    void end_file() {
        if (path_.empty() || !bytes_) refuse("has a file without a path or size");
        if (algorithm_ != "CRC32C")
            refuse(fmt::format("has a checksum '{}' of {}, not the CRC-32C asked for", algorithm_, path_));
        on_file_({path_, *bytes_, crc_of(file_checksum_)});
    }

    const OnManifestFile& on_file_;
    BackupManifest manifest_;
    std::string top_, key_, path_, algorithm_, file_checksum_, checksum_;
    std::optional<std::uint64_t> bytes_;
    int depth_ = 0;
    bool versioned_ = false;
};

} // namespace

BackupManifest read_backup_manifest(const NextPiece& next, const OnManifestFile& on_file) {
    Text text(next);
    Events events(on_file);
    nlohmann::json::sax_parse(CharacterIterator<Text>{&text}, CharacterIterator<Text>{}, &events);
    if (!events.versioned()) refuse("does not tell its version");
    if (events.checksum() != text.digest()) refuse("is not what its own checksum says");
    return events.manifest();
}

ManifestCheck::ManifestCheck()
    : names_("the temporary file of the backup's file names"), manifest_("the temporary file of the backup's manifest") {}

void ManifestCheck::passed(std::string_view path, std::uint64_t bytes, std::uint32_t crc32c) {
    passed_.push_back({hash_of_bytes(path), bytes, names_.bytes(), crc32c, static_cast<std::uint32_t>(path.size())});
    names_.append(path);
}

void ManifestCheck::write(ByteView text) { manifest_.append(text_of(text)); }

void ManifestCheck::compare(const ManifestFile& file) {
    const auto found = std::ranges::lower_bound(passed_, hash_of_bytes(file.path), {}, &Passed::name_hash);
    if (found == passed_.end() || found->name_hash != hash_of_bytes(file.path))
        refuse(fmt::format("names {}, which did not come", file.path));
    if (found->bytes != file.bytes)
        refuse(fmt::format("gives {} the size {}, but {} bytes of it came", file.path, file.bytes, found->bytes));
    if (found->crc32c != file.crc32c)
        refuse(fmt::format("gives {} the CRC-32C {:08x}, but what came has {:08x}", file.path, file.crc32c, found->crc32c));
    found->named = true;
}

void ManifestCheck::expect_all_named() {
    const auto missing = std::ranges::find(passed_, false, &Passed::named);
    if (missing != passed_.end())
        refuse(fmt::format("does not name {}, which came", names_.read(missing->name_offset, missing->name_bytes)));
}

void ManifestCheck::finish(pg::SystemIdentifier system) {
    std::ranges::sort(passed_, {}, &Passed::name_hash);
    std::uint64_t offset = 0;
    auto next = [&] {
        auto piece = manifest_.read(offset, piece_bytes);
        offset += piece.size();
        return piece;
    };
    const auto manifest = read_backup_manifest(next, [this](const ManifestFile& file) { compare(file); });
    expect_all_named();
    if (manifest.system && *manifest.system != system)
        refuse(fmt::format("is of the cluster {}, not of {}", manifest.system->number(), system.number()));
}

} // namespace walgd::backup

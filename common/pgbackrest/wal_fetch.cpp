#include "common/pgbackrest/wal_fetch.hpp"

#include "common/archive/chain.hpp"
#include "common/archive/wal/wal_unpack.hpp"
#include "common/base/files.hpp"
#include "common/base/naming.hpp"
#include "common/pg/wal_name.hpp"
#include "common/pg/wal_page.hpp"
#include "common/pgbackrest/layout.hpp"

#include <fmt/format.h>

namespace walgd::pgbackrest {

namespace {

/// Of a segment's name: what its folder is called.
constexpr std::size_t folder_digits = 16;

/// The object of a WAL file, and what its content must be.
struct Stored {
    storage::ObjectKey key{""};
    std::optional<Sha1Digest> sha1;
    const codec::Compression* compression = nullptr;
};

/// Plain bytes on their way into the file.
class Hashed : public codec::Sink {
public:
    Hashed(int fd, const std::string& name) : fd_(fd), name_(name) {}
    void write(ByteView bytes) override {
        hash_.update(bytes);
        write_all_at(fd_, bytes, bytes_, name_);
        bytes_ += bytes.size();
    }
    void finish() override {}
    std::uint64_t bytes() const { return bytes_; }
    Sha1Digest digest() { return hash_.digest(); }

private:
    int fd_;
    const std::string& name_;
    Sha1 hash_;
    std::uint64_t bytes_ = 0;
};

void check(const Stored& stored, const std::string& name, Hashed& content, int fd) {
    const auto sha1 = content.digest();
    if (stored.sha1 && sha1 != *stored.sha1)
        throw Error(
            ErrorKind::corrupt,
            fmt::format("{}: the content has the SHA-1 {}, which is not the one in its name", stored.key.path(), to_hex(sha1)),
            "the object was changed after pgBackRest stored it; is there another copy of the repository?");
    std::byte first[pg::wal_header_bytes];
    const auto count = read_at(fd, first, 0, name);
    const archive::WalIdentity identity{name, stored.key, stored.compression};
    archive::check_wal_content(identity, {first, count}, content.bytes());
}

/// Segments and .partial files have their SHA-1 in the name: the folder is asked what there is.
awaitable<std::optional<Stored>> find_segment(Repository& repository, std::string folder, std::string name) {
    storage::ListOptions options;
    options.name_prefix = name + "-";
    const auto page = co_await repository.archive().storage.list(folder, options);
    std::optional<Stored> found;
    for (const auto& object : page.objects) {
        const auto archived = parse_archived_name(std::string_view(object.key.path()).substr(folder.size()));
        if (!archived || archived->file != name) continue;
        if (found)
            throw Error(ErrorKind::corrupt,
                        fmt::format("{} and {} are two contents of one WAL file", found->key.path(), object.key.path()),
                        "two clusters archived into one stanza: find out which one is this cluster's");
        found = Stored{object.key, archived->sha1, &compression_of_extension(archived->extension, object.key.path())};
    }
    co_return found;
}

/// Nothing: it is not there. Of what has its own name for a key, the key.
awaitable<std::optional<Stored>> find(Repository& repository, std::string name) {
    const auto folder = co_await repository.wal_folder();
    const auto kind = pg::wal_file_kind(name);
    if (!kind)
        throw Error(ErrorKind::misconfigured, fmt::format("'{}' is not the name of a WAL file", name),
                    "PostgreSQL says it in %f");
    Stored stored;
    stored.compression = codec::compression_by_suffix("");
    const auto below = folder + name.substr(0, folder_digits) + "/";
    if (kind == pg::WalFileKind::history) stored.key = storage::ObjectKey(folder + name);
    if (kind == pg::WalFileKind::backup_history) stored.key = storage::ObjectKey(below + name);
    if (!stored.key.path().empty()) co_return stored;
    auto found = co_await find_segment(repository, below, name);
    co_return found;
}

/// False: it is not there.
awaitable<bool> unpack(archive::Archive& archive, std::string name, Stored stored, int fd) {
    const auto object = co_await archive.storage.get(stored.key, storage::ByteRange{});
    if (!object) co_return false;
    Hashed content(fd, name);
    archive::UnpackChain chain(nullptr, *stored.compression, content);
    Blob chunk(storage::read_chunk_bytes);
    for (;;) {
        const auto count = co_await object->read({chunk.data(), chunk.capacity()});
        auto work = [&] {
            if (count > 0) return chain.head().write({chunk.data(), count});
            chain.head().finish();
            check(stored, name, content, fd);
        };
        co_await run_on(archive.cpu, std::move(work));
        if (count == 0) co_return true;
    }
}

/// An Error of the content that does not name its object gets to.
awaitable<bool> fill(Repository& repository, std::string name, int fd) {
    const auto stored = co_await find(repository, name);
    if (!stored) co_return false;
    std::optional<Error> failure;
    try {
        const bool there = co_await unpack(repository.archive(), name, *stored, fd);
        co_return there;
    } catch (const Error& error) {
        failure = error;
    }
    throw named(*failure, stored->key.path());
}

} // namespace

awaitable<archive::Fetched> fetch_wal(Repository& repository, std::string name, std::string destination, bool exclusive) {
    archive::FillFile work = [&repository, &name](int fd) { return fill(repository, name, fd); };
    const auto fetched = co_await archive::fetch_durably(name, destination, exclusive, std::move(work));
    co_return fetched;
}

} // namespace walgd::pgbackrest
